// Handles of timers.
#pragma once

#include "mmstats/fields.h"
#include "python/native/publication.h"

namespace mmstats::python {

// `clock`: borrowed; null: one that never steps.
PyObject* new_timer(Publication& publication, const MovingAverage& field, PyObject* clock) noexcept;

}  // namespace mmstats::python
