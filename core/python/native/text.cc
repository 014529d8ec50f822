#include "python/native/text.h"

namespace mmstats::python {

bool Utf8::take(PyObject* text, const char* what) noexcept {
  held_ = Ref::to(text);
  if (PyUnicode_Check(text)) {
    Py_ssize_t size = 0;
    if (const char* const bytes = call<PyUnicode_AsUTF8AndSize>(text, &size)) {
      view_ = {bytes, static_cast<std::size_t>(size)};
      return true;
    }
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) == 0) return false;
    call<PyErr_Clear>();
    held_ = Ref(call<PyUnicode_AsEncodedString>(text, "utf-8", "replace"));
    if (!held_) return false;
    text = held_.get();
  }
  if (!PyBytes_Check(text)) {
    set_error(PyExc_TypeError, "%s must be a str, not %.200s", what, Py_TYPE(text)->tp_name);
    return false;
  }
  view_ = {PyBytes_AS_STRING(text), static_cast<std::size_t>(PyBytes_GET_SIZE(text))};
  return true;
}

bool encode_path(PyObject* path, std::string& into) noexcept {
  PyObject* bytes = nullptr;
  if (call<PyUnicode_FSConverter>(path, &bytes) == 0) return false;
  const Ref held(bytes);
  return guarded(false, [&] {
    into.assign(PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes)));
    return true;
  });
}

}  // namespace mmstats::python
