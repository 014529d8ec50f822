# find_package(mmstats): mmstats::mmstats is the shared library, mmstats::static the static one.
include(CMakeFindDependencyMacro)
find_dependency(tl-expected)
include(${CMAKE_CURRENT_LIST_DIR}/mmstats-targets.cmake)
