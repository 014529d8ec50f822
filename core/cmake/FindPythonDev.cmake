# find_package(PythonDev): Python3_add_library, and the interpreter that its modules are for: the system's, whatever
# other python3 is in PATH. Another one: -DPython3_EXECUTABLE=...
if(NOT DEFINED Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python3_EXECUTABLE /usr/bin/python3)
endif()
find_package(Python3 3.11 QUIET COMPONENTS Interpreter Development.Module)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PythonDev REQUIRED_VARS Python3_EXECUTABLE Python3_Development.Module_FOUND)
