// What an instance of a model has of the fields that its class declares.
#pragma once

#include <cstdint>

#include "python/native/model_object.h"

namespace mmstats::python {

// Makes the handles of all of them. False: an exception is set.
bool declare_all(ModelObject* self, const State& state);
void forget_declared(ModelObject* self) noexcept;

// The handle of a field that the class of `instance` declares; it is made if the field came to the class
// after the instance. Borrowed, but kept as long as the instance.
PyObject* declare(FieldObject* field, ModelObject* instance) noexcept;

// Precondition: the type of `instance` derives from Model.
inline PyObject* declared_handle(FieldObject* field, ModelObject* instance) noexcept {
  if (PyObject* const handle = instance->declared.find(field)) [[likely]]
    return handle;
  return declare(field, instance);
}

// From now on the field's attribute gives `handle` without asking the field. Nothing happens if it cannot.
void know_handle(FieldObject* field, ModelObject* instance, PyObject* handle) noexcept;
// `stats.hits = value`: the attribute gives that instead of the handle. Null: `del stats.hits`, which brings
// the handle back. -1 with an exception set.
int hide_handle(FieldObject* field, ModelObject* instance, PyObject* value) noexcept;
// What was assigned. Null: nothing; or an exception is set.
PyObject* hidden_by(FieldObject* field, ModelObject* instance) noexcept;

// Whether the class has the field under that name.
bool is_attribute(PyTypeObject* type, PyObject* name, const FieldObject* field) noexcept;

// The first of the two places of that name.
inline ModelObject::Known* known_pair(ModelObject* self, PyObject* name) noexcept {
  // Addresses of short texts are 48 or 64 bytes apart.
  const auto address = reinterpret_cast<std::uintptr_t>(name) >> 4U;
  return &self->known[2 * ((address ^ address >> 2U) % (ModelObject::kKnown / 2))];
}

}  // namespace mmstats::python
