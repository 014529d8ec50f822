#include "collect/distributions.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "collect/series_identity.h"

namespace mmstats {

std::uint32_t DistributionTable::bind(const HistogramBinding& histogram, std::int32_t slot, uid_t owner,
                                      std::span<const std::uint32_t> series, std::uint32_t sum) {
  const SharedBinding& whole = *histogram.whole;
  KeyedHasher hasher;
  hasher.add(static_cast<std::uint64_t>(slot));
  hasher.add(histogram.others);
  add_identity(whole, hasher);
  const std::uint64_t key = hasher.finish();
  std::uint32_t index = by_key_.find(key, KeyOf{known_});
  if (index == kNone) {
    Held held(memory_, owner);
    if (!held.hold(sizeof(Distribution) + sizeof(Known) + whole.memory() +
                   histogram.parts.size() * sizeof(Target) + 200)) {
      return kNone;
    }
    index = static_cast<std::uint32_t>(all_.size());
    if (free_.empty()) {
      all_.emplace_back();
      known_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    auto made = std::make_unique<Distribution>();
    made->binding = histogram.whole;
    made->slot = slot;
    made->scale = whole.scale;
    all_[index] = std::move(made);
    known_[index] = Known{};
    known_[index].held = std::move(held);
    known_[index].key = key;
    by_key_.insert(key, index, KeyOf{known_});
  }
  Known& known = known_[index];
  ++known.bound;
  if (whole.used && whole.apart() == (slot != -1)) all_[index]->shown = true;
  const auto belongs = [&](std::uint32_t one) {
    series_.series[one].distribution = static_cast<std::int32_t>(index);
  };
  if (sum != kNoSeries) {
    all_[index]->sum = static_cast<std::int32_t>(sum);
    belongs(sum);
  }
  for (std::size_t i = 0; i < histogram.parts.size(); ++i) {
    if (series[i] == kNoSeries) continue;
    belongs(series[i]);
    const auto& part = histogram.parts[i];
    const std::uint32_t generation = series_.series[series[i]].generation;
    // They are not many: a histogram whose series are others has another distribution.
    std::erase_if(known.targets, [&](const Target& target) {
      return target.generation != series_.series[target.series].generation;
    });
    const bool has = std::any_of(known.targets.begin(), known.targets.end(), [&](const Target& target) {
      // One name may be given to several parts.
      return target.series == series[i] && target.counted == part.counted;
    });
    if (has) continue;
    known.targets.push_back({.series = series[i],
                             .generation = generation,
                             .counts = part.counts,
                             .counted = part.counted,
                             .given = part.counts ? counted(index, part.counted) : 0,
                             .percent = part.percent,
                             .scale = part.binding->scale});
  }
  return index;
}

void DistributionTable::unbind(std::uint32_t index) {
  if (--known_[index].bound == 0) known_[index].unbound = now_;
}

void DistributionTable::begin(std::chrono::steady_clock::time_point now) {
  now_ = now;
  for (std::uint32_t index = 0; index < all_.size(); ++index) {
    Known& known = known_[index];
    if (!all_[index]) continue;
    all_[index]->interval.clear();
    if (known.bound > 0 || !series_.reuses || now - known.unbound <= SeriesTable::kKept) continue;
    drop(index);
  }
}

void DistributionTable::drop(std::uint32_t index) {
  const auto leave = [&](std::size_t one) {
    auto& belongs = series_.series[one].distribution;
    if (belongs == static_cast<std::int32_t>(index)) belongs = -1;
  };
  for (const Target& target : known_[index].targets) leave(target.series);
  if (all_[index]->sum >= 0) leave(static_cast<std::size_t>(all_[index]->sum));
  by_key_.erase(index, KeyOf{known_});
  all_[index].reset();
  known_[index] = {};
  free_.push_back(index);
}

// Whether there is memory for a power of two of both its counts.
bool DistributionTable::has_power(std::uint32_t index, std::uint32_t power) {
  if (all_[index]->total.has(power)) return true;
  Held& held = known_[index].held;
  return held.hold(held.amount() + 2 * BucketCounts::kPowerMemory);
}

bool DistributionTable::add(std::uint32_t index, std::uint32_t power, unsigned bits,
                            const std::uint64_t* added, bool in_interval) {
  if (!has_power(index, power)) {
    known_[index].elsewhere += std::accumulate(added, added + (std::size_t{1} << bits), std::uint64_t{0});
    return false;
  }
  all_[index]->total.add(power, bits, added);
  if (in_interval) all_[index]->interval.add(power, bits, added);
  return true;
}

// How many values there were ever whose powers are in the range.
std::uint64_t DistributionTable::counted(std::uint32_t index, const BucketRange& range) const {
  const BucketCounts& total = all_[index]->total;
  if (range == kAllBuckets) return total.count() + known_[index].elsewhere;
  std::uint64_t sum = 0;
  for (const BucketCounts::Power& power : total.powers()) sum += range.has(power.number) ? power.sum : 0;
  return sum;
}

void DistributionTable::finish() {
  for (std::uint32_t index = 0; index < all_.size(); ++index) {
    if (!all_[index]) continue;
    Distribution& one = *all_[index];
    // The series of the sum may have made room for another.
    if (one.sum >= 0 &&
        series_.series[static_cast<std::size_t>(one.sum)].distribution != static_cast<std::int32_t>(index)) {
      one.sum = -1;
    }
    for (Target& target : known_[index].targets) {
      if (series_.series[target.series].generation != target.generation) continue;
      // Rules may say that a count is a gauge, or a percentile a counter: then it has no value.
      const bool is_counter = series_.series[target.series].kind == Kind::kCounter;
      if (target.counts) {
        const std::uint64_t now = counted(index, target.counted);
        const std::uint64_t added = now - std::exchange(target.given, now);
        if (is_counter) series_.count(target.series, added, target.scale);
      } else if (!is_counter && one.interval.count() > 0) {
        accumulate(series_.accumulators[target.series], series_.aggregates[target.series],
                   one.interval.percentile(target.percent) * target.scale);
      }
    }
  }
}

}  // namespace mmstats
