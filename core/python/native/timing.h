// Timings: what handles of timers and histograms have in common.
//
// `with handle:` looks `__enter__` and `__exit__` up, one after the other (from Python 3.14 on in the other
// order), and only then calls __enter__.
// Both are descriptors that give one and the same Scope: it begins when it is called without arguments, and
// ends when it is called with three. So each `with` has a Scope of its own, in nested calls, threads and
// coroutines, for the price of one object. Who calls the two methods by hand finds the last Scope that was
// entered in the same thread.
#pragma once

#include "python/native/held_scopes.h"
#include "python/native/publication.h"

namespace mmstats::python {

struct ScopeObject;

// The beginning of each handle that can be timed. Tracked by the collector.
struct TimedObject {
  PyObject_HEAD Publication* publication;
  PyObject* clock;       // a callable that returns seconds; null: one that never steps
  ScopeObject* pending;  // made by the first of the two look-ups, and not yet found by the other; not owned
  HeldScopes entered;    // by hand
  HeldScopes started;    // by start()
  void (*add)(TimedObject* self, double seconds);
};

// Of `type`, an object as TimedObject begins with; all but what follows it is set. `clock`: borrowed, or
// null.
TimedObject* new_timed(Publication& publication, PyTypeObject* type, PyObject* clock,
                       void (*add)(TimedObject*, double)) noexcept;
int timed_traverse(TimedObject* self, visitproc visit, void* arg);
int timed_clear(TimedObject* self);
void timed_dealloc(TimedObject* self);
// Puts __enter__ and __exit__ into the type.
bool add_scope_methods(State& state, PyTypeObject* type);

// Ends the timing, adds its seconds and returns them.
PyObject* scope_stop(ScopeObject* self, PyObject* unused);
// Its seconds so far, or until it ended.
PyObject* scope_get_elapsed(ScopeObject* self, void* closure);

// Methods.
PyObject* timed_time(TimedObject* self, PyObject* unused);
PyObject* timed_call(TimedObject* self, PyObject* args, PyObject* keywords);

}  // namespace mmstats::python
