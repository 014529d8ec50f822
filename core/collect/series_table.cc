#include "collect/series_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace mmstats {
namespace {

// Names are foreign: all of them together are bounded. Thousands of applications are far below it.
constexpr std::size_t kMaxNameBytes = std::size_t{128} << 20U;

constexpr std::size_t kMaxNotices = 100;  // not fetched yet

Aggregate aggregate_of(const Binding& binding) {
  return binding.aggregate == Aggregate::kNone ? binding.within_process : binding.aggregate;
}

// Which of two that types chose is the series': a moment is the latest for all, and one fraction makes
// an average of all.
int rank(Aggregate by_kind) { return by_kind == Aggregate::kMax ? 2 : by_kind == Aggregate::kAvg ? 1 : 0; }

}  // namespace

std::uint32_t SeriesTable::find_or_add(const Binding& binding, std::int32_t slot) {
  const bool counter = binding.kind == Kind::kCounter;
  std::string key;
  key.reserve(binding.name.size() + binding.sink_type.size() + 16);
  key.append(binding.sink_type).push_back('\0');
  key.append(std::to_string(slot)).push_back(counter ? 'c' : 'g');
  key.append(binding.name);
  const auto [entry, fresh] = by_key_.try_emplace(std::move(key), static_cast<std::uint32_t>(series.size()));
  if (!fresh) {
    reconcile(entry->second, binding);
    return entry->second;
  }
  std::size_t bytes = binding.name.size();
  for (const std::string& group : binding.groups) bytes += group.size();
  if (series.size() >= max_series || name_bytes_ + bytes > kMaxNameBytes) {
    by_key_.erase(entry);
    return kNoSeries;
  }
  name_bytes_ += bytes;
  Series made;
  made.name = binding.name;
  made.groups = binding.groups;
  made.rule = binding.rule;
  made.unit = binding.unit;
  made.help = binding.help;
  made.kind = binding.kind;
  made.slot = slot;
  made.integral = counter;
  series.push_back(std::move(made));
  aggregates.push_back(aggregate_of(binding));
  said_.push_back({.rule = binding.rule, .by_kind = binding.by_kind, .stripped = binding.stripped});
  accumulators.emplace_back();
  fractions.push_back(0);
  return entry->second;
}

// Several labels, or one label of several types, may be one series. The earliest rule decides how their
// values are put together, whichever file is seen first; where none does, the types do, and disagree at most
// once.
void SeriesTable::reconcile(std::uint32_t index, const Binding& binding) {
  Series& one = series[index];
  Said& said = said_[index];
  const auto tell = [&](bool& told, std::string text) {
    if (!std::exchange(told, true) && notices.size() < kMaxNotices) notices.push_back(std::move(text));
  };
  if (one.rule == kNoRule && binding.rule == kNoRule && said.stripped != binding.stripped) {
    tell(said.told_stripped,
         fmt::format("label \"{}\" is there with the prefix that is stripped and without it: both "
                     "count as one",
                     printable(one.name)));
  }
  if (one.kind == Kind::kCounter) return;
  Aggregate& aggregate = aggregates[index];
  const Aggregate other = aggregate_of(binding);
  if (said.rule != binding.rule) {
    // kNoRule is the last of all.
    if (static_cast<std::uint32_t>(binding.rule) > static_cast<std::uint32_t>(said.rule)) return;
    said.rule = binding.rule;
    one.kind = binding.kind;
    said.by_kind = binding.by_kind;
    aggregate = other;
  } else if (said.by_kind && binding.by_kind) {
    const bool moment = one.kind == Kind::kTimestamp || binding.kind == Kind::kTimestamp;
    one.kind = moment ? Kind::kTimestamp : std::max(one.kind, binding.kind);
    if (aggregate == other) return;
    if (rank(other) > rank(aggregate)) aggregate = other;
    tell(said.told_aggregate,
         fmt::format(
             "label \"{}\" has different types in different files: its values are put together by {}; a "
             "Metric with an Aggregate says it otherwise",
             printable(one.name), aggregate == Aggregate::kMax ? "the latest" : "their average"));
  }
}

void SeriesTable::begin() { std::fill(accumulators.begin(), accumulators.end(), Accumulator{}); }

std::size_t SeriesTable::finish() {
  std::size_t present = 0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    Series& one = series[i];
    if (one.kind == Kind::kCounter) {
      one.present = true;
      one.value = static_cast<double>(one.total) + fractions[i];
    } else {
      const Accumulator& from = accumulators[i];
      one.value = from.values > 0 ? result(from, aggregates[i]) : 0;
      // inf - inf is no number; and a sum that is infinite says nothing of all the others.
      one.present = from.values > 0 && !std::isnan(one.value) &&
                    (aggregates[i] != Aggregate::kSum || std::isfinite(one.value));
    }
    present += one.present ? 1 : 0;
  }
  return present;
}

}  // namespace mmstats
