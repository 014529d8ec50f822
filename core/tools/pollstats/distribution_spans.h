// What the live view tells of a distribution.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "collect/bucket_counts.h"
#include "collect/distributions.h"
#include "tools/pollstats/screen.h"

namespace pollstats {

// How many values there were in each power of two that had any since we look, in as many cells at most:
// neighbours share one where there are more. Between two that are not neighbours is a 0.
std::vector<double> powers_in_use(const mmstats::BucketCounts& counts, std::size_t cells);

// Of the interval, in exactly `width` cells: as many of p50, p90, p99 and max as there is room for, and its
// powers of two as bars. Blanks, if there was no value.
std::vector<Span> distribution_spans(const mmstats::Distribution& distribution, std::size_t width,
                                     bool unicode);

// Mean and percentiles of the interval in words; empty, if there was no value.
std::string distribution_text(const mmstats::Distribution& distribution, bool unicode);

}  // namespace pollstats
