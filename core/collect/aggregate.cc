#include "collect/aggregate.h"

#include "format/struct_codes.h"

namespace mmstats {

std::string_view to_string(Aggregate aggregate) {
  for (const auto& [word, value] : kAggregateWords) {
    if (value == aggregate) return word;
  }
  return "";
}

std::optional<Aggregate> parse_aggregate(std::string_view word) {
  for (const auto& [name, aggregate] : kAggregateWords) {
    if (name == word) return aggregate;
  }
  return std::nullopt;
}

bool fits_counter(Aggregate aggregate) {
  return aggregate == Aggregate::kByKind || aggregate == Aggregate::kSum || aggregate == Aggregate::kNone;
}

Aggregate aggregate_by_kind(Kind kind, char code) {
  switch (kind) {
    case Kind::kCounter:
      return Aggregate::kSum;
    case Kind::kTimestamp:
      return Aggregate::kMax;
    default:
      return is_fraction(code) ? Aggregate::kAvg : Aggregate::kSum;
  }
}

}  // namespace mmstats
