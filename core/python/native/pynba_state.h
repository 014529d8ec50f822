// What one interpreter's `pynba._native` holds.
#pragma once

#include <Python.h>

#include <string_view>

namespace pynba {

struct State {
  PyTypeObject* timer_type = nullptr;
  PyTypeObject* collector_type = nullptr;
  PyTypeObject* client_type = nullptr;
  PyTypeObject* body_type = nullptr;
  PyTypeObject* proxy_type = nullptr;
  PyObject* current = nullptr;  // the context variable of the current request

  // Names that are looked up.
  PyObject* name_timer = nullptr;
  PyObject* name_elapsed = nullptr;
  PyObject* name_tags = nullptr;
  PyObject* name_timers = nullptr;
  PyObject* name_discard = nullptr;
  PyObject* name_items = nullptr;
  PyObject* name_outside = nullptr;
  PyObject* name_close = nullptr;
  PyObject* name_end = nullptr;
  PyObject* name_failed = nullptr;

  // Imported when they are first needed; null before.
  PyObject* measured = nullptr;      // pynba.decorator.measured
  PyObject* left_out = nullptr;      // pynba.log.left_out
  PyObject* mapping_type = nullptr;  // collections.abc
  PyObject* sequence_type = nullptr;
  PyObject* set_type = nullptr;
};

extern PyModuleDef module_definition;

// The state of the module that made `type`, or a base of it. Null with an exception if there is none.
State* state_of(PyTypeObject* type);

// `cache`, or what it becomes: `name` of the module `from`. Borrowed; null with an exception.
PyObject* imported(PyObject*& cache, const char* from, const char* name);

// Whether what is raised now is an error that is told and then forgotten, not KeyboardInterrupt and its kind.
inline bool is_ordinary_error() { return PyErr_ExceptionMatches(PyExc_Exception) != 0; }

// Logs what is raised now, as the reason why `what` is left out of a packet; nothing is raised afterwards.
// False if it is no ordinary error: then it is still raised.
bool tell_left_out(State& state, std::string_view what);

// Each makes one type. Null with an exception.
PyTypeObject* make_timer_type(PyObject* module);
PyTypeObject* make_collector_type(PyObject* module);
PyTypeObject* make_client_type(PyObject* module);
PyTypeObject* make_body_type(PyObject* module);
PyTypeObject* make_proxy_type(PyObject* module);

// Keyword arguments of a vector call as a new dict; null with an exception. Positional ones are a TypeError.
PyObject* tags_of_call(PyObject* const* arguments, Py_ssize_t positional, PyObject* names);

}  // namespace pynba
