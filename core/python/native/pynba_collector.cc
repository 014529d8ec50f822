#include "python/native/pynba_collector.h"

#include <structmember.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>

#include "python/native/pynba_ref.h"

namespace pynba {
namespace {

CollectorObject* collector_of(PyObject* self) { return reinterpret_cast<CollectorObject*>(self); }

constexpr std::size_t kObjects[] = {
    offsetof(CollectorObject, enabled),     offsetof(CollectorObject, timers),
    offsetof(CollectorObject, scriptname),  offsetof(CollectorObject, hostname),
    offsetof(CollectorObject, servername),  offsetof(CollectorObject, schema),
    offsetof(CollectorObject, tags),        offsetof(CollectorObject, document_size),
    offsetof(CollectorObject, memory_peak), offsetof(CollectorObject, memory_footprint),
    offsetof(CollectorObject, status)};

PyObject*& object_at(PyObject* self, std::size_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + offset);
}

struct Usage {
  double user = 0;
  double system = 0;
};

Usage usage_of(int whose) {
  if (whose != static_cast<int>(Whose::kProcess) && whose != static_cast<int>(Whose::kThread)) return {};
  rusage usage{};
  ::getrusage(whose == static_cast<int>(Whose::kThread) ? RUSAGE_THREAD : RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
}

PyObject* collector_new(PyTypeObject* type, PyObject* /*unused*/, PyObject* /*unused*/) {
  State* state = state_of(type);
  if (state == nullptr) return nullptr;
  const Ref timers(call<PySet_New>(nullptr));
  const Ref tags(call<PyDict_New>());
  if (!timers || !tags) return nullptr;
  auto* self = allocate<PyObject>(type);
  if (self == nullptr) return nullptr;
  CollectorObject* collector = collector_of(self);
  collector->state = state;  // the rest is 0
  for (const std::size_t offset : kObjects) object_at(self, offset) = Ref::to(Py_None).release();
  replace(collector->enabled, Py_True);
  replace(collector->timers, timers.get());
  replace(collector->tags, tags.get());
  return self;
}

int collector_init(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* const kNames[] = {"scriptname", "hostname", "schema", "tags", nullptr};
  PyObject* scriptname = Py_None;
  PyObject* hostname = Py_None;
  PyObject* schema = Py_None;
  PyObject* tags = Py_None;
  if (call<PyArg_ParseTupleAndKeywords>(arguments, keywords, "|OOOO:DataCollector",
                                        const_cast<char**>(kNames), &scriptname, &hostname, &schema,
                                        &tags) == 0) {
    return -1;
  }
  CollectorObject* collector = collector_of(self);
  if (tags != Py_None) {
    const Ref copy(call<PyDict_New>());
    if (!copy || call<PyDict_Update>(copy.get(), tags) != 0) return -1;
    replace(collector->tags, copy.get());
  }
  replace(collector->scriptname, scriptname);
  replace(collector->hostname, hostname);
  replace(collector->schema, schema);
  return 0;
}

int collector_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  for (const std::size_t offset : kObjects) Py_VISIT(object_at(self, offset));
  return 0;
}

int collector_clear(PyObject* self) {
  for (const std::size_t offset : kObjects) Py_CLEAR(object_at(self, offset));
  return 0;
}

void collector_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  collector_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* collector_start(PyObject* self, PyObject* /*unused*/) {
  CollectorObject* collector = collector_of(self);
  if (collector->phase == Phase::kRunning) {
    set_error(PyExc_RuntimeError, "Already started");
    return nullptr;
  }
  collector->is_over = false;
  collector->begin_clock();
  return Ref::to(self).release();
}

PyObject* collector_stop(PyObject* self, PyObject* /*unused*/) {
  CollectorObject* collector = collector_of(self);
  if (collector->phase != Phase::kRunning) {
    set_error(PyExc_RuntimeError, "Not started");
    return nullptr;
  }
  collector->end_clock();
  collector->phase = Phase::kStopped;
  const Ref all = Ref::to(collector->timers);  // foreign code may replace them meanwhile
  if (!all || PySet_Check(all.get()) == 0) return Ref::to(self).release();
  const Ref timers(call<PySequence_List>(all.get()));
  if (!timers) return nullptr;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(timers.get()); ++i) {
    PyObject* const timer = PyList_GET_ITEM(timers.get(), i);
    if (PyObject_TypeCheck(timer, collector->state->timer_type) != 0) {
      reinterpret_cast<TimerObject*>(timer)->stop();
    }
  }
  return Ref::to(self).release();
}

