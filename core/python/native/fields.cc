// The classes of fields: what they are as attributes. They are many, and differ in a line or two each.
#include <array>
#include <type_traits>

#include "python/native/field_init.h"
#include "python/native/model_fields.h"
#include "python/native/number.h"
#include "python/native/string.h"

namespace mmstats::python {
namespace {

template <const FieldClass& kClass>
PyObject* new_field(PyTypeObject* type, PyObject* /*args*/, PyObject* /*keywords*/) {
  State* const state = find_state(type);
  if (state == nullptr) return nullptr;
  const Ref empty(PyUnicode_FromStringAndSize("", 0));
  if (!empty) return nullptr;
  auto* const self = allocate<FieldObject>(type);
  if (self == nullptr) return nullptr;
  self->made_as = &kClass;
  self->state = state;
  self->label = Py_NewRef(Py_None);
  self->unit = Py_NewRef(empty.get());
  self->help = Py_NewRef(empty.get());
  self->size = 1;
  self->precision = 32;
  self->max_series = 1000;
  self->kind = -1;
  return reinterpret_cast<PyObject*>(self);
}

PyObject* new_base_field(PyTypeObject* type, PyObject* /*args*/, PyObject* /*keywords*/) {
  set_error(PyExc_TypeError, "%.200s is no field that a model could have: derive from one that is",
            type->tp_name);
  return nullptr;
}

int field_traverse(FieldObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->label);
  Py_VISIT(self->unit);
  Py_VISIT(self->help);
  Py_VISIT(self->key);
  Py_VISIT(self->value);
  Py_VISIT(self->dimensions);
  return 0;
}

// The texts stay: they are in no cycle, and others use them.
int field_clear(FieldObject* self) {
  clear(self->value);
  return 0;
}

void field_dealloc(FieldObject* self) {
  PyObject_GC_UnTrack(self);
  clear(self->label);
  clear(self->unit);
  clear(self->help);
  clear(self->key);
  clear(self->value);
  clear(self->dimensions);
  free_object(self);
}

PyObject* field_repr(FieldObject* self) {
  const Ref name(call<PyType_GetName>(Py_TYPE(self)));
  PyObject* const label = label_of(self, self->key);
  return name ? call<PyUnicode_FromFormat>("%U(label=%R)", name.get(), label == nullptr ? Py_None : label)
              : nullptr;
}

PyObject* field_set_name(FieldObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyUnicode_Check(args[1])) {
    set_error(PyExc_TypeError, "__set_name__(owner, name) with a str");
    return nullptr;
  }
  replace(self->key, args[1]);
  Py_RETURN_NONE;
}

bool is_model(const FieldObject* self, PyObject* instance) noexcept {
  if (PyObject_TypeCheck(instance, self->state->model)) [[likely]]
    return true;
  set_error(PyExc_TypeError, "a field belongs to a class that derives from Model, which %.200s does not",
            Py_TYPE(instance)->tp_name);
  return false;
}

// The handle, or null with an exception set. It is held, as an instance whose __init__ fails lets go of it.
Ref handle_for(PyObject* field, PyObject* instance) noexcept {
  FieldObject* const self = field_of(field);
  if (!is_model(self, instance)) return {};
  return Ref::to(declared_handle(self, reinterpret_cast<ModelObject*>(instance)));
}

// How a field is made, whatever class it has by now; the handle is of that sort.
template <FieldSort kSort>
constexpr FieldClass kOf{.sort = kSort};
template <detail::Number T, FieldSort kSort>
const FieldClass kOfNumber{.sort = kSort, .number = &number_type<T>()};

Ref handle_of_sort(const FieldClass& sort, PyObject* field, PyObject* instance) noexcept {
  if (field_of(field)->made_as == &sort) [[likely]]
    return handle_for(field, instance);
  set_error(PyExc_TypeError, "%R was made as something else", field);
  return {};
}

// ---- attributes

// Counters and the like.
PyObject* get_handle(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  Ref handle = handle_for(self, instance);
  if (!handle) return nullptr;
  auto* const model = reinterpret_cast<ModelObject*>(instance);
  if (model->hidden) [[unlikely]] {
    PyObject* const other = hidden_by(field_of(self), model);
    if (other != nullptr || PyErr_Occurred() != nullptr) return other;
  }
  // A class that derives from ours may have a __get__ of its own, which called this.
  if (Py_TYPE(self)->tp_descr_get == get_handle) know_handle(field_of(self), model, handle.get());
  return handle.release();
}

