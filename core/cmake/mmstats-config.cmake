# find_package(mmstats): mmstats::mmstats is the shared library, mmstats::static the static one,
# which no linker puts into a shared object.
# Its component "pinba", the Pinba client: mmstats::pinba and mmstats::pinba_static.
include(CMakeFindDependencyMacro)
find_dependency(tl-expected)
include(${CMAKE_CURRENT_LIST_DIR}/mmstats-targets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/mmstats-pinba-targets.cmake OPTIONAL)
foreach(component IN LISTS mmstats_FIND_COMPONENTS)
  if(mmstats_FIND_REQUIRED_${component} AND NOT TARGET mmstats::${component})
    set(mmstats_FOUND FALSE)
    set(mmstats_NOT_FOUND_MESSAGE "mmstats has no ${component} here; is libmmstats-${component}-dev installed?")
  endif()
endforeach()
