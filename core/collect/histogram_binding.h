// What becomes of one histogram: a series that holds its buckets, and those that are made of them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "collect/rules.h"
#include "collect/shared_binding.h"
#include "mmstats/metadata.h"

namespace mmstats {

struct HistogramBinding {
  // A series that is computed from the buckets: LABEL.count, LABEL.buckets.30, LABEL.min, LABEL.max,
  // LABEL.p99.
  struct Part {
    BindingPtr binding;
    bool counts = false;                // how many values, ever; else a percentile of the last interval
    BucketRange counted = kAllBuckets;  // of these powers of two
    double percent = 0;                 // 0: the least value; 100: the largest
  };
  BindingPtr whole;  // of LABEL itself; unused: nobody wants the buckets
  std::vector<Part> parts;
  // Of series that are not called as `whole` is, with an ending: what tells them apart, hashed. 0: all are.
  // Histograms are put together if neither what `whole` says tells them apart nor this.
  std::uint64_t others = 0;

  // One more series of it, LABEL.ENDING.
  void add_series(const SharedBinding& binding, std::string_view ending);
};

// `label`: the histogram's. Each series is bound as if a field had its label.
HistogramBinding bind_histogram(const Rules& rules, std::string_view label, const FieldMetadata& known);

// Bytes that it takes at most beside its texts, and how many bindings it has.
std::size_t most_histogram_bindings(const Rules& rules);

}  // namespace mmstats
