// Handles of counters.
#pragma once

#include "mmstats/fields.h"
#include "python/native/publication.h"

namespace mmstats::python {

PyObject* new_counter(Publication& publication, detail::Place place, bool shared) noexcept;

}  // namespace mmstats::python
