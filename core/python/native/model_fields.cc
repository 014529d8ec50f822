#include "python/native/model_fields.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include "python/native/text.h"

namespace mmstats::python {
namespace {

struct Named {
  Ref name;
  Ref field;
};

// Calls visit(name, value) for what a class has itself; until it returns false.
template <class Visit>
bool for_each_attribute(PyObject* type, Visit&& visit) {
  // Types of the interpreter have no fields.
  if (!PyType_HasFeature(reinterpret_cast<PyTypeObject*>(type), Py_TPFLAGS_HEAPTYPE)) return true;
  // The interpreter keeps names that it looked up, at each address of them once more.
  const Ref name(PyUnicode_InternFromString("__dict__"));
  const Ref attributes(name ? call<PyObject_GetAttr>(type, name.get()) : nullptr);
  const Ref items(attributes ? call<PyMapping_Items>(attributes.get()) : nullptr);
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    PyObject* const item = PyList_GET_ITEM(items.get(), i);
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) continue;
    if (!visit(PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1))) return false;
  }
  return true;
}

// The fields of the class and its bases, those of bases first; of one name the one that an instance has.
std::optional<std::vector<Named>> declared_fields(PyTypeObject* type, const State& state) {
  const Ref order = Ref::to(type->tp_mro);
  const Ref names(call<PySet_New>(nullptr));
  if (!order || !names) return std::nullopt;
  std::vector<std::vector<Named>> classes;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(order.get()); ++i) {
    auto& fields = classes.emplace_back();
    const bool seen =
        for_each_attribute(PyTuple_GET_ITEM(order.get(), i), [&](PyObject* name, PyObject* value) {
          if (!PyUnicode_Check(name)) return true;
          const int known = call<PySet_Contains>(names.get(), name);
          if (known != 0) return known > 0;
          if (call<PySet_Add>(names.get(), name) < 0) return false;
          if (PyObject_TypeCheck(value, state.field)) fields.push_back({Ref::to(name), Ref::to(value)});
          return true;
        });
    if (!seen) return std::nullopt;
  }
  std::vector<Named> all;
  for (auto& fields : std::views::reverse(classes)) std::ranges::move(fields, std::back_inserter(all));
  return all;
}

// The name that a field has in a class; null if it has none, or an exception is set.
Ref name_in_class(PyTypeObject* type, FieldObject* field) {
  const Ref order = Ref::to(type->tp_mro);
  Ref found;
  for (Py_ssize_t i = 0; order && i < PyTuple_GET_SIZE(order.get()); ++i) {
    for_each_attribute(PyTuple_GET_ITEM(order.get(), i), [&](PyObject* name, PyObject* value) {
      if (value == reinterpret_cast<PyObject*>(field) && PyUnicode_Check(name)) found = Ref::to(name);
      return !found;
    });
    if (found || PyErr_Occurred() != nullptr) break;
  }
  return found;
}

// The same, which is probably its key.
Ref attribute_name(PyTypeObject* type, FieldObject* field) {
  Ref key = Ref::to(field->key);
  return key && is_attribute(type, key.get(), field) ? std::move(key) : name_in_class(type, field);
}

// Makes the field's handle and keeps it. Borrowed.
PyObject* keep_declared(FieldObject* field, PyObject* label, ModelObject* instance) {
  Utf8 text;
  if (!text.take(label, "a label")) return nullptr;
  const Ref held = Ref::to(reinterpret_cast<PyObject*>(field));
  Publication& publication = *instance->publication;
  const Publication::Hold hold(publication);
  Ref handle(guarded([&] { return make_handle(field, publication, text.view()); }));
  publication.tell();
  if (!handle) return nullptr;
  if (instance->publication != &publication) {
    set_error(PyExc_RuntimeError, "__init__ of the model failed meanwhile");
    return nullptr;
  }
  auto& declared = instance->declared;
  // What it called may have declared it, too.
  if (PyObject* const known = declared.find(field)) return known;
  declared.add(field, handle.get());
  return handle.get();
}

// What to call instead of `stats.latency = 0.3`.
const char* method_for_numbers(FieldSort sort) noexcept {
  switch (sort) {
    case FieldSort::kCounter:
      return "incr";
    case FieldSort::kFamily:
      return "with_";
    case FieldSort::kInfo:
      return "set";
    default:
      return "add";
  }
}

// Whether a number may be assigned in place of the handle: a mistake, which the original took without a word.
// False: an exception is set.
bool may_hide(const FieldObject& field, PyObject* name) noexcept {
  const FieldSort sort = field.made_as->sort;
  const bool is_original = sort == FieldSort::kCounter || sort == FieldSort::kAverage ||
                           sort == FieldSort::kMovingAverage || sort == FieldSort::kTimer;
  const char* const method = method_for_numbers(sort);
  if (!is_original) {
    set_error(PyExc_TypeError, "no number can be assigned to %U: use %U.%s()", name, name, method);
    return false;
  }
  return call<PyErr_WarnFormat>(PyExc_RuntimeWarning, 1,
                                "a number is assigned to %U, which publishes nothing: use %U.%s()", name,
                                name, method) == 0;
}

