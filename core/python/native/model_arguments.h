// What a model is made with.
#pragma once

#include <optional>

#include "mmstats/model.h"
#include "python/native/object.h"

namespace mmstats::python {

// The arguments of Model, all borrowed.
struct ModelArguments {
  PyObject* path = Py_None;
  PyObject* file_name = Py_None;
  PyObject* label_prefix = Py_None;
  int system_fields = 1;
  int remove_at_exit = 1;
  PyObject* mode = Py_None;
  Py_ssize_t max_file_bytes = Py_ssize_t{4} << 20;
  PyObject* on_error = Py_None;
  int open = 1;

  // False: an exception is set.
  bool parse(PyObject* args, PyObject* keywords) noexcept;
  // None: an exception is set. Throws std::bad_alloc.
  [[nodiscard]] std::optional<ModelOptions> options() const;
};

}  // namespace mmstats::python
