#include "python/native/timer.h"

#include <new>

#include "python/native/number_type.h"
#include "python/native/timing.h"

namespace mmstats::python {
namespace {

struct TimerObject : TimedObject {
  MovingAverage field;
};

TimerObject* timer_of(TimedObject* timed) { return static_cast<TimerObject*>(timed); }

void timer_add_seconds(TimedObject* self, double seconds) { timer_of(self)->field.add(seconds); }

PyObject* timer_add(TimerObject* self, PyObject* value) {
  double converted = 0;
  if (!convert(value, converted)) return nullptr;
  self->publication->enter();
  self->field.add(converted);
  Py_RETURN_NONE;
}

PyObject* timer_start(TimerObject* self, PyObject* /*unused*/) {
  const Ref scope(timed_time(self, nullptr));
  if (!scope) return nullptr;
  const Ref forgotten = self->started.take(self->started.last());
  if (!self->started.hold(scope.get())) return nullptr;
  Py_RETURN_NONE;
}

PyObject* timer_stop(TimerObject* self, PyObject* /*unused*/) {
  const Ref scope = self->started.take(self->started.last());
  if (!scope) {
    set_error(PyExc_RuntimeError, "this thread did not start the timer");
    return nullptr;
  }
  return scope_stop(reinterpret_cast<ScopeObject*>(scope.get()), nullptr);
}

PyObject* timer_get_value(TimerObject* self, void* /*closure*/) {
  self->publication->enter();
  return PyFloat_FromDouble(self->field.value());
}

PyObject* timer_get_last(TimerObject* self, void* closure) {
  const Ref scope = Ref::to(self->started.last());
  if (scope) return scope_get_elapsed(reinterpret_cast<ScopeObject*>(scope.get()), closure);
  self->publication->enter();
  return PyFloat_FromDouble(self->field.last());
}

PyObject* timer_repr(TimerObject* self) { return show(self, "value", Ref(timer_get_value(self, nullptr))); }

PyMethodDef kTimerMethods[] = {
    {"add", as_method(timer_add), METH_O, "add(seconds, /)"},
    {"start", as_method(timer_start), METH_NOARGS, "Starts this thread's one timing, again if it runs."},
    {"stop", as_method(timer_stop), METH_NOARGS, "Ends it; adds and returns its seconds."},
    {"time", as_method(timed_time), METH_NOARGS, "A timing of its own, which began now."},
    {},
};
PyGetSetDef kTimerProperties[] = {
    {"value", reinterpret_cast<getter>(timer_get_value), nullptr, "The mean, in seconds, in this thread.",
     nullptr},
    {"last", reinterpret_cast<getter>(timer_get_last), nullptr,
     "This thread's last value. After start() and before stop(): the seconds so far.", nullptr},
    {},
};
PyType_Slot kTimerSlots[] = {
    {Py_tp_repr, reinterpret_cast<void*>(timer_repr)},
    {Py_tp_doc, const_cast<char*>("A moving average of seconds; also a context manager, and a decorator.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(timed_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(timed_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(timed_clear)},
    {Py_tp_call, reinterpret_cast<void*>(timed_call)},
    {Py_tp_methods, kTimerMethods},
    {Py_tp_getset, kTimerProperties},
    {},
};
PyType_Spec kTimerSpec{
    .name = "mmstats._native.Timer",
    .basicsize = sizeof(TimerObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = kTimerSlots,
};

}  // namespace

PyObject* new_timer(Publication& publication, const MovingAverage& field, PyObject* clock) noexcept {
  auto* const timed = new_timed(publication, publication.state().timer, clock, timer_add_seconds);
  if (timed != nullptr) ::new (&timer_of(timed)->field) MovingAverage(field);
  return reinterpret_cast<PyObject*>(timed);
}

bool add_timer(PyObject* module, State& state) {
  state.timer = add_type(module, kTimerSpec);
  return state.timer != nullptr && add_scope_methods(state, state.timer);
}

}  // namespace mmstats::python
