#include "python/native/string.h"

#include <new>

#include "python/native/text.h"

namespace mmstats::python {

PyObject* new_string(Publication& publication, const StringField& field, std::size_t size) noexcept {
  auto* const string = PyObject_New(StringObject, publication.state().string);
  if (string == nullptr) return nullptr;
  string->publication = publication.hold();
  ::new (&string->field) StringField(field);
  string->size = size;
  return reinterpret_cast<PyObject*>(string);
}

bool set_string(StringObject* string, PyObject* value) noexcept {
  Utf8 text;
  if (!text.take(value, "the value of a text field")) return false;
  string->publication->enter();
  string->field.set(text.view());
  return true;
}

PyObject* get_string(StringObject* string) noexcept {
  string->publication->enter();
  return decode_text(string->field.value());
}

namespace {

void string_dealloc(StringObject* self) {
  self->publication->drop();
  free_object(self);
}

PyObject* string_set(StringObject* self, PyObject* value) {
  if (!set_string(self, value)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* string_get_value(StringObject* self, void* /*closure*/) { return get_string(self); }

int string_set_value(StringObject* self, PyObject* value, void* /*closure*/) {
  if (value == nullptr) {
    set_error(PyExc_AttributeError, "the value of a field cannot be deleted");
    return -1;
  }
  return set_string(self, value) ? 0 : -1;
}

PyObject* string_repr(StringObject* self) { return show(self, "value", Ref(get_string(self))); }

PyMethodDef kStringMethods[] = {
    {"set", as_method(string_set), METH_O, "set(value, /): stores it, cut to `size` bytes of UTF-8."},
    {},
};
PyGetSetDef kStringProperties[] = {
    {"value", reinterpret_cast<getter>(string_get_value), reinterpret_cast<setter>(string_set_value),
     "This thread's text.", nullptr},
    {},
};
PyMemberDef kStringMembers[] = {
    {"size", T_PYSSIZET, offsetof(StringObject, size), READONLY, "Bytes of UTF-8, at most."},
    {},
};
PyType_Slot kStringSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(string_repr)},
    {Py_tp_doc, const_cast<char*>("A text.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(string_dealloc)},
    {Py_tp_methods, kStringMethods},
    {Py_tp_getset, kStringProperties},
    {Py_tp_members, kStringMembers},
    {},
};
PyType_Spec kStringSpec{
    .name = "mmstats._native.String",
    .basicsize = sizeof(StringObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kStringSlots,
};

}  // namespace

bool add_string(PyObject* module, State& state) {
  state.string = add_type(module, kStringSpec);
  return state.string != nullptr;
}

}  // namespace mmstats::python
