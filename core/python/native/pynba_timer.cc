#include "python/native/pynba_timer.h"

#include <structmember.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <new>

#include "python/native/pynba_collector.h"
#include "python/native/pynba_ref.h"

namespace pynba {
namespace {

// So many runs of one timer are kept apart; more join those that are nearest.
constexpr std::size_t kMostRuns = 64;

TimerObject* timer_of(PyObject* self) { return reinterpret_cast<TimerObject*>(self); }

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void join_nearest(std::vector<Runs>& runs, double seconds) {
  Runs* nearest = &runs.front();
  double least = std::numeric_limits<double>::infinity();
  for (Runs& each : runs) {
    const double away = std::abs(each.seconds / each.hits - seconds);
    if (away < least) {
      least = away;
      nearest = &each;
    }
  }
  if (nearest->hits == std::numeric_limits<std::uint32_t>::max()) return;
  ++nearest->hits;
  nearest->seconds += seconds;
}

PyObject* misuse(const char* what) {
  set_error(PyExc_RuntimeError, "%s", what);
  return nullptr;
}

TimerObject* allocate_timer(State& state, PyTypeObject* type) {
  auto* timer = allocate<TimerObject>(type);
  if (timer == nullptr) return nullptr;
  timer->state = &state;  // the rest is 0
  return timer;
}

PyObject* timer_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  State* state = state_of(type);
  if (state == nullptr) return nullptr;
  static const char* const kNames[] = {"tags", "parent", nullptr};
  PyObject* tags = nullptr;
  PyObject* parent = Py_None;
  if (call<PyArg_ParseTupleAndKeywords>(arguments, keywords, "O|O:Timer", const_cast<char**>(kNames), &tags,
                                        &parent) == 0) {
    return nullptr;
  }
  Ref copy(call<PyDict_New>());
  // As dict(tags) does it.
  if (!copy) return nullptr;
  const bool is_mapping = call<PyObject_HasAttrString>(tags, "keys") != 0;
  if ((is_mapping ? call<PyDict_Update>(copy.get(), tags)
                  : call<PyDict_MergeFromSeq2>(copy.get(), tags, 1)) != 0) {
    return nullptr;
  }
  TimerObject* timer = allocate_timer(*state, type);
  if (timer == nullptr) return nullptr;
  timer->tags = copy.release();
  timer->parent = Ref::to(parent).release();
  timer->data = Ref::to(Py_None).release();
  return reinterpret_cast<PyObject*>(timer);
}

int timer_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(timer_of(self)->tags);
  Py_VISIT(timer_of(self)->parent);
  Py_VISIT(timer_of(self)->data);
  return 0;
}

int timer_clear(PyObject* self) {
  Py_CLEAR(timer_of(self)->tags);
  Py_CLEAR(timer_of(self)->parent);
  Py_CLEAR(timer_of(self)->data);
  return 0;
}

void timer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  timer_clear(self);
  delete timer_of(self)->more;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* timer_start(PyObject* self, PyObject* /*unused*/) {
  if (!timer_of(self)->start()) return misuse("Already started");
  return Ref::to(self).release();
}

PyObject* timer_stop(PyObject* self, PyObject* /*unused*/) {
  if (!timer_of(self)->stop()) return misuse("Not started");
  return Ref::to(self).release();
}

PyObject* timer_enter(PyObject* self, PyObject* /*unused*/) {
  timer_of(self)->start();
  return Ref::to(self).release();
}

PyObject* timer_exit(PyObject* self, PyObject* const* /*unused*/, Py_ssize_t /*unused*/) {
  timer_of(self)->stop();
  Py_RETURN_NONE;
}

// The collection of timers that the timer belongs to; none, without an exception, where it belongs to
// nothing.
Ref timers_of(const TimerObject& timer) {
  const Ref parent = Ref::to(timer.parent);  // foreign code may run
  if (!parent || parent.get() == Py_None) return {};
  return Ref(call<PyObject_GetAttr>(parent.get(), timer.state->name_timers));
}

PyObject* timer_delete(PyObject* self, PyObject* /*unused*/) {
  const Ref timers = timers_of(*timer_of(self));
  if (!timers) {
    if (PyErr_Occurred() != nullptr) return nullptr;
    Py_RETURN_NONE;
  }
  if (PySet_Check(timers.get())) {
    if (call<PySet_Discard>(timers.get(), self) < 0) return nullptr;
    Py_RETURN_NONE;
  }
  const Ref done(call<PyObject_CallMethodOneArg>(timers.get(), timer_of(self)->state->name_discard, self));
  if (!done) return nullptr;
  Py_RETURN_NONE;
}

