// Numbers and distributions as JSON, in all answers of mmash alike. By hand: nlohmann-json takes two to three
// times as long.
#pragma once

#include <string>
#include <string_view>

#include "collect/bucket_counts.h"

namespace mmash {

inline constexpr std::string_view kHistogramWord = "histogram";  // the kind of distributions

// null: it is no number.
std::string number_json(double number);

// Appends [bucket, count, ...], without blanks: a busy one has hundreds of them.
void add_buckets(std::string& json, const mmstats::BucketCounts& counts);

}  // namespace mmash
