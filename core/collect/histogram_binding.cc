#include "collect/histogram_binding.h"

#include <fmt/format.h>

#include <string>

#include "base/keyed_hash.h"
#include "collect/series_identity.h"

namespace mmstats {
namespace {

constexpr std::size_t kFixedParts = 3;  // count, min, max

Field number_of_type(char code) {
  Field field{};
  field.type.items = 1;
  field.type.code = code;
  field.type.size = field.type.item_size = 8;
  return field;
}

bool is_called_as(const SharedBinding& part, const SharedBinding& whole, std::string_view ending) {
  const std::string_view name = part.name();
  return name.size() == whole.name().size() + 1 + ending.size() && name.starts_with(whole.name()) &&
         name[whole.name().size()] == '.' && name.ends_with(ending) &&
         part.dimensions() == whole.dimensions() && part.asked() == whole.asked();
}

}  // namespace

void HistogramBinding::add_series(const SharedBinding& binding, std::string_view ending) {
  if (is_called_as(binding, *whole, ending)) return;
  KeyedHasher hasher;
  hasher.add(others);
  add_identity(binding, hasher);
  others = hasher.finish();
}

HistogramBinding bind_histogram(const Rules& rules, std::string_view label, const FieldMetadata& known) {
  HistogramBinding bound;
  const auto bind = [&](std::string_view whole, char code, Kind kind, std::string_view unit) {
    FieldMetadata said = known;
    said.kind = kind;
    said.unit = unit;
    return share(rules.bind(whole, number_of_type(code), said, bound.whole.get()));
  };
  bound.whole = bind(label, 'Q', Kind::kCounter, known.unit);
  const auto add = [&](std::string_view ending, HistogramBinding::Part part) {
    const auto whole = std::string(label) + '.' + std::string(ending);
    part.binding =
        part.counts ? bind(whole, 'Q', Kind::kCounter, {}) : bind(whole, 'd', Kind::kGauge, known.unit);
    if (!part.binding->used) return;
    bound.add_series(*part.binding, ending);
    bound.parts.push_back(std::move(part));
  };
  add("count", {.binding = {}, .counts = true});
  add("min", {.binding = {}, .percent = 0});
  for (const Percentile& percentile : rules.percentiles(bound.whole->rule))
    add(percentile.ending, {.binding = {}, .percent = percentile.percent});
  add("max", {.binding = {}, .percent = 100});
  const BucketRange range = rules.buckets(bound.whole->rule);
  for (std::uint32_t power = range.first; power < range.end; ++power) {
    // The ends take in what lies beyond them: so all together are the count.
    add(fmt::format("buckets.{:02}", power),
        {.binding = {},
         .counts = true,
         .counted = {.first = power == range.first ? 0 : power,
                     .end = power + 1 == range.end ? buckets::kPowers : power + 1}});
  }
  return bound;
}

std::size_t most_histogram_bindings(const Rules& rules) {
  return 1 + kFixedParts + rules.most_percentiles() + rules.most_buckets();
}

}  // namespace mmstats
