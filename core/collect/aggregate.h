// How values of several files become one of a series, in the words of configurations. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "mmstats/metadata.h"

namespace mmstats {

// How the values of several files become one.
enum class Aggregate : std::uint8_t {
  kByKind,  // counters, whole numbers and states summed, fractions averaged, timestamps: the latest
  kSum,
  kAvg,
  kMin,
  kMax,
  kNonzeroAvg,  // of the values that are not 0; 0 if all are
  kNonzeroMin,
  kNone,  // one series for each process, named by a worker slot; its threads as kByKind
};

inline constexpr std::array<std::pair<std::string_view, Aggregate>, 8> kAggregateWords{{
    {"default", Aggregate::kByKind},
    {"sum", Aggregate::kSum},
    {"avg", Aggregate::kAvg},
    {"min", Aggregate::kMin},
    {"max", Aggregate::kMax},
    {"nonzero-avg", Aggregate::kNonzeroAvg},
    {"nonzero-min", Aggregate::kNonzeroMin},
    {"none", Aggregate::kNone},
}};
// The word of a configuration, and back. None: it is no such word.
std::string_view to_string(Aggregate aggregate);
std::optional<Aggregate> parse_aggregate(std::string_view word);

// Whether totals of counters stay totals by it.
bool fits_counter(Aggregate aggregate);
// What kByKind is for values of this kind, whose type has this code.
Aggregate aggregate_by_kind(Kind kind, char code);

}  // namespace mmstats
