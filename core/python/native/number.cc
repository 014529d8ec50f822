#include "python/native/number.h"

#include <cstring>

#include "mmstats/fields.h"

namespace mmstats::python {
namespace {

template <detail::Number T>
std::uint64_t raw_of(T value) noexcept {
  std::uint64_t raw = 0;
  std::memcpy(&raw, &value, sizeof value);
  return raw;
}
template <detail::Number T>
T raw_as(std::uint64_t raw) noexcept {
  T value{};
  std::memcpy(&value, &raw, sizeof value);
  return value;
}

template <detail::Number T>
bool convert_to_raw(PyObject* from, std::uint64_t& raw) {
  T value{};
  if (!convert(from, value)) return false;
  raw = raw_of(value);
  return true;
}

template <detail::Number T>
detail::Place add_number_field(Model& model, std::string_view label, const About& about, std::uint64_t raw,
                               bool shared) {
  constexpr Kind kKind = std::is_same_v<T, bool> ? Kind::kState : Kind::kGauge;
  constexpr bool kBuffered = sizeof(T) > 1;
  if (shared) return detail::Cell<T, true>(model, label, about, kKind, raw_as<T>(raw), kBuffered).place();
  return detail::Cell<T>(model, label, about, kKind, raw_as<T>(raw), kBuffered).place();
}

// Whether the amount would make a number that only grows fall; those of more than half the range are
// negative.
template <detail::Number T>
bool is_negative(T amount) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return static_cast<std::make_signed_t<T>>(amount) < 0;
  } else {
    return amount < T{};
  }
}

template <detail::Number T>
bool add_to_number(NumberObject* number, PyObject* amount, bool subtract) {
  T value{};
  if (!convert(amount, value)) return false;
  if (number->only_grows && (subtract ? value != T{} : is_negative(value))) {
    detail::refuse_amount(number->place);
    number->publication->tell();
    return true;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) {
      detail::refuse_amount(number->place);
      number->publication->tell();
      return true;
    }
    if (subtract) value = -value;
  } else if constexpr (!std::is_same_v<T, bool>) {
    if (subtract) value = static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(value));
  }
  T* const address = address_of<T>(number);
  if constexpr (std::is_same_v<T, bool>) {
    if (value) std::atomic_ref(*address).store(!subtract, std::memory_order_relaxed);
  } else if (number->shared) {
    std::atomic_ref(*address).fetch_add(value, std::memory_order_relaxed);
  } else {
    detail::add_in_thread(*address, value);
  }
  return true;
}

template <detail::Number T>
PyObject* total_of_number(NumberObject* number) {
  using Own = detail::Cell<T>;
  if (number->shared || sizeof(T) == 1) return get_number<T>(number);
  (void)address_of<T>(number);
  return to_python(std::bit_cast<Own>(number->place).total());
}

}  // namespace

template <detail::Number T>
const NumberType& number_type() noexcept {
  static constexpr NumberType kType{
      .code = detail::code_of<T>(),
      .convert = convert_to_raw<T>,
      .to_python = [](std::uint64_t raw) { return to_python(raw_as<T>(raw)); },
      .add_field = add_number_field<T>,
      .add_fact = [](Model& model, std::string_view label, const About& about,
                     std::uint64_t raw) { StaticField<T>(model, label, raw_as<T>(raw), about); },
      .set = [](NumberObject* number, PyObject* value) { return set_number<T>(number, value); },
      .get = [](NumberObject* number) { return get_number<T>(number); },
      .add = add_to_number<T>,
      .total = total_of_number<T>,
  };
  return kType;
}

template const NumberType& number_type<std::int64_t>() noexcept;
template const NumberType& number_type<std::uint64_t>() noexcept;
template const NumberType& number_type<std::int32_t>() noexcept;
template const NumberType& number_type<std::uint32_t>() noexcept;
template const NumberType& number_type<std::int16_t>() noexcept;
template const NumberType& number_type<std::uint16_t>() noexcept;
template const NumberType& number_type<std::int8_t>() noexcept;
template const NumberType& number_type<std::uint8_t>() noexcept;
template const NumberType& number_type<bool>() noexcept;
template const NumberType& number_type<float>() noexcept;
template const NumberType& number_type<double>() noexcept;

