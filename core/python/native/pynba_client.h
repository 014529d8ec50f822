// The native way to the servers.
#pragma once

#include <Python.h>

namespace pynba {

// encode(arguments of a report...) -> the bytes of one datagram that holds all of it, as far as one can.
PyObject* encode(PyObject* module, PyObject* const* arguments, Py_ssize_t count);

}  // namespace pynba