int set_handle(PyObject* self, PyObject* instance, PyObject* value) {
  if (!is_model(field_of(self), instance)) return -1;
  return hide_handle(field_of(self), reinterpret_cast<ModelObject*>(instance), value);
}

template <detail::Number T>
PyObject* get_number_field(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  const Ref number = handle_of_sort(kOfNumber<T, FieldSort::kNumber>, self, instance);
  return number ? get_number<T>(reinterpret_cast<NumberObject*>(number.get())) : nullptr;
}

int no_delete() {
  set_error(PyExc_AttributeError, "a field cannot be deleted");
  return -1;
}

template <detail::Number T>
int set_number_field(PyObject* self, PyObject* instance, PyObject* value) {
  if (value == nullptr) return no_delete();
  const Ref number = handle_of_sort(kOfNumber<T, FieldSort::kNumber>, self, instance);
  return number && set_number<T>(reinterpret_cast<NumberObject*>(number.get()), value) ? 0 : -1;
}

PyObject* get_string_field(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  const Ref string = handle_of_sort(kOf<FieldSort::kString>, self, instance);
  return string ? get_string(reinterpret_cast<StringObject*>(string.get())) : nullptr;
}

int set_string_field(PyObject* self, PyObject* instance, PyObject* value) {
  if (value == nullptr) return no_delete();
  const Ref string = handle_of_sort(kOf<FieldSort::kString>, self, instance);
  return string && set_string(reinterpret_cast<StringObject*>(string.get()), value) ? 0 : -1;
}

PyObject* get_static_field(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  return handle_for(self, instance).release();
}

int set_static_field(PyObject* /*self*/, PyObject* /*instance*/, PyObject* /*value*/) {
  set_error(PyExc_AttributeError, "a fact cannot be changed");
  return -1;
}

PyObject* get_system_field(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  FieldObject* const field = field_of(self);
  if (!is_model(field, instance)) return nullptr;
  if (!PyUnicode_Check(field->label)) {
    set_error(PyExc_ValueError, "__init__ of the field has not run");
    return nullptr;
  }
  return system_value(reinterpret_cast<ModelObject*>(instance), field->label);
}

// ---- properties

PyObject* get_size(FieldObject* self, void* /*closure*/) { return PyLong_FromSize_t(self->size); }
PyObject* get_precision(FieldObject* self, void* /*closure*/) {
  return PyLong_FromUnsignedLong(self->precision);
}
PyObject* get_value(FieldObject* self, void* /*closure*/) {
  return Py_NewRef(self->value == nullptr ? Py_None : self->value);
}
PyObject* get_initial(FieldObject* self, void* /*closure*/) {
  const NumberType* const number = self->made_as->number;
  if (number != nullptr) return number->to_python(self->raw);
  return self->value == nullptr ? PyUnicode_FromStringAndSize("", 0) : Py_NewRef(self->value);
}
PyObject* get_code(FieldObject* self, void* /*closure*/) {
  if (!is_number(self)) return nullptr;
  return PyUnicode_FromStringAndSize(&self->made_as->number->code, 1);
}
PyObject* get_field_dimensions(FieldObject* self, void* /*closure*/) {
  return Py_NewRef(self->dimensions == nullptr ? Py_None : self->dimensions);
}

#define MMSTATS_PROPERTY(NAME, GET, DOC) {NAME, reinterpret_cast<getter>(GET), nullptr, DOC, nullptr}