PyObject* timer_clone(PyObject* self, PyObject* /*unused*/) {
  TimerObject* timer = timer_of(self);
  State& state = *timer->state;
  // Foreign code may run, and give it other tags and another parent.
  const Ref given = Ref::to(timer->tags);
  const Ref parent = Ref::to(timer->parent != nullptr ? timer->parent : Py_None);
  Ref tags(call<PyDict_New>());
  if (!tags || (given && given.get() != Py_None && call<PyDict_Update>(tags.get(), given.get()) != 0))
    return nullptr;
  Ref clone(new_timer(state, tags.release(), parent.get()));
  if (!clone) return nullptr;
  if (timer->data != nullptr) replace(timer_of(clone.get())->data, timer->data);
  if (PyObject_TypeCheck(parent.get(), state.collector_type) != 0) {
    return reinterpret_cast<CollectorObject*>(parent.get())->keep(clone.get()) ? clone.release() : nullptr;
  }
  const Ref timers = timers_of(*timer);
  if (!timers) return PyErr_Occurred() != nullptr ? nullptr : clone.release();
  if (PySet_Check(timers.get()) && PySet_Size(timers.get()) < kMostTimers &&
      call<PySet_Add>(timers.get(), clone.get()) != 0) {
    return nullptr;
  }
  return clone.release();
}

PyObject* timer_call(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* const kNames[] = {"func", nullptr};
  PyObject* function = nullptr;
  if (call<PyArg_ParseTupleAndKeywords>(arguments, keywords, "O:Timer", const_cast<char**>(kNames),
                                        &function) == 0) {
    return nullptr;
  }
  PyObject* measured = imported(timer_of(self)->state->measured, "pynba.decorator", "measured");
  return measured == nullptr ? nullptr
                             : call<PyObject_CallFunctionObjArgs>(measured, self, function, nullptr);
}

PyObject* timer_repr(PyObject* self) {
  const TimerObject* timer = timer_of(self);
  const char* name = Py_TYPE(self)->tp_name;
  if (const char* dot = std::strrchr(name, '.'); dot != nullptr) name = dot + 1;
  const Ref tags = Ref::to(timer->tags != nullptr ? timer->tags : Py_None);
  if (timer->phase == Phase::kNew) return call<PyUnicode_FromFormat>("<%s(%R)>", name, tags.get());
  const bool stopped = timer->phase == Phase::kStopped;
  const Ref number(PyFloat_FromDouble(stopped ? timer->elapsed : wall_time_of(timer->begin)));
  if (!number) return nullptr;
  return call<PyUnicode_FromFormat>("<%s(%R) %s:%R>", name, tags.get(), stopped ? "elapsed" : "started",
                                    number.get());
}

PyObject* timer_started(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(timer_of(self)->phase == Phase::kRunning ? 1 : 0);
}

PyObject* timer_elapsed(PyObject* self, void* /*unused*/) {
  if (timer_of(self)->phase != Phase::kStopped) Py_RETURN_NONE;
  return PyFloat_FromDouble(timer_of(self)->elapsed);
}

PyObject* timer_dt_start(PyObject* self, void* /*unused*/) {
  if (timer_of(self)->phase == Phase::kNew) Py_RETURN_NONE;
  return PyFloat_FromDouble(wall_time_of(timer_of(self)->begin));
}

