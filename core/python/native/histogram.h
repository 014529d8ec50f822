// Handles of histograms.
#pragma once

#include <variant>

#include "mmstats/histogram.h"
#include "python/native/publication.h"

namespace mmstats::python {

using AnyHistogram = std::variant<Histogram, MovingHistogram, WindowHistogram>;

PyObject* new_histogram(Publication& publication, const AnyHistogram& field) noexcept;

}  // namespace mmstats::python
