#include "collect/series_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/keyed_hash.h"
#include "collect/series_identity.h"

namespace mmstats {
namespace {

constexpr std::size_t kMaxNotices = 100;  // not fetched yet

Aggregate aggregate_of(const SharedBinding& binding) {
  return binding.aggregate == Aggregate::kNone ? binding.within_process : binding.aggregate;
}

// Which of two that types chose is the series': a moment is the latest for all, and one fraction makes
// an average of all.
int rank(Aggregate by_kind) { return by_kind == Aggregate::kMax ? 2 : by_kind == Aggregate::kAvg ? 1 : 0; }

}  // namespace

std::uint32_t SeriesTable::bind(const SharedBinding& binding, std::int32_t slot, uid_t owner, bool make) {
  KeyedHasher hasher;
  hasher.add(static_cast<std::uint64_t>(slot));
  add_identity(binding, hasher);
  const std::uint64_t key = hasher.finish();
  if (const auto found = by_key_.find(key, KeyOf{known_}); found != HashIndex::kNone) {
    reconcile(found, binding);
    ++known_[found].bound;
    return found;
  }
  if (!make) return kNoSeries;
  while (!hold(binding, owner)) {
    if (!make_room(owner)) return kNoSeries;
  }
  Series made;
  made.binding = &binding;
  made.kind = binding.kind;
  made.slot = slot;
  made.integral = binding.kind == Kind::kCounter;
  const Known known{.rule = binding.rule,
                    .by_kind = binding.by_kind,
                    .stripped = binding.stripped,
                    .bound = 1,
                    .owner = owner,
                    .key = key};
  auto index = static_cast<std::uint32_t>(series.size());
  if (free_.empty()) {
    series.push_back(std::move(made));
    aggregates.push_back(aggregate_of(binding));
    accumulators.emplace_back();
    known_.push_back(known);
  } else {
    index = free_.back();
    free_.pop_back();
    made.generation = series[index].generation + 1;
    ++generations;
    series[index] = std::move(made);
    aggregates[index] = aggregate_of(binding);
    known_[index] = known;
  }
  by_key_.insert(key, index, KeyOf{known_});
  return index;
}

// What one series more takes, and its binding if it is the first that has it. The shape may have paid for
// that, but it may go before the series does: so there is room for it among theirs. False: he may not have
// it.
bool SeriesTable::hold(const SharedBinding& binding, uid_t owner) {
  const std::size_t more = binding.series == 0 ? binding.memory() : 0;
  if (!number.take(owner, 1)) return false;
  if (!own_memory.take(owner, kEntry + more)) {
    number.give(owner, 1);
    return false;
  }
  if (!memory.take(owner, kEntry + (binding.paid_with_shape ? 0 : more))) {
    own_memory.give(owner, kEntry + more);
    number.give(owner, 1);
    return false;
  }
  if (binding.series++ == 0) binding.payer = owner;
  return true;
}

void SeriesTable::give_back(const SharedBinding& binding, uid_t owner) {
  number.give(owner, 1);
  own_memory.give(owner, kEntry);
  memory.give(owner, kEntry);
  if (--binding.series > 0) return;
  own_memory.give(binding.payer, binding.memory());
  if (!binding.paid_with_shape) memory.give(binding.payer, binding.memory());
}

void SeriesTable::unbind(std::uint32_t index) {
  Known& known = known_[index];
  if (--known.bound > 0 || !reuses) return;
  known.unbound = ++unbound_;
  idle_[known.owner].push_back({index, known.unbound, now_});
  if (++idle_entries_ <= series.size() + series.size() / 4 + 64) return;
  // A fifth of them at least are bound again.
  idle_entries_ = 0;
  for (auto& [owner, idle] : idle_) {
    std::erase_if(idle, [&](const Idle& one) { return !is_idle(one); });
    idle_entries_ += idle.size();
  }
}

bool SeriesTable::may_have_room(uid_t owner) const {
  if (number.room(owner) > 0 && own_memory.room(owner) > 0 && memory.room(owner) > 0) return true;
  return std::any_of(idle_.begin(), idle_.end(), [&](const auto& one) { return has_old(one.second); });
}

// Drops one series that no file has had for long: one that is of the owner's share, or of anybody's.
bool SeriesTable::make_room(uid_t owner) {
  if (const auto mine = idle_.find(owner); mine != idle_.end() && drop_oldest(mine->second)) return true;
  return std::any_of(idle_.begin(), idle_.end(), [&](auto& one) { return drop_oldest(one.second); });
}

bool SeriesTable::drop_oldest(AllIdle& idle) {
  while (has_old(idle)) {
    const Idle oldest = idle.front();
    idle.pop_front();
    --idle_entries_;
    if (!is_idle(oldest)) continue;
    by_key_.erase(oldest.index, KeyOf{known_});
    give_back(*series[oldest.index].binding, known_[oldest.index].owner);
    known_[oldest.index] = {};
    Series gone;
    gone.generation = series[oldest.index].generation + 1;
    series[oldest.index] = std::move(gone);
    accumulators[oldest.index] = {};
    free_.push_back(oldest.index);
    ++reused;
    ++generations;
    return true;
  }
  return false;
}

// Several labels, or one label of several types, may be one series. The earliest rule decides how their
// values are put together, whichever file is seen first; where none does, the types do, and disagree at most
// once.
void SeriesTable::reconcile(std::uint32_t index, const SharedBinding& binding) {
  Series& one = series[index];
  Known& said = known_[index];
  const auto tell = [&](bool& told, std::string text) {
    if (!std::exchange(told, true) && notices.size() < kMaxNotices) notices.push_back(std::move(text));
  };
  if (one.rule() == kNoRule && binding.rule == kNoRule && said.stripped != binding.stripped) {
    tell(said.told_stripped,
         fmt::format("label \"{}\" is there with the prefix that is stripped and without it: both "
                     "count as one",
                     printable(one.name())));
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
             printable(one.name()), aggregate == Aggregate::kMax ? "the latest" : "their average"));
  }
}

void SeriesTable::begin(std::chrono::steady_clock::time_point now) {
  now_ = now;
  if (std::exchange(is_clean_, false)) return;
  for (std::size_t i = 0; i < series.size(); ++i) {
    if (series[i].kind != Kind::kCounter) accumulators[i] = {};
  }
}

std::size_t SeriesTable::finish() {
  std::size_t present = 0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    Series& one = series[i];
    one.aggregate = aggregates[i];
    if (one.kind == Kind::kCounter) {
      one.present = true;
      one.value = static_cast<double>(one.total) + accumulators[i].value;
    } else {
      const Accumulator from = std::exchange(accumulators[i], {});
      one.value = from.values > 0 ? result(from, aggregates[i]) : 0;
      // inf - inf is no number; and a sum that is infinite says nothing of all the others.
      one.present = from.values > 0 && !std::isnan(one.value) &&
                    (aggregates[i] != Aggregate::kSum || std::isfinite(one.value));
    }
    present += one.present ? 1 : 0;
  }
  is_clean_ = true;
  return present;
}

}  // namespace mmstats
