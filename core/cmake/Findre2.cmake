# find_package(re2 REQUIRED): the target re2::re2. Newer versions come with a CMake package. Older ones are asked for of
# pkg-config, which for the newer ones would take long: it reads the files of Abseil's hundred libraries.
if(NOT TARGET re2::re2)
  find_package(re2 CONFIG QUIET)
endif()
if(NOT TARGET re2::re2)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
  add_library(re2::re2 ALIAS PkgConfig::RE2)
endif()
set(re2_FOUND TRUE)
