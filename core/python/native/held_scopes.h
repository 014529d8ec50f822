// Scopes that threads hold: each finds the last one of its own.
#pragma once

#include <memory>
#include <vector>

#include "python/native/object.h"

namespace mmstats::python {

class HeldScopes {
 public:
  // Of this thread, as its last one. Those of threads that have ended are let go of. False: an exception is
  // set.
  bool hold(PyObject* scope) noexcept;
  // The last one of this thread, borrowed; null: there is none.
  [[nodiscard]] PyObject* last() const noexcept;
  // Of any thread: takes it out. Null: nobody holds it.
  Ref take(const PyObject* scope) noexcept;

  int traverse(visitproc visit, void* arg) const;
  void clear() noexcept;

 private:
  struct Held {
    std::weak_ptr<const void>
        thread;  // no number, as the system gives that of an ended thread to the next one
    Ref scope;
  };
  std::vector<Held> held_;
};

}  // namespace mmstats::python
