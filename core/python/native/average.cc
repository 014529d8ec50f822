#include "python/native/average.h"

#include <new>

#include "python/native/number_type.h"

namespace mmstats::python {
namespace {

struct AverageObject {
  PyObject_HEAD Publication* publication;
  AnyAverage field;
};

void average_dealloc(AverageObject* self) {
  self->publication->drop();
  free_object(self);
}

PyObject* average_add(AverageObject* self, PyObject* value) {
  double converted = 0;
  if (!convert(value, converted)) return nullptr;
  self->publication->enter();
  std::visit([&](const auto& field) { field.add(converted); }, self->field);
  Py_RETURN_NONE;
}

PyObject* average_get_value(AverageObject* self, void* /*closure*/) {
  self->publication->enter();
  return PyFloat_FromDouble(std::visit([](const auto& field) { return field.value(); }, self->field));
}

PyObject* average_repr(AverageObject* self) {
  return show(self, "value", Ref(average_get_value(self, nullptr)));
}

PyMethodDef kAverageMethods[] = {
    {"add", as_method(average_add), METH_O, "add(value, /): NaN and infinite values are left out."},
    {},
};
PyGetSetDef kAverageProperties[] = {
    {"value", reinterpret_cast<getter>(average_get_value), nullptr, "The mean, in this thread.", nullptr},
    {},
};
PyType_Slot kAverageSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(average_repr)},
    {Py_tp_doc, const_cast<char*>("A mean: of all values, of the last `size`, or of the last `seconds`.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(average_dealloc)},
    {Py_tp_methods, kAverageMethods},
    {Py_tp_getset, kAverageProperties},
    {},
};
PyType_Spec kAverageSpec{
    .name = "mmstats._native.Average",
    .basicsize = sizeof(AverageObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kAverageSlots,
};

}  // namespace

PyObject* new_average(Publication& publication, const AnyAverage& field) noexcept {
  auto* const average = PyObject_New(AverageObject, publication.state().average);
  if (average == nullptr) return nullptr;
  average->publication = publication.hold();
  ::new (&average->field) AnyAverage(field);
  return reinterpret_cast<PyObject*>(average);
}

bool add_average(PyObject* module, State& state) {
  state.average = add_type(module, kAverageSpec);
  return state.average != nullptr;
}

}  // namespace mmstats::python
