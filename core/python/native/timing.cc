#include "python/native/timing.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "python/native/number_type.h"

namespace mmstats::python {

enum class Phase : std::uint8_t { kFresh, kRunning, kDone };

struct ScopeObject {
  PyObject_HEAD vectorcallfunc call;
  TimedObject* timed;
  double began;  // on the clock
  double elapsed;
  Phase phase;
  bool by_hand;  // only one of the two methods was looked up: it is not a `with`
};

namespace {

PyObject* object(void* any) noexcept { return static_cast<PyObject*>(any); }

// Seconds.
bool read_clock(TimedObject* timed, double& into) noexcept {
  if (timed->clock == nullptr) [[likely]] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    into = 1e-9 * static_cast<double>(std::chrono::nanoseconds(now).count());
    return true;
  }
  const Ref clock = Ref::to(timed->clock);
  const Ref now(call<PyObject_CallNoArgs>(clock.get()));
  return now && convert(now.get(), into);
}

ScopeObject* new_scope(TimedObject* timed) noexcept;

bool begin_scope(ScopeObject* scope) noexcept {
  if (scope->phase != Phase::kFresh) {
    set_error(PyExc_RuntimeError, "this timing began before");
    return false;
  }
  double now = 0;
  if (!read_clock(scope->timed, now)) return false;
  scope->began = now;
  scope->phase = Phase::kRunning;
  return true;
}

// Once; afterwards nothing.
bool stop_scope(ScopeObject* scope) noexcept {
  if (scope->phase == Phase::kDone) return true;
  if (scope->phase == Phase::kFresh) {
    set_error(PyExc_RuntimeError, "this timing has not begun");
    return false;
  }
  double now = 0;
  if (!read_clock(scope->timed, now)) return false;
  if (scope->phase == Phase::kDone) return true;  // the clock did it
  scope->phase = Phase::kDone;
  scope->elapsed = now - scope->began;
  scope->timed->publication->enter();
  scope->timed->add(scope->timed, scope->elapsed);
  return true;
}

// The seconds so far.
bool elapsed_of(ScopeObject* scope, double& into) noexcept {
  if (scope->phase != Phase::kRunning) {
    into = scope->elapsed;
    return true;
  }
  double now = 0;
  if (!read_clock(scope->timed, now)) return false;
  into = scope->phase == Phase::kRunning ? now - scope->began : scope->elapsed;
  return true;
}

// ---- Scope

PyObject* scope_enter(ScopeObject* scope) noexcept {
  if (scope->timed->pending == scope) scope->timed->pending = nullptr;
  if (!begin_scope(scope)) return nullptr;
  if (scope->by_hand && !scope->timed->entered.hold(object(scope))) return nullptr;
  return Py_NewRef(object(scope));
}

PyObject* scope_exit(ScopeObject* scope) noexcept {
  if (scope->timed->pending == scope) scope->timed->pending = nullptr;
  Ref held;
  if (scope->by_hand) [[unlikely]] {
    HeldScopes& entered = scope->timed->entered;
    held = entered.take(scope->phase == Phase::kFresh ? entered.last() : object(scope));
    if (held) scope = reinterpret_cast<ScopeObject*>(held.get());
  }
  if (!stop_scope(scope)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* scope_vectorcall(PyObject* self, PyObject* const* /*args*/, std::size_t count, PyObject* names) {
  const Py_ssize_t given = PyVectorcall_NARGS(count);
  auto* const scope = reinterpret_cast<ScopeObject*>(self);
  if (names == nullptr || PyTuple_GET_SIZE(names) == 0) {
    if (given == 3) return scope_exit(scope);
    if (given == 0) return scope_enter(scope);
  }
  set_error(PyExc_TypeError, "__enter__ takes no arguments, __exit__ three");
  return nullptr;
}

ScopeObject* new_scope(TimedObject* timed) noexcept {
  auto* const scope = allocate_bare<ScopeObject>(timed->publication->state().scope);
  if (scope == nullptr) return nullptr;
  scope->call = scope_vectorcall;
  scope->timed = timed;
  Py_INCREF(timed);
  scope->began = 0;
  scope->elapsed = 0;
  scope->phase = Phase::kFresh;
  scope->by_hand = true;
  PyObject_GC_Track(scope);
  return scope;
}

int scope_traverse(ScopeObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->timed);
  return 0;
}

// What is timed must stay as long as the scope: cycles are cut there.
void scope_dealloc(ScopeObject* self) {
  PyObject_GC_UnTrack(self);
  if (self->timed->pending == self) self->timed->pending = nullptr;
  clear(self->timed);
  free_object(self);
}

PyObject* scope_self(PyObject* self, PyObject* /*unused*/) { return Py_NewRef(self); }

}  // namespace

PyObject* scope_stop(ScopeObject* self, PyObject* /*unused*/) {
  if (!stop_scope(self)) return nullptr;
  return PyFloat_FromDouble(self->elapsed);
}

PyObject* scope_get_elapsed(ScopeObject* self, void* /*closure*/) {
  double elapsed = 0;
  if (!elapsed_of(self, elapsed)) return nullptr;
  return PyFloat_FromDouble(elapsed);
}

namespace {

PyObject* scope_end(ScopeObject* self, PyObject* const* /*args*/, Py_ssize_t /*nargs*/) {
  if (!stop_scope(self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* scope_cancel(ScopeObject* self, PyObject* /*unused*/) {
  if (self->phase != Phase::kDone) {
    double elapsed = 0;
    if (!elapsed_of(self, elapsed)) return nullptr;
    self->elapsed = elapsed;
    self->phase = Phase::kDone;
  }
  Py_RETURN_NONE;
}

PyObject* scope_get_done(ScopeObject* self, void* /*closure*/) {
  return PyBool_FromLong(self->phase == Phase::kDone ? 1 : 0);
}

PyMethodDef kScopeMethods[] = {
    {"stop", as_method(scope_stop), METH_NOARGS, "Ends it, once; adds and returns the seconds."},
    {"cancel", as_method(scope_cancel), METH_NOARGS, "Ends it and adds nothing."},
    {"__enter__", as_method(scope_self), METH_NOARGS, nullptr},
    {"__exit__", as_method(scope_end), METH_FASTCALL, nullptr},
    {},
};
PyGetSetDef kScopeProperties[] = {
    {"elapsed", reinterpret_cast<getter>(scope_get_elapsed), nullptr, "Seconds until now, or until it ended.",
     nullptr},
    {"done", reinterpret_cast<getter>(scope_get_done), nullptr, "Whether it has ended.", nullptr},
    {},
};
PyMemberDef kScopeMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ScopeObject, call), READONLY, nullptr},
    {},
};
PyType_Slot kScopeSlots[] = {
    {Py_tp_doc, const_cast<char*>("One timing. Ended by stop(), or by the end of its `with`.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(scope_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(scope_traverse)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_methods, kScopeMethods},
    {Py_tp_getset, kScopeProperties},
    {Py_tp_members, kScopeMembers},
    {},
};
PyType_Spec kScopeSpec{
    .name = "mmstats._native.Scope",
    .basicsize = sizeof(ScopeObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = kScopeSlots,
};

// ---- __enter__ and __exit__ of what is timed

struct ScopeMethodObject {
  PyObject_HEAD bool exits;
};

PyObject* look_up(TimedObject* timed, bool exits) noexcept {
  constexpr bool kExitIsFirst = PY_VERSION_HEX >= 0x030E0000;
  if (exits != kExitIsFirst) {
    if (ScopeObject* const pending = std::exchange(timed->pending, nullptr)) {
      pending->by_hand = false;
      return Py_NewRef(object(pending));
    }
    return object(new_scope(timed));
  }
  // From here to the other look-up no other code runs.
  return object(timed->pending = new_scope(timed));
}

bool is_timed(const ScopeMethodObject* self, PyObject* instance) noexcept {
  const State& state = state_of(Py_TYPE(self));
  if (Py_IS_TYPE(instance, state.timer) || Py_IS_TYPE(instance, state.histogram)) return true;
  set_error(PyExc_TypeError, "a timer or histogram is needed, not %.200s", Py_TYPE(instance)->tp_name);
  return false;
}

PyObject* scope_method_get(ScopeMethodObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(object(self));
  if (!is_timed(self, instance)) return nullptr;
  return look_up(reinterpret_cast<TimedObject*>(instance), self->exits);
}

// Timer.__enter__(timer)
PyObject* scope_method_call(ScopeMethodObject* self, PyObject* args, PyObject* keywords) {
  const Py_ssize_t wanted = self->exits ? 4 : 1;
  if (PyTuple_GET_SIZE(args) != wanted || (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0)) {
    set_error(PyExc_TypeError, "%zd arguments are needed", wanted);
    return nullptr;
  }
  PyObject* const instance = PyTuple_GET_ITEM(args, 0);
  const Ref scope(scope_method_get(self, instance, nullptr));
  if (!scope) return nullptr;
  auto* const its = reinterpret_cast<ScopeObject*>(scope.get());
  return self->exits ? scope_exit(its) : scope_enter(its);
}

// It is in a type's dictionary, and its own type has the module, which has that one.
int scope_method_traverse(ScopeMethodObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return 0;
}

void scope_method_dealloc(ScopeMethodObject* self) {
  PyObject_GC_UnTrack(self);
  free_object(self);
}

PyType_Slot kScopeMethodSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(scope_method_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(scope_method_traverse)},
    {Py_tp_descr_get, reinterpret_cast<void*>(scope_method_get)},
    {Py_tp_call, reinterpret_cast<void*>(scope_method_call)},
    {},
};
PyType_Spec kScopeMethodSpec{
    .name = "mmstats._native.ScopeMethod",
    .basicsize = sizeof(ScopeMethodObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = kScopeMethodSlots,
};

}  // namespace

// ---- what is timed

TimedObject* new_timed(Publication& publication, PyTypeObject* type, PyObject* clock,
                       void (*add)(TimedObject*, double)) noexcept {
  Ref held = Ref::to(clock);  // its field may get another one
  auto* const timed = allocate<TimedObject>(type);
  if (timed == nullptr) return nullptr;
  timed->publication = publication.hold();
  timed->clock = held.release();
  timed->pending = nullptr;
  ::new (&timed->entered) HeldScopes();
  ::new (&timed->started) HeldScopes();
  timed->add = add;
  return timed;
}

int timed_traverse(TimedObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->clock);
  const int entered = self->entered.traverse(visit, arg);
  return entered != 0 ? entered : self->started.traverse(visit, arg);
}

int timed_clear(TimedObject* self) {
  clear(self->clock);
  self->entered.clear();
  self->started.clear();
  return 0;
}

void timed_dealloc(TimedObject* self) {
  PyObject_GC_UnTrack(self);
  timed_clear(self);
  std::destroy_at(&self->entered);
  std::destroy_at(&self->started);
  self->publication->drop();
  free_object(self);
}

bool add_scope_methods(State& state, PyTypeObject* type) {
  for (const bool exits : {false, true}) {
    auto* const method = allocate_bare<ScopeMethodObject>(state.scope_method);
    if (method == nullptr) return false;
    method->exits = exits;
    PyObject_GC_Track(method);
    const Ref held(object(method));
    if (call<PyObject_SetAttrString>(object(type), exits ? "__exit__" : "__enter__", held.get()) < 0)
      return false;
  }
  type->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;  // as the other handles are
  PyType_Modified(type);
  return true;
}

PyObject* timed_time(TimedObject* self, PyObject* /*unused*/) {
  Ref scope(object(new_scope(self)));
  if (!scope || !begin_scope(reinterpret_cast<ScopeObject*>(scope.get()))) return nullptr;
  return scope.release();
}

PyObject* timed_call(TimedObject* self, PyObject* args, PyObject* keywords) {
  PyObject* function = nullptr;
  if (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0) {
    set_error(PyExc_TypeError, "a function is wanted, without a name");
    return nullptr;
  }
  if (call<PyArg_UnpackTuple>(args, "timed", 0, 1, &function) == 0) return nullptr;
  if (function == nullptr) return Py_NewRef(object(self));
  const Ref module(call<PyImport_ImportModule>("mmstats.timing"));
  const Ref timed(module ? call<PyObject_CallMethod>(module.get(), "timed", "O", object(self)) : nullptr);
  return timed ? call<PyObject_CallOneArg>(timed.get(), function) : nullptr;
}

bool add_timing(PyObject* module, State& state) {
  state.scope_method =
      reinterpret_cast<PyTypeObject*>(call<PyType_FromModuleAndSpec>(module, &kScopeMethodSpec, nullptr));
  state.scope = add_type(module, kScopeSpec);
  return state.scope_method != nullptr && state.scope != nullptr;
}

}  // namespace mmstats::python