PyMethodDef timer_methods[] = {
    {"start", timer_start, METH_NOARGS,
     PyDoc_STR(
         "start($self, /)\n--\n\nStart to measure; returns the timer. RuntimeError if it runs already.")},
    {"stop", timer_stop, METH_NOARGS,
     PyDoc_STR("stop($self, /)\n--\n\nStop; returns the timer. RuntimeError if it does not run.\n\n"
               "Each start and stop is one hit in the packet.")},
    {"delete", timer_delete, METH_NOARGS,
     PyDoc_STR("delete($self, /)\n--\n\nTake it out of its request: it will not be sent.")},
    {"clone", timer_clone, METH_NOARGS,
     PyDoc_STR(
         "clone($self, /)\n--\n\nAnother timer with the same tags and data, of the same request, that has "
         "not run.")},
    {"__enter__", timer_enter, METH_NOARGS, PyDoc_STR("Start it, unless it runs.")},
    {"__exit__", as_method(timer_exit), METH_FASTCALL, PyDoc_STR("Stop it, if it runs.")},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef timer_members[] = {
    {"tags", T_OBJECT_EX, offsetof(TimerObject, tags), 0,
     PyDoc_STR("What the time is counted under: a dict of its own, read when the packet is made.")},
    {"parent", T_OBJECT_EX, offsetof(TimerObject, parent), 0,
     PyDoc_STR("The DataCollector it belongs to, or None.")},
    {"data", T_OBJECT_EX, offsetof(TimerObject, data), 0, PyDoc_STR("Anything of yours; it is not sent.")},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef timer_properties[] = {
    {"started", timer_started, nullptr, PyDoc_STR("Whether it runs."), nullptr},
    {"elapsed", timer_elapsed, nullptr,
     PyDoc_STR("Seconds of its last run; None if it never ran, or while it runs."), nullptr},
    {"dt_start", timer_dt_start, nullptr,
     PyDoc_STR("When its last run began, in seconds since 1970; None if it never ran."), nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyDoc_STRVAR(
    timer_doc,
    "Timer(tags, parent=None)\n--\n\n"
    "Measures how long something takes, under some tags.\n\n"
    "    timer = pynba.timer(group='mysql', op='select')\n"
    "    timer.start()\n"
    "    ...\n"
    "    timer.stop()\n\n"
    "    with pynba.timer(group='mysql'):\n"
    "        ...\n\n"
    "    @pynba.timer(group='mysql')\n"
    "    def select(): ...\n\n"
    "A tag's value is a text, a number, a sequence or set (one tag for each element), a mapping (tags\n"
    "NAME.KEY) or a callable, which is called when the packet is made. As a decorator it measures each\n"
    "call with a clone; functions that are coroutines or generators are measured to their end.");

PyType_Slot timer_slots[] = {{Py_tp_doc, const_cast<char*>(timer_doc)},
                             {Py_tp_new, reinterpret_cast<void*>(timer_new)},
                             {Py_tp_dealloc, reinterpret_cast<void*>(timer_dealloc)},
                             {Py_tp_traverse, reinterpret_cast<void*>(timer_traverse)},
                             {Py_tp_clear, reinterpret_cast<void*>(timer_clear)},
                             {Py_tp_call, reinterpret_cast<void*>(timer_call)},
                             {Py_tp_repr, reinterpret_cast<void*>(timer_repr)},
                             {Py_tp_methods, timer_methods},
                             {Py_tp_members, timer_members},
                             {Py_tp_getset, timer_properties},
                             {0, nullptr}};

PyType_Spec timer_spec = {"pynba.core.Timer", sizeof(TimerObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, timer_slots};

}  // namespace

bool TimerObject::start() noexcept {
  if (phase == Phase::kRunning) return false;
  phase = Phase::kRunning;
  begin = Clock::now();
  return true;
}

bool TimerObject::stop() noexcept {
  if (phase != Phase::kRunning) return false;
  elapsed = seconds_since(begin);
  phase = Phase::kStopped;
  if (first.hits == 0) {
    first = {1, elapsed};
    return true;
  }
  try {
    if (more == nullptr) more = new std::vector<Runs>;
    if (more->size() < kMostRuns) {
      more->push_back({1, elapsed});
    } else {
      join_nearest(*more, elapsed);
    }
  } catch (const std::bad_alloc&) {  // the sum is still right
    ++first.hits;
    first.seconds += elapsed;
  }
  return true;
}

PyObject* new_timer(State& state, PyObject* owned_tags, PyObject* parent) {
  Ref tags(owned_tags);
  TimerObject* timer = allocate_timer(state, state.timer_type);
  if (timer == nullptr) return nullptr;
  timer->tags = tags.release();
  timer->parent = Ref::to(parent).release();
  timer->data = Ref::to(Py_None).release();
  return reinterpret_cast<PyObject*>(timer);
}

double wall_time_of(Clock::time_point begin) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count() - seconds_since(begin);
}

PyTypeObject* make_timer_type(PyObject* module) {
  return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &timer_spec, nullptr));
}

}  // namespace pynba
