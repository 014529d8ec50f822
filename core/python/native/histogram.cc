#include "python/native/histogram.h"

#include <new>

#include "python/native/number_type.h"
#include "python/native/timing.h"

namespace mmstats::python {
namespace {

struct HistogramObject : TimedObject {
  AnyHistogram field;
};

void histogram_add_value(TimedObject* self, double value) {
  auto& any = static_cast<HistogramObject*>(self)->field;
  if (const auto* const plain = std::get_if<Histogram>(&any)) return plain->add(value);
  if (const auto* const moving = std::get_if<MovingHistogram>(&any)) return moving->add(value);
  if (const auto* const window = std::get_if<WindowHistogram>(&any)) window->add(value);
}

PyObject* histogram_add(HistogramObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs < 1 || nargs > 2) {
    set_error(PyExc_TypeError, "a value is needed, and how many of it, if there are more than one");
    return nullptr;
  }
  double value = 0;
  if (!convert(args[0], value)) return nullptr;
  if (nargs == 1) [[likely]] {
    self->publication->enter();
    histogram_add_value(self, value);
    Py_RETURN_NONE;
  }
  const Ref whole(call<PyNumber_Index>(args[1]));
  if (!whole) return nullptr;
  int overflow = 0;
  const long long times = PyLong_AsLongLongAndOverflow(whole.get(), &overflow);
  const auto* const plain = std::get_if<Histogram>(&self->field);
  constexpr long long kMostByHand = 1'000'000;
  if (times < 0 || overflow != 0 || (plain == nullptr && times > kMostByHand)) {
    if (PyErr_Occurred() == nullptr) set_error(PyExc_ValueError, "so many values cannot be added");
    return nullptr;
  }
  self->publication->enter();
  if (plain != nullptr) {
    if (times > 0) plain->add(value, static_cast<std::uint64_t>(times));
  } else {
    for (long long i = 0; i < times; ++i) histogram_add_value(self, value);
  }
  Py_RETURN_NONE;
}

template <auto kRead>
PyObject* histogram_get(HistogramObject* self, void* /*closure*/) {
  self->publication->enter();
  return to_python(std::visit([](const auto& field) { return kRead(field); }, self->field));
}

PyObject* histogram_repr(HistogramObject* self) {
  return show(self, "count",
              Ref(histogram_get<[](const auto& field) { return field.count(); }>(self, nullptr)));
}

PyMethodDef kHistogramMethods[] = {
    {"add", as_method(histogram_add), METH_FASTCALL,
     "add(value, times=1, /): NaN and infinite values are left out."},
    {"observe", as_method(histogram_add), METH_FASTCALL, "add() as prometheus_client has it."},
    {"time", as_method(timed_time), METH_NOARGS, "A timing, in seconds, that began now."},
    {},
};
#define MMSTATS_READ(NAME, DOC)                                                                             \
  {#NAME, reinterpret_cast<getter>(histogram_get<[](const auto& field) { return field.NAME(); }>), nullptr, \
   DOC, nullptr}
PyGetSetDef kHistogramProperties[] = {
    MMSTATS_READ(count, "How many values, since the thread's file began."),
    MMSTATS_READ(sum, "Their sum."),
    MMSTATS_READ(min, "The least."),
    MMSTATS_READ(max, "The greatest."),
    MMSTATS_READ(p50, "The value that half of them are not above."),
    MMSTATS_READ(p90, "The value that 90 of 100 are not above."),
    MMSTATS_READ(p99, "The value that 99 of 100 are not above."),
    MMSTATS_READ(p999, "The value that 999 of 1,000 are not above."),
    {},
};
#undef MMSTATS_READ
PyType_Slot kHistogramSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(histogram_repr)},
    {Py_tp_doc,
     const_cast<char*>("A distribution of values, in this thread; also a context manager, and a decorator.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(timed_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(timed_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(timed_clear)},
    {Py_tp_call, reinterpret_cast<void*>(timed_call)},
    {Py_tp_methods, kHistogramMethods},
    {Py_tp_getset, kHistogramProperties},
    {},
};
PyType_Spec kHistogramSpec{
    .name = "mmstats._native.Histogram",
    .basicsize = sizeof(HistogramObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = kHistogramSlots,
};

}  // namespace

PyObject* new_histogram(Publication& publication, const AnyHistogram& field) noexcept {
  TimedObject* const timed =
      new_timed(publication, publication.state().histogram, nullptr, histogram_add_value);
  if (timed != nullptr) ::new (&static_cast<HistogramObject*>(timed)->field) AnyHistogram(field);
  return reinterpret_cast<PyObject*>(timed);
}

bool add_histogram(PyObject* module, State& state) {
  state.histogram = add_type(module, kHistogramSpec);
  return state.histogram != nullptr && add_scope_methods(state, state.histogram);
}

}  // namespace mmstats::python
