// What programs make: `class Stats(Model)`.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "python/native/declared.h"
#include "python/native/publication.h"

namespace mmstats::python {

struct ModelObject {
  // The handle that an attribute has.
  struct Known {
    PyObject* name;    // owned; or null
    PyObject* handle;  // of `declared`
  };
  static constexpr std::size_t kKnown = 64;

  PyObject_HEAD Publication* publication;  // null: __init__ has not run
  PyObject* on_error;                      // or null
  PyObject* label_prefix;                  // str
  PyObject* weak_references;
  DeclaredHandles declared;
  // By the address of their names, in one of two places. They are what the class says as long as its version
  // is `known_version`.
  std::array<Known, kKnown> known;
  unsigned known_version;
  std::string last_path;  // of this thread's file
  double created;         // Unix seconds
  bool remove_at_exit;
  bool removed;
  bool system_fields;
  bool hidden;  // a handle is, or was, by something else that was assigned to its attribute
};

// Its publication; null with an exception set: there is none.
inline Publication* publication_of(ModelObject* self) noexcept {
  if (self->publication == nullptr) set_error(PyExc_RuntimeError, "__init__ of the model has not run");
  return self->publication;
}

// What the library wrote for `label` into this thread's file.
PyObject* system_value(ModelObject* instance, PyObject* label) noexcept;

}  // namespace mmstats::python