void forget_known(ModelObject* self) noexcept {
  auto all = std::exchange(self->known, {});
  for (auto& each : all) clear(each.name);
}

}  // namespace

bool declare_all(ModelObject* self, const State& state) {
  const auto declared = declared_fields(Py_TYPE(self), state);
  if (!declared) return false;
  const auto& fields = *declared;
  const Ref labels(call<PySet_New>(nullptr));
  if (!labels) return false;
  for (const auto& [name, object] : fields) {
    auto* const field = reinterpret_cast<FieldObject*>(object.get());
    const Ref label = Ref::to(label_of(field, name.get()));
    const int known = call<PySet_Contains>(labels.get(), label.get());
    if (known > 0)
      set_error(state.duplicate_field_name, "two fields of %.200s have the label %R", Py_TYPE(self)->tp_name,
                label.get());
    if (known != 0 || call<PySet_Add>(labels.get(), label.get()) < 0) return false;
  }
  return std::ranges::all_of(fields, [&](const Named& named) {
    auto* const field = field_of(named.field.get());
    if (field->key == nullptr) field->key = Py_NewRef(named.name.get());
    if (field->made_as->sort == FieldSort::kSystem) return true;
    const Ref label = Ref::to(label_of(field, named.name.get()));
    return keep_declared(field, label.get(), self) != nullptr;
  });
}

void forget_declared(ModelObject* self) noexcept {
  forget_known(self);
  self->declared.clear();
}

bool is_attribute(PyTypeObject* type, PyObject* name, const FieldObject* field) noexcept {
  // As the interpreter looks instances' attributes up; the class is not asked, so no other code runs.
  return call<_PyType_Lookup>(type, name) == reinterpret_cast<const PyObject*>(field);
}

PyObject* declare(FieldObject* field, ModelObject* instance) noexcept {
  if (publication_of(instance) == nullptr) return nullptr;
  return guarded([&]() -> PyObject* {
    const Ref name = attribute_name(Py_TYPE(instance), field);
    if (PyErr_Occurred() != nullptr) return nullptr;
    if (field->key == nullptr) field->key = Py_XNewRef(name.get());
    const Ref label = Ref::to(label_of(field, name.get()));
    if (label) return keep_declared(field, label.get(), instance);
    set_error(PyExc_ValueError, "a field needs a label");
    return nullptr;
  });
}

void know_handle(FieldObject* field, ModelObject* instance, PyObject* handle) noexcept {
  Ref name = Ref::to(field->key);
  if (instance->hidden || !name || !PyUnicode_CHECK_INTERNED(name.get())) return;
  PyTypeObject* const type = Py_TYPE(instance);
  auto* const pair = known_pair(instance, name.get());
  const bool full = pair[0].name != nullptr && pair[1].name != nullptr;
  if ((full && instance->known_version == type->tp_version_tag) || !is_attribute(type, name.get(), field))
    return;
  // A version of 0 is none: the interpreter has run out of them.
  if (type->tp_version_tag == 0) return;
  if (instance->known_version != type->tp_version_tag) forget_known(instance);
  instance->known_version = type->tp_version_tag;
  auto& known = pair[pair[0].name == nullptr ? 0 : 1];
  if (known.name == nullptr && pair[0].name != name.get()) known = {name.release(), handle};
}

int hide_handle(FieldObject* field, ModelObject* instance, PyObject* value) noexcept {
  return guarded(-1, [&] {
    const Ref name = attribute_name(Py_TYPE(instance), field);
    if (!name) {
      if (PyErr_Occurred() == nullptr) set_error(PyExc_AttributeError, "the class has no such field");
      return -1;
    }
    const bool number = value != nullptr && (PyLong_Check(value) || PyFloat_Check(value));
    if (number && !may_hide(*field, name.get())) return -1;
    const Ref others(call<PyObject_GenericGetDict>(reinterpret_cast<PyObject*>(instance), nullptr));
    if (!others) return -1;
    instance->hidden = true;
    forget_known(instance);
    if (value != nullptr) return call<PyDict_SetItem>(others.get(), name.get(), value);
    if (call<PyDict_DelItem>(others.get(), name.get()) == 0) return 0;
    if (PyErr_ExceptionMatches(PyExc_KeyError)) call<PyErr_SetObject>(PyExc_AttributeError, name.get());
    return -1;
  });
}

PyObject* hidden_by(FieldObject* field, ModelObject* instance) noexcept {
  return guarded([&]() -> PyObject* {
    const Ref name = attribute_name(Py_TYPE(instance), field);
    if (!name) return nullptr;
    const Ref others(call<PyObject_GenericGetDict>(reinterpret_cast<PyObject*>(instance), nullptr));
    return others ? Py_XNewRef(call<PyDict_GetItemWithError>(others.get(), name.get())) : nullptr;
  });
}

}  // namespace mmstats::python
