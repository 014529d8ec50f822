#include "python/native/counter.h"

#include <atomic>
#include <bit>
#include <cstdint>

#include "python/native/number_type.h"

namespace mmstats::python {
namespace {

struct CounterObject {
  PyObject_HEAD Publication* publication;
  detail::Place place;
  bool shared;
};

std::uint64_t* shared_value(CounterObject* self) noexcept {
  self->publication->enter_shared(self->place);
  return reinterpret_cast<std::uint64_t*>(self->place.in_shared());
}

[[gnu::noinline]] std::uint64_t* entered_value(CounterObject* self) noexcept {
  if (self->shared) return shared_value(self);
  self->publication->enter(self->place);
  return reinterpret_cast<std::uint64_t*>(self->place.in_thread());
}

std::uint64_t* counter_value(CounterObject* self) noexcept {
  if (!self->shared) [[likely]] {
    if (std::byte* const address = self->place.known_in_thread()) [[likely]]
      return reinterpret_cast<std::uint64_t*>(address);
  }
  return entered_value(self);
}

void counter_add(CounterObject* self, std::uint64_t amount) noexcept {
  std::uint64_t* const value = counter_value(self);
  if (self->shared) [[unlikely]] {
    std::atomic_ref(*value).fetch_add(amount, std::memory_order_relaxed);
  } else {
    detail::add_in_thread(*value, amount);
  }
}

bool counter_add_object(CounterObject* self, PyObject* amount) noexcept {
  if (!PyLong_Check(amount)) [[unlikely]] {
    const Ref whole(call<PyNumber_Index>(amount));
    return whole && counter_add_object(self, whole.get());
  }
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(amount, &overflow);
  if (value < 0 || overflow != 0) [[unlikely]] {
    if (value == -1 && PyErr_Occurred() != nullptr) return false;
    detail::refuse_amount(self->place);
    self->publication->tell();
    return true;
  }
  counter_add(self, static_cast<std::uint64_t>(value));
  return true;
}

// Whatever is not called as `incr()`: `keyword` is the argument's name.
[[gnu::noinline]] PyObject* add_argument(CounterObject* self, PyObject* const* args, Py_ssize_t nargs,
                                         PyObject* names, const char* keyword) noexcept {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (nargs + named > 1) {
    set_error(PyExc_TypeError, "at most one amount");
    return nullptr;
  }
  if (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), keyword) != 0) {
    set_error(PyExc_TypeError, "the amount is named %s", keyword);
    return nullptr;
  }
  if (!counter_add_object(self, args[0])) return nullptr;
  Py_RETURN_NONE;
}

PyObject* counter_incr(CounterObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  if (nargs != 0 || names != nullptr) return add_argument(self, args, nargs, names, "amount");
  counter_add(self, 1);
  Py_RETURN_NONE;
}

PyObject* counter_inc(CounterObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  const int warned = call<PyErr_WarnEx>(PyExc_DeprecationWarning, "inc() is incr()'s old name", 1);
  if (warned < 0) return nullptr;
  if (nargs != 0 || names != nullptr) return add_argument(self, args, nargs, names, "n");
  counter_add(self, 1);
  Py_RETURN_NONE;
}

PyObject* counter_get_value(CounterObject* self, void* /*closure*/) {
  return to_python(std::atomic_ref(*counter_value(self)).load(std::memory_order_relaxed));
}

int counter_set_value(CounterObject* self, PyObject* value, void* /*closure*/) {
  if (value == nullptr) {
    set_error(PyExc_AttributeError, "the value of a field cannot be deleted");
    return -1;
  }
  std::uint64_t converted = 0;
  if (!convert(value, converted)) return -1;
  std::atomic_ref(*counter_value(self)).store(converted, std::memory_order_relaxed);
  return 0;
}

PyObject* counter_get_total(CounterObject* self, void* closure) {
  if (self->shared) return counter_get_value(self, closure);
  return to_python(std::bit_cast<detail::Cell<std::uint64_t>>(self->place).total());
}

void counter_dealloc(CounterObject* self) {
  self->publication->drop();
  free_object(self);
}

PyObject* counter_repr(CounterObject* self) {
  return show(self, "value", Ref(counter_get_value(self, nullptr)));
}

PyMethodDef kCounterMethods[] = {
    {"incr", as_method(counter_incr), METH_FASTCALL | METH_KEYWORDS,
     "incr(amount=1): adds a whole amount. A negative one adds nothing, and the first is told."},
    {"inc", as_method(counter_inc), METH_FASTCALL | METH_KEYWORDS, "inc(n=1): incr() by its old name."},
    {},
};
PyGetSetDef kCounterProperties[] = {
    {"value", reinterpret_cast<getter>(counter_get_value), reinterpret_cast<setter>(counter_set_value),
     "This thread's; of a shared counter that of all. Set modulo 2**64.", nullptr},
    {"total", reinterpret_cast<getter>(counter_get_total), nullptr,
     "The sum over all threads of this process, ended ones included.", nullptr},
    {},
};
PyMemberDef kCounterMembers[] = {
    {"shared", T_BOOL, offsetof(CounterObject, shared), READONLY, "Whether all threads have one value."},
    {},
};
PyType_Slot kCounterSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(counter_repr)},
    {Py_tp_doc, const_cast<char*>("Counts events, or adds whole amounts up.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(counter_dealloc)},
    {Py_tp_methods, kCounterMethods},
    {Py_tp_getset, kCounterProperties},
    {Py_tp_members, kCounterMembers},
    {},
};
PyType_Spec kCounterSpec{
    .name = "mmstats._native.Counter",
    .basicsize = sizeof(CounterObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kCounterSlots,
};

}  // namespace

PyObject* new_counter(Publication& publication, detail::Place place, bool shared) noexcept {
  auto* const counter = PyObject_New(CounterObject, publication.state().counter);
  if (counter == nullptr) return nullptr;
  counter->publication = publication.hold();
  counter->place = place;
  counter->shared = shared;
  return reinterpret_cast<PyObject*>(counter);
}

bool add_counter(PyObject* module, State& state) {
  state.counter = add_type(module, kCounterSpec);
  return state.counter != nullptr;
}

}  // namespace mmstats::python
