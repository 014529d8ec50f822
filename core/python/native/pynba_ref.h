// Owned references, calls of Python, and the way out of C++: what `pynba._native` has from `mmstats._native`.
#pragma once

#include <string_view>

#include "python/native/object.h"

namespace pynba {

using mmstats::python::allocate;
using mmstats::python::as_method;
using mmstats::python::call;
using mmstats::python::guarded;
using mmstats::python::Ref;
using mmstats::python::replace;
using mmstats::python::set_error;
using mmstats::python::without_gil;
// Puts what is raised now aside, and back when it ends: for code that runs when an object dies.
using RaisedAside = mmstats::python::KeptError;

// What is no UTF-8 is escaped.
inline PyObject* as_unicode(std::string_view text) {
  return call<PyUnicode_DecodeUTF8>(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace");
}

// The exception that is set now, normalized, with its traceback; none is set afterwards.
inline Ref take_exception() {
#if PY_VERSION_HEX >= 0x030C0000
  return Ref(PyErr_GetRaisedException());
#else
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  call<PyErr_NormalizeException>(&type, &value, &traceback);
  if (value != nullptr && traceback != nullptr) PyException_SetTraceback(value, traceback);
  const Ref is_in_value(type);
  const Ref too(traceback);
  return Ref(value);
#endif
}

// Raises again what take_exception() took.
inline void raise_again(Ref exception) {
  PyObject* value = exception.release();
#if PY_VERSION_HEX >= 0x030C0000
  call<PyErr_SetRaisedException>(value);
#else
  call<PyErr_Restore>(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(value))), value,
                      PyException_GetTraceback(value));
#endif
}

}  // namespace pynba
