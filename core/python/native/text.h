// Python's texts as the library takes them: UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "python/native/object.h"

namespace mmstats::python {

// The bytes of a str or bytes object, which it holds. Lone surrogates become '?'.
class Utf8 {
 public:
  // False: it is neither (TypeError, which names `what`), or there is no memory.
  bool take(PyObject* text, const char* what) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return view_; }

 private:
  Ref held_;
  std::string_view view_;
};

// Of UTF-8 that may be wrong: what is not is left out.
inline PyObject* decode_text(std::string_view text) noexcept {
  return call<PyUnicode_DecodeUTF8>(text.data(), static_cast<Py_ssize_t>(text.size()), "ignore");
}

// A file's name. What is not UTF-8 comes back as it went in.
inline PyObject* decode_path(const std::string& path) noexcept {
  return call<PyUnicode_DecodeFSDefaultAndSize>(path.data(), static_cast<Py_ssize_t>(path.size()));
}

// The bytes of a str, bytes or path object. False: it is none (TypeError), or has a NUL (ValueError).
bool encode_path(PyObject* path, std::string& into) noexcept;

}  // namespace mmstats::python