PyObject* new_number(Publication& publication, const NumberType& type, detail::Place place, bool shared,
                     bool only_grows) noexcept {
  auto* const number = PyObject_New(NumberObject, publication.state().number);
  if (number == nullptr) return nullptr;
  number->publication = publication.hold();
  number->type = &type;
  number->place = place;
  number->shared = shared;
  number->only_grows = only_grows;
  return reinterpret_cast<PyObject*>(number);
}

namespace {

void number_dealloc(NumberObject* self) {
  self->publication->drop();
  free_object(self);
}

PyObject* number_set(NumberObject* self, PyObject* value) {
  if (!self->type->set(self, value)) return nullptr;
  Py_RETURN_NONE;
}

template <bool kSubtract>
PyObject* number_add(NumberObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs > 1) {
    set_error(PyExc_TypeError, "at most one amount");
    return nullptr;
  }
  Ref one;
  if (nargs == 0) {
    one = Ref(PyLong_FromLong(1));
    if (!one) return nullptr;
  }
  if (!self->type->add(self, nargs == 0 ? one.get() : args[0], kSubtract)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* number_get_value(NumberObject* self, void* /*closure*/) { return self->type->get(self); }

int number_set_value(NumberObject* self, PyObject* value, void* /*closure*/) {
  if (value == nullptr) {
    set_error(PyExc_AttributeError, "the value of a field cannot be deleted");
    return -1;
  }
  return self->type->set(self, value) ? 0 : -1;
}

PyObject* number_get_total(NumberObject* self, void* /*closure*/) { return self->type->total(self); }

PyObject* number_get_code(NumberObject* self, void* /*closure*/) {
  return PyUnicode_FromStringAndSize(&self->type->code, 1);
}

PyObject* number_repr(NumberObject* self) {
  return show(self, "value", Ref(number_get_value(self, nullptr)));
}

PyMethodDef kNumberMethods[] = {
    {"set", as_method(number_set), METH_O, "set(value, /): stores it, as an assignment does."},
    {"add", as_method(number_add<false>), METH_FASTCALL,
     "add(amount=1, /): adds; atomically if the number is shared."},
    {"subtract", as_method(number_add<true>), METH_FASTCALL, "subtract(amount=1, /)"},
    {},
};
PyGetSetDef kNumberProperties[] = {
    {"value", reinterpret_cast<getter>(number_get_value), reinterpret_cast<setter>(number_set_value),
     "This thread's; of a shared number that of all.", nullptr},
    {"total", reinterpret_cast<getter>(number_get_total), nullptr,
     "The sum over the threads of this process that live. Of a byte or bool: value.", nullptr},
    {"code", reinterpret_cast<getter>(number_get_code), nullptr, "The type, as module struct has it.",
     nullptr},
    {},
};
PyMemberDef kNumberMembers[] = {
    {"shared", T_BOOL, offsetof(NumberObject, shared), READONLY, "Whether all threads have one value."},
    {},
};
PyType_Slot kNumberSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(number_repr)},
    {Py_tp_doc, const_cast<char*>("A number of this moment.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(number_dealloc)},
    {Py_tp_methods, kNumberMethods},
    {Py_tp_getset, kNumberProperties},
    {Py_tp_members, kNumberMembers},
    {},
};
PyType_Spec kNumberSpec{
    .name = "mmstats._native.Number",
    .basicsize = sizeof(NumberObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kNumberSlots,
};

}  // namespace

bool add_number(PyObject* module, State& state) {
  state.number = add_type(module, kNumberSpec);
  return state.number != nullptr;
}

}  // namespace mmstats::python