PyObject* collector_end_clock(PyObject* self, PyObject* /*unused*/) {
  if (collector_of(self)->phase == Phase::kRunning) collector_of(self)->end_clock();
  Py_RETURN_NONE;
}

bool forget_timers(CollectorObject& collector) {
  collector.left_out = 0;
  const Ref timers = Ref::to(collector.timers);
  return !timers || PySet_Check(timers.get()) == 0 || call<PySet_Clear>(timers.get()) == 0;
}

PyObject* collector_restart(PyObject* self, PyObject* /*unused*/) {
  CollectorObject* collector = collector_of(self);
  if (!forget_timers(*collector)) return nullptr;
  collector->begin_clock();
  return Ref::to(self).release();
}

PyObject* collector_end(PyObject* self, PyObject* /*unused*/) {
  CollectorObject* collector = collector_of(self);
  if (collector->phase == Phase::kRunning) {
    collector->end_clock();
    collector->phase = Phase::kStopped;
  }
  collector->is_over = true;
  if (!forget_timers(*collector)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* collector_timer(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  CollectorObject* collector = collector_of(self);
  PyObject* tags = tags_of_call(arguments, count, names);
  if (tags == nullptr) return nullptr;
  Ref timer(new_timer(*collector->state, tags, self));
  if (!timer) return nullptr;
  return collector->keep(timer.get()) ? timer.release() : nullptr;
}

PyObject* collector_started(PyObject* self, void* /*unused*/) {
  return PyBool_FromLong(collector_of(self)->phase == Phase::kRunning ? 1 : 0);
}

PyObject* collector_elapsed(PyObject* self, void* /*unused*/) {
  if (collector_of(self)->phase != Phase::kStopped) Py_RETURN_NONE;
  return PyFloat_FromDouble(collector_of(self)->elapsed);
}

PyObject* collector_dt_start(PyObject* self, void* /*unused*/) {
  if (collector_of(self)->phase == Phase::kNew) Py_RETURN_NONE;
  return PyFloat_FromDouble(wall_time_of(collector_of(self)->begin));
}

PyObject* collector_ru_utime(PyObject* self, void* /*unused*/) {
  if (!collector_of(self)->has_usage) Py_RETURN_NONE;
  return PyFloat_FromDouble(collector_of(self)->ru_utime);
}

PyObject* collector_ru_stime(PyObject* self, void* /*unused*/) {
  if (!collector_of(self)->has_usage) Py_RETURN_NONE;
  return PyFloat_FromDouble(collector_of(self)->ru_stime);
}

PyMethodDef collector_methods[] = {
    {"start", collector_start, METH_NOARGS,
     PyDoc_STR(
         "start($self, /)\n--\n\nStart to measure; returns the collector. RuntimeError if it runs already.")},
    {"stop", collector_stop, METH_NOARGS,
     PyDoc_STR("stop($self, /)\n--\n\nStop, and stop the timers that run; returns the collector. "
               "RuntimeError if it "
               "does not run.")},
    {"end_clock", collector_end_clock, METH_NOARGS,
     PyDoc_STR(
         "end_clock($self, /)\n--\n\nThe request took until now, whenever it is stopped; its timers go on.")},
    {"restart", collector_restart, METH_NOARGS,
     PyDoc_STR("restart($self, /)\n--\n\nForget all timers, and start anew; returns the collector.")},
    {"end", collector_end, METH_NOARGS,
     PyDoc_STR(
         "end($self, /)\n--\n\nIt is over, and has no timers: what is made from now on belongs to nothing.")},
    {"timer", as_method(collector_timer), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("timer($self, /, **tags)\n--\n\nA new Timer of this request. Of more than 10,000 those that "
               "come last "
               "are not sent.")},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef collector_members[] = {
    {"enabled", T_OBJECT_EX, offsetof(CollectorObject, enabled), 0,
     PyDoc_STR("Whether it will be sent; True unless changed.")},
    {"timers", T_OBJECT_EX, offsetof(CollectorObject, timers), 0, PyDoc_STR("The set of its timers.")},
    {"scriptname", T_OBJECT_EX, offsetof(CollectorObject, scriptname), 0,
     PyDoc_STR("Script or route; the prefix is put before it when it is sent.")},
    {"hostname", T_OBJECT_EX, offsetof(CollectorObject, hostname), 0, PyDoc_STR("Host name, as it is sent.")},
    {"servername", T_OBJECT_EX, offsetof(CollectorObject, servername), 0,
     PyDoc_STR("Virtual host or service, as it is sent.")},
    {"schema", T_OBJECT_EX, offsetof(CollectorObject, schema), 0, PyDoc_STR("http or https.")},
    {"tags", T_OBJECT_EX, offsetof(CollectorObject, tags), 0,
     PyDoc_STR("Tags of the request: a dict of its own, with values as those of timers.")},
    {"document_size", T_OBJECT_EX, offsetof(CollectorObject, document_size), 0,
     PyDoc_STR("Bytes of the answer; None: what the middleware counted.")},
    {"memory_peak", T_OBJECT_EX, offsetof(CollectorObject, memory_peak), 0,
     PyDoc_STR("Bytes; None is sent as 0.")},
    {"memory_footprint", T_OBJECT_EX, offsetof(CollectorObject, memory_footprint), 0,
     PyDoc_STR("Bytes; None is sent as 0.")},
    {"status", T_OBJECT_EX, offsetof(CollectorObject, status), 0,
     PyDoc_STR("Status as of HTTP; None: what the application answered, or 200.")},
    {"rusage", T_INT, offsetof(CollectorObject, rusage), 0,
     PyDoc_STR("Whose processor time it has from the next start on: 0 the process's, 1 that of the thread, 2 "
               "none.")},
    {"left_out", T_ULONGLONG, offsetof(CollectorObject, left_out), READONLY,
     PyDoc_STR("Timers that there was no room for.")},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef collector_properties[] = {
    {"started", collector_started, nullptr, PyDoc_STR("Whether it runs."), nullptr},
    {"elapsed", collector_elapsed, nullptr,
     PyDoc_STR("Seconds from start to stop; None unless it is stopped."), nullptr},
    {"dt_start", collector_dt_start, nullptr,
     PyDoc_STR("When it began, in seconds since 1970; None if it never ran."), nullptr},
    {"ru_utime", collector_ru_utime, nullptr,
     PyDoc_STR("Seconds of processor time in the program; None before a stop."), nullptr},
    {"ru_stime", collector_ru_stime, nullptr,
     PyDoc_STR("Seconds of processor time in the system; None before a stop."), nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyDoc_STRVAR(collector_doc,
             "Collector(scriptname=None, hostname=None, schema=None, tags=None)\n--\n\n"
             "All that is measured of one request or script: see pynba.core.DataCollector.");

PyType_Slot collector_slots[] = {{Py_tp_doc, const_cast<char*>(collector_doc)},
                                 {Py_tp_new, reinterpret_cast<void*>(collector_new)},
                                 {Py_tp_init, reinterpret_cast<void*>(collector_init)},
                                 {Py_tp_dealloc, reinterpret_cast<void*>(collector_dealloc)},
                                 {Py_tp_traverse, reinterpret_cast<void*>(collector_traverse)},
                                 {Py_tp_clear, reinterpret_cast<void*>(collector_clear)},
                                 {Py_tp_methods, collector_methods},
                                 {Py_tp_members, collector_members},
                                 {Py_tp_getset, collector_properties},
                                 {0, nullptr}};

PyType_Spec collector_spec = {"pynba._native.Collector", sizeof(CollectorObject), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, collector_slots};

}  // namespace

void CollectorObject::begin_clock() noexcept {
  phase = Phase::kRunning;
  is_clock_over = false;
  used_rusage = rusage;
  thread = PyThread_get_thread_ident();
  const Usage usage = usage_of(rusage);
  begin_utime = usage.user;
  begin_stime = usage.system;
  begin = Clock::now();
}

void CollectorObject::end_clock() noexcept {
  if (is_clock_over) return;
  is_clock_over = true;
  elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  has_usage = true;
  ru_utime = ru_stime = 0;
  if (used_rusage == static_cast<int>(Whose::kThread) && thread != PyThread_get_thread_ident()) return;
  const Usage usage = usage_of(used_rusage);
  ru_utime = std::max(usage.user - begin_utime, 0.0);
  ru_stime = std::max(usage.system - begin_stime, 0.0);
}

bool CollectorObject::keep(PyObject* timer) {
  const Ref into = Ref::to(timers);  // foreign code may run meanwhile
  if (is_over || !into || PySet_Check(into.get()) == 0) return true;
  if (PySet_GET_SIZE(into.get()) >= kMostTimers) {
    ++left_out;
    return true;
  }
  return call<PySet_Add>(into.get(), timer) == 0;
}

PyTypeObject* make_collector_type(PyObject* module) {
  return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &collector_spec, nullptr));
}

}  // namespace pynba
