// How the buckets of a distribution stand in a file: core/doc/format.md, "Histograms".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mmstats/parse.h"

namespace mmstats {

// The kind of a histogram in sys.metadata. No field has it: the line's label is what the labels of its fields
// begin with.
inline constexpr std::string_view kHistogramKind = "histogram";
// Bytes that buckets will be taken from, and that nobody reads.
inline constexpr std::string_view kRoomLabel = "sys.room";

// STEM.buckets.POWER: how many values there were in each of 2^bits parts of the powers of two from 2^power.
struct BucketField {
  std::string_view stem;  // the histogram's label
  int power = 0;      // of the first bucket's least value: buckets::kLowestExponent to kHighestExponent - 1
  unsigned bits = 0;  // at most buckets::kMostBits
};

// None: the field is no such one. Whether there is a histogram of that label only sys.metadata tells.
std::optional<BucketField> bucket_field(const Field& field);
std::string bucket_label(std::string_view stem, int power);

// Whether one of the numbers that a histogram's file holds for readers who know no buckets: STEM.min, .max,
// .p50. Views point into `label`. Empty: it is none of them. `count` is such a number, too: buckets tell it.
std::string_view histogram_stem(std::string_view label);

// What a line of sys.metadata says behind the help: which buckets.
std::string bucket_scheme(unsigned bits);
// Whether readers here know the scheme.
bool is_bucket_scheme(std::string_view scheme);

}  // namespace mmstats
