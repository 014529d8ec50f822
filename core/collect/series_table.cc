#include "collect/series_table.h"

#include <algorithm>
#include <utility>

namespace mmstats {
namespace {

// Names are foreign: all of them together are bounded. Thousands of applications are far below it.
constexpr std::size_t kMaxNameBytes = std::size_t{128} << 20U;

}  // namespace

std::uint32_t SeriesTable::find_or_add(const Binding& binding, std::int32_t slot) {
  const bool counter = binding.kind == Kind::kCounter;
  std::string key;
  key.reserve(binding.name.size() + binding.sink_type.size() + 16);
  key.append(binding.sink_type).push_back('\0');
  key.append(std::to_string(slot)).push_back(counter ? 'c' : 'g');
  key.append(binding.name);
  const auto [entry, fresh] = by_key_.try_emplace(std::move(key), static_cast<std::uint32_t>(series.size()));
  if (!fresh) return entry->second;
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
  aggregates.push_back(binding.aggregate == Aggregate::kNone ? binding.within_process : binding.aggregate);
  accumulators.emplace_back();
  fractions.push_back(0);
  return entry->second;
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
      one.present = from.values > 0;
      one.value = one.present ? result(from, aggregates[i]) : 0;
    }
    present += one.present ? 1 : 0;
  }
  return present;
}

}  // namespace mmstats
