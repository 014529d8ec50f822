# What `cmake --install` puts where for those who build against the library.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/mmstats DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set_target_properties(mmstats PROPERTIES EXPORT_NAME static)
set_target_properties(mmstats_shared PROPERTIES EXPORT_NAME mmstats)
install(TARGETS mmstats mmstats_shared EXPORT mmstats-targets)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mmstats)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/mmstats-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(EXPORT mmstats-targets NAMESPACE mmstats:: DESTINATION ${package_dir})
install(FILES cmake/mmstats-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/mmstats-config-version.cmake
  DESTINATION ${package_dir})

configure_file(cmake/mmstats.pc.in mmstats.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mmstats.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The Pinba client, whose files may be packaged by themselves.
install(DIRECTORY include/pinba DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set_target_properties(pinba PROPERTIES EXPORT_NAME pinba_static)
set_target_properties(pinba_shared PROPERTIES EXPORT_NAME pinba)
install(TARGETS pinba pinba_shared EXPORT mmstats-pinba-targets)
install(EXPORT mmstats-pinba-targets NAMESPACE mmstats:: DESTINATION ${package_dir})
configure_file(cmake/mmstats-pinba.pc.in mmstats-pinba.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mmstats-pinba.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