PyMethodDef kFieldMethods[] = {
    {"__set_name__", as_method(field_set_name), METH_FASTCALL, nullptr},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
    {},
};
PyMemberDef kFieldMembers[] = {
    {"label", T_OBJECT, offsetof(FieldObject, label), READONLY, "As given; None: the attribute's name."},
    {"unit", T_OBJECT, offsetof(FieldObject, unit), READONLY,
     "A word as OpenMetrics has them: seconds, bytes."},
    {"help", T_OBJECT, offsetof(FieldObject, help), READONLY, "A sentence."},
    {"key", T_OBJECT, offsetof(FieldObject, key), READONLY, "The attribute's name, once it has one."},
    {},
};
PyType_Slot kFieldSlots[] = {
    {Py_tp_doc, const_cast<char*>("What a class declares: the base of all fields.")},
    {Py_tp_new, reinterpret_cast<void*>(new_base_field)},
    {Py_tp_dealloc, reinterpret_cast<void*>(field_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(field_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(field_clear)},
    {Py_tp_repr, reinterpret_cast<void*>(field_repr)},
    {Py_tp_methods, kFieldMethods},
    {Py_tp_members, kFieldMembers},
    {},
};
constexpr unsigned kFieldFlags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE;
PyType_Spec kFieldSpec{
    .name = "mmstats.fields.Field",
    .basicsize = sizeof(FieldObject),
    .itemsize = 0,
    .flags = kFieldFlags,
    .slots = kFieldSlots,
};

PyGetSetDef kNoProperties[] = {{}};
PyGetSetDef kCounterFieldProperties[] = {
    {"shared", [](PyObject* self, void*) { return PyBool_FromLong(field_of(self)->shared ? 1 : 0); }, nullptr,
     "Whether all threads have one value.", nullptr},
    {}};
PyGetSetDef kSizeProperties[] = {MMSTATS_PROPERTY("size", get_size, "How many values it is of."), {}};
PyGetSetDef kSecondsProperties[] = {MMSTATS_PROPERTY("seconds", get_size, "How long values count."), {}};
PyGetSetDef kTimerFieldProperties[] = {
    MMSTATS_PROPERTY("size", get_size, "How many values it is of."),
    MMSTATS_PROPERTY("timer", get_value, "What is called for seconds; None: a clock that never steps."),
    {}};
PyGetSetDef kPrecisionProperties[] = {
    MMSTATS_PROPERTY("precision", get_precision, "Buckets for each power of two."), {}};
PyGetSetDef kSizedHistogramProperties[] = {
    MMSTATS_PROPERTY("size", get_size, "How many values it is of."),
    MMSTATS_PROPERTY("precision", get_precision, "Buckets for each power of two."),
    {}};
PyGetSetDef kWindowHistogramProperties[] = {
    MMSTATS_PROPERTY("seconds", get_size, "How long values count."),
    MMSTATS_PROPERTY("precision", get_precision, "Buckets for each power of two."),
    {}};
PyGetSetDef kFamilyFieldProperties[] = {MMSTATS_PROPERTY("field", get_value, "What each combination is."),
                                        MMSTATS_PROPERTY("dimensions", get_field_dimensions, "Their names."),
                                        {}};
PyGetSetDef kInfoFieldProperties[] = {MMSTATS_PROPERTY("texts", get_value, "The first texts."), {}};
PyGetSetDef kNumberFieldProperties[] = {
    MMSTATS_PROPERTY("initial", get_initial, "The value at first."),
    MMSTATS_PROPERTY("code", get_code, "The type, as module struct has it."),
    {"shared", [](PyObject* self, void*) { return PyBool_FromLong(field_of(self)->shared ? 1 : 0); }, nullptr,
     "Whether all threads have one value.", nullptr},
    {}};
PyGetSetDef kStringFieldProperties[] = {MMSTATS_PROPERTY("size", get_size, "Bytes of UTF-8, at most."),
                                        MMSTATS_PROPERTY("initial", get_initial, "The text at first."),
                                        {}};
PyGetSetDef kStaticProperties[] = {MMSTATS_PROPERTY("value", get_value, "As given."), {}};
PyGetSetDef kStaticTextProperties[] = {MMSTATS_PROPERTY("value", get_value, "As given."),
                                       MMSTATS_PROPERTY("size", get_size, "Bytes of UTF-8, at most."),
                                       {}};
#undef MMSTATS_PROPERTY

// ---- the classes

struct Attribute {
  descrgetfunc get;
  descrsetfunc set;
};
constexpr Attribute kHandle{get_handle, set_handle};
constexpr Attribute kString{get_string_field, set_string_field};
constexpr Attribute kStatic{get_static_field, set_static_field};
constexpr Attribute kSystem{get_system_field, set_static_field};
template <detail::Number T>
constexpr Attribute kNumber{get_number_field<T>, set_number_field<T>};

bool add_field_class(PyObject* module, State& state, const char* name, const char* doc, newfunc make,
                     initproc init, const Attribute& attribute, PyGetSetDef* properties,
                     PyTypeObject* base = nullptr) {
  std::array<PyType_Slot, 10> slots{};
  std::size_t count = 0;
  const auto add = [&](int slot, auto* what) {
    // Slots take data and functions alike.
    slots[count++] = {slot, reinterpret_cast<void*>(what)};
  };
  add(Py_tp_doc, const_cast<char*>(doc));
  add(Py_tp_new, make);
  add(Py_tp_init, init);
  // A type that says that it is tracked inherits none of these.
  add(Py_tp_dealloc, field_dealloc);
  add(Py_tp_traverse, field_traverse);
  add(Py_tp_clear, field_clear);
  add(Py_tp_descr_get, attribute.get);
  add(Py_tp_descr_set, attribute.set);
  add(Py_tp_getset, properties);
  PyType_Spec spec{.name = name,
                   .basicsize = sizeof(FieldObject),
                   .itemsize = 0,
                   .flags = kFieldFlags,
                   .slots = slots.data()};
  // The module has it.
  const Ref type(reinterpret_cast<PyObject*>(add_type(module, spec, base == nullptr ? state.field : base)));
  return static_cast<bool>(type);
}

template <detail::Number T, FieldSort kSort>
bool add_number_class(PyObject* module, State& state, const char* name, const char* doc, initproc init) {
  constexpr bool kVariable = kSort == FieldSort::kNumber;
  return add_field_class(module, state, name, doc, new_field<kOfNumber<T, kSort>>, init,
                         kVariable ? kNumber<T> : kStatic,
                         kVariable ? kNumberFieldProperties : kStaticProperties);
}

// The name and the description of a class; "--" ends what inspect.signature() takes.
#define MMSTATS_NUMBER(NAME, WHAT)                                                              \
  "mmstats.fields." NAME,                                                                       \
      NAME "(label=None, initial=0, *, unit='', help='', kind=None, shared=False)\n--\n\n" WHAT \
           "\n\nA whole number that is too large wraps. `shared`: one value for all threads.\n" \
           "`kind`: counter, gauge, timestamp or state, if it is no gauge."
#define MMSTATS_FACT(NAME, WHAT)                                                            \
  "mmstats.fields." NAME, NAME "(label=None, value=None, *, unit='', help='')\n--\n\n" WHAT \
                               "\n\n`value` may be a callable, which is called when a model is made."

}  // namespace

bool add_fields(PyObject* module, State& state) {
  using Sort = FieldSort;
  state.field = add_type(module, kFieldSpec);
  if (state.field == nullptr) return false;
  const auto add = [&](const char* name, const char* doc, newfunc make, initproc init,
                       const Attribute& attribute, PyGetSetDef* properties) {
    return add_field_class(module, state, name, doc, make, init, attribute, properties);
  };
  if (!add("mmstats.fields.CounterField",
           "CounterField(label=None, *, unit='', help='', shared=False)\n--\n\n"
           "Counts events. `shared`: one exact value for all threads.",
           new_field<kOf<Sort::kCounter>>, init_counter, kHandle, kCounterFieldProperties)) {
    return false;
  }
  const Ref counter_field(call<PyObject_GetAttrString>(module, "CounterField"));
  return counter_field &&
         add_field_class(module, state, "mmstats.fields.SharedCounterField",
                         "SharedCounterField(label=None, *, unit='', help='')\n--\n\n"
                         "One exact value for all threads.",
                         new_field<kOf<Sort::kCounter>>, init_shared_counter, kHandle, kNoProperties,
                         reinterpret_cast<PyTypeObject*>(counter_field.get())) &&
         add("mmstats.fields.AverageField",
             "AverageField(label=None, *, unit='', help='')\n--\n\n"
             "The mean of all values.",
             new_field<kOf<Sort::kAverage>>, init_average, kHandle, kNoProperties) &&
         add("mmstats.fields.MovingAverageField",
             "MovingAverageField(size=100, label=None, *, unit='', help='')\n--\n\n"
             "The mean of the last `size` values.",
             new_field<kOf<Sort::kMovingAverage>>, init_moving_average, kHandle, kSizeProperties) &&
         add("mmstats.fields.WindowAverageField",
             "WindowAverageField(seconds=60, label=None, *, unit='', help='')\n--\n\n"
             "The mean of the last seconds.",
             new_field<kOf<Sort::kWindowAverage>>, init_window_average, kHandle, kSecondsProperties) &&
         add("mmstats.fields.TimerField",
             "TimerField(timer=None, size=100, label=None, *, unit='seconds', help='')\n--\n\n"
             "A moving average of seconds.",
             new_field<kOf<Sort::kTimer>>, init_timer, kHandle, kTimerFieldProperties) &&
         add("mmstats.fields.HistogramField",
             "HistogramField(label=None, *, precision=32, unit='', help='')\n--\n\n"
             "A distribution of values, with percentiles. `precision`: 4, 8, 16 or 32 buckets for each power "
             "of two.",
             new_field<kOf<Sort::kHistogram>>, init_histogram, kHandle, kPrecisionProperties) &&
         add("mmstats.fields.MovingHistogramField",
             "MovingHistogramField(size=1000, label=None, *, precision=32, unit='', help='')\n--\n\n"
             "The distribution of the last `size` values.",
             new_field<kOf<Sort::kMovingHistogram>>, init_moving_histogram, kHandle,
             kSizedHistogramProperties) &&
         add("mmstats.fields.WindowHistogramField",
             "WindowHistogramField(seconds=60, label=None, *, precision=32, unit='', help='')\n--\n\n"
             "The distribution of the last seconds.",
             new_field<kOf<Sort::kWindowHistogram>>, init_window_histogram, kHandle,
             kWindowHistogramProperties) &&
         add("mmstats.fields.FamilyField",
             "FamilyField(field, dimensions, label=None, *, max_series=1000, expire_after=0)\n--\n\n"
             "One metric with a handle for each combination of its dimensions.\n\n"
             "`max_series`: how many there may be at a time; further ones are counted together, as `other`.\n"
             "A family of histograms has room for about 130; for more, lower their precision, or raise the\n"
             "model's max_file_bytes and the size of files that readers take.\n"
             "`expire_after`: seconds without use after which one may be removed.",
             new_field<kOf<Sort::kFamily>>, init_family, kHandle, kFamilyFieldProperties) &&
         add("mmstats.fields.InfoField",
             "InfoField(texts=None, label=None, *, help='')\n--\n\n"
             "Texts that belong together, in fields LABEL.KEY. `texts`: the first ones, or a callable that "
             "gives them.",
             new_field<kOf<Sort::kInfo>>, init_info, kHandle, kInfoFieldProperties) &&
         add_number_class<std::int64_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("Int64Field", "A gauge of 64 bits, signed."), init_number) &&
         add_number_class<std::uint64_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("UInt64Field", "A gauge of 64 bits."), init_number) &&
         add_number_class<std::int32_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("IntField", "A gauge of 32 bits, signed."), init_number) &&
         add_number_class<std::uint32_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("UIntField", "A gauge of 32 bits."), init_number) &&
         add_number_class<std::int16_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("ShortField", "A gauge of 16 bits, signed."), init_number) &&
         add_number_class<std::uint16_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("UShortField", "A gauge of 16 bits."), init_number) &&
         add_number_class<std::int8_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("ByteField", "A gauge of 8 bits, signed."), init_number) &&
         add_number_class<std::uint8_t, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("UByteField", "A gauge of 8 bits."), init_number) &&
         add_number_class<float, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("FloatField", "A gauge, a fraction of 32 bits."), init_number) &&
         add_number_class<double, Sort::kNumber>(
             module, state, MMSTATS_NUMBER("DoubleField", "A gauge, a fraction of 64 bits."), init_number) &&
         add_number_class<bool, Sort::kNumber>(
             module, state, "mmstats.fields.BoolField",
             "BoolField(initial=False, label=None, *, unit='', help='', kind=None)\n--\n\n"
             "A condition. `initial`: whether it is true at first.",
             init_bool) &&
         add("mmstats.fields.StringField",
             "StringField(size=255, label=None, *, initial='', unit='', help='')\n--\n\n"
             "A text of up to `size` bytes of UTF-8.",
             new_field<kOf<Sort::kString>>, init_string, kString, kStringFieldProperties) &&
         add_number_class<std::uint32_t, Sort::kStaticNumber>(
             module, state, MMSTATS_FACT("StaticUIntField", "A fact: a whole number of 32 bits."),
             init_static_number) &&
         add_number_class<std::int64_t, Sort::kStaticNumber>(
             module, state, MMSTATS_FACT("StaticInt64Field", "A fact: a whole number of 64 bits, signed."),
             init_static_number) &&
         add_number_class<std::uint64_t, Sort::kStaticNumber>(
             module, state, MMSTATS_FACT("StaticUInt64Field", "A fact: a whole number of 64 bits."),
             init_static_number) &&
         add_number_class<float, Sort::kStaticNumber>(
             module, state, MMSTATS_FACT("StaticFloatField", "A fact: a fraction of 32 bits."),
             init_static_number) &&
         add_number_class<double, Sort::kStaticNumber>(
             module, state, MMSTATS_FACT("StaticDoubleField", "A fact: a fraction of 64 bits."),
             init_static_number) &&
         add("mmstats.fields.StaticTextField",
             "StaticTextField(label=None, value=None, size=256, *, unit='', help='')\n--\n\n"
             "A fact: a text. `value` may be a callable, which is called when a model is made.",
             new_field<kOf<Sort::kStaticText>>, init_static_text, kStatic, kStaticTextProperties) &&
         add("mmstats.fields.SystemField",
             "SystemField(label)\n--\n\n"
             "What the library writes itself.",
             new_field<kOf<Sort::kSystem>>, init_system, kSystem, kNoProperties);
}

#undef MMSTATS_NUMBER
#undef MMSTATS_FACT

}  // namespace mmstats::python
