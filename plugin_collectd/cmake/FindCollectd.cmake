# Finds the headers that collectd's plugins are built against, and where it loads plugins from.
#
#   Collectd_FOUND       the headers are there
#   Collectd_VERSION     as the headers say, e.g. 5.12.0
#   Collectd_PLUGIN_DIR  cache: the folder that collectd loads plugins from
#   Collectd_EXECUTABLE  cache: the daemon, if it is installed
#   Collectd::Plugin     target: include folders and the definition that the headers insist on
#
# There is no library to link: a plugin finds the daemon's functions in the process that loads it.

find_path(Collectd_INCLUDE_DIR collectd/core/daemon/plugin.h)
find_program(Collectd_EXECUTABLE collectd PATHS /usr/sbin /usr/local/sbin)
mark_as_advanced(Collectd_INCLUDE_DIR Collectd_EXECUTABLE)

if(Collectd_INCLUDE_DIR AND EXISTS ${Collectd_INCLUDE_DIR}/collectd/core/config.h)
  file(STRINGS ${Collectd_INCLUDE_DIR}/collectd/core/config.h version_line REGEX "define PACKAGE_VERSION ")
  string(REGEX MATCH "[0-9]+(\\.[0-9]+)+" Collectd_VERSION "${version_line}")
  unset(version_line)
endif()

# PLUGINDIR of the headers and CMAKE_INSTALL_LIBDIR are both wrong on Debian: the daemon itself knows.
if(NOT Collectd_PLUGIN_DIR)
  set(plugin_dir "")
  if(Collectd_EXECUTABLE)
    execute_process(COMMAND ${Collectd_EXECUTABLE} -h OUTPUT_VARIABLE help ERROR_VARIABLE help)
    if(help MATCHES "Plugin directory +([^\n]*[^\n ])")
      set(plugin_dir ${CMAKE_MATCH_1})
    endif()
    unset(help)
  endif()
  if(NOT plugin_dir)
    set(plugin_dir /usr/lib/collectd)
  endif()
  set(Collectd_PLUGIN_DIR ${plugin_dir} CACHE PATH "The folder that collectd loads plugins from")
  unset(plugin_dir)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Collectd REQUIRED_VARS Collectd_INCLUDE_DIR VERSION_VAR Collectd_VERSION)

if(Collectd_FOUND AND NOT TARGET Collectd::Plugin)
  add_library(Collectd::Plugin INTERFACE IMPORTED)
  # The headers include each other as "collectd/core/...", and "liboconfig/oconfig.h" without the first part.
  target_include_directories(Collectd::Plugin SYSTEM INTERFACE ${Collectd_INCLUDE_DIR}
                                                               ${Collectd_INCLUDE_DIR}/collectd)
  target_compile_definitions(Collectd::Plugin INTERFACE HAVE_CONFIG_H=1)
endif()
