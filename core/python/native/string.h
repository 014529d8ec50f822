// Handles of texts.
#pragma once

#include "mmstats/fields.h"
#include "python/native/publication.h"

namespace mmstats::python {

struct StringObject {
  PyObject_HEAD Publication* publication;
  StringField field;
  std::size_t size;
};

PyObject* new_string(Publication& publication, const StringField& field, std::size_t size) noexcept;
bool set_string(StringObject* string, PyObject* value) noexcept;
PyObject* get_string(StringObject* string) noexcept;

}  // namespace mmstats::python
