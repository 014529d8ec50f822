// Handles of means.
#pragma once

#include <variant>

#include "mmstats/fields.h"
#include "python/native/publication.h"

namespace mmstats::python {

using AnyAverage = std::variant<Average, MovingAverage, WindowAverage>;

PyObject* new_average(Publication& publication, const AnyAverage& field) noexcept;

}  // namespace mmstats::python
