# find_package(libpcap): the target libpcap::libpcap. Debian: libpcap-dev.
find_path(LIBPCAP_INCLUDE_DIR pcap/pcap.h)
find_library(LIBPCAP_LIBRARY pcap)
mark_as_advanced(LIBPCAP_INCLUDE_DIR LIBPCAP_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(libpcap REQUIRED_VARS LIBPCAP_LIBRARY LIBPCAP_INCLUDE_DIR)
if(libpcap_FOUND AND NOT TARGET libpcap::libpcap)
  add_library(libpcap::libpcap UNKNOWN IMPORTED)
  set_target_properties(libpcap::libpcap PROPERTIES
    IMPORTED_LOCATION ${LIBPCAP_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${LIBPCAP_INCLUDE_DIR})
endif()
