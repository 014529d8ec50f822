#include "tools/mmash/past.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/buckets.h"

namespace mmash {
namespace {

// Numbers of seven bits a byte, the lowest first; all but the last byte have the eighth bit.
void put_number(std::vector<std::uint8_t>& into, std::uint64_t number) {
  for (; number >= 0x80U; number >>= 7U) into.push_back(static_cast<std::uint8_t>(number | 0x80U));
  into.push_back(static_cast<std::uint8_t>(number));
}

std::uint64_t take_number(std::span<const std::uint8_t>& from) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; !from.empty(); shift += 7) {
    const std::uint8_t byte = from.front();
    from = from.subspan(1);
    number |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80U) break;
  }
  return number;
}

// Counts as numbers: how far each bucket is above the one before, and how many.
class Writer {
 public:
  explicit Writer(std::vector<std::uint8_t>& into) : into_(into) {}
  void add(std::uint32_t bucket, std::uint64_t values) {
    put_number(into_, bucket - std::exchange(last_, bucket));
    put_number(into_, values);
  }

 private:
  std::vector<std::uint8_t>& into_;
  std::uint32_t last_ = 0;
};

void read_counts(std::span<const std::uint8_t> from, std::vector<Past::Count>& into) {
  into.clear();
  std::uint32_t bucket = 0;
  while (!from.empty()) {
    bucket += static_cast<std::uint32_t>(take_number(from));
    into.push_back({.bucket = bucket, .values = take_number(from)});
  }
}

}  // namespace

std::size_t Past::memory_of(const Tick& tick) {
  return sizeof(Tick) + tick.values.capacity() * sizeof(double) + tick.gained.capacity() * sizeof(Entry) +
         tick.counts.capacity();
}

void Past::tick(double time, std::span<const double> values,
                std::span<const mmstats::BucketCounts* const> totals) {
  if (!ticks_.empty()) {
    if (time == ticks_.back().time) return;
    if (time < ticks_.back().time) restart();
  }
  while (!ticks_.empty() && ticks_.front().time < time - limits_.seconds) drop_first();
  Tick next{.time = time, .values = {values.begin(), values.end()}, .gained = {}, .counts = {}};
  more_.clear();
  left_out_ = 0;
  base_memory_ += (std::max(totals.size(), bases_.size()) - bases_.size()) * sizeof(Base);
  bases_.resize(std::max(totals.size(), bases_.size()));
  for (std::size_t i = 0; i < bases_.size(); ++i) {
    see(static_cast<std::uint32_t>(i), i < totals.size() ? totals[i] : nullptr, end(), next);
  }
  next.gained.shrink_to_fit();
  next.counts.assign(more_.begin(), more_.end());
  const std::size_t size = memory_of(next);
  while (!ticks_.empty() && memory() + size > limits_.bytes) {
    drop_first();
    ++dropped_;
  }
  if (memory() + size > limits_.bytes) {
    ++dropped_;
    ++begin_;
    return;
  }
  tick_memory_ += size;
  ticks_.push_back(std::move(next));
}

void Past::see(std::uint32_t index, const mmstats::BucketCounts* total, std::uint64_t number, Tick& into) {
  Base& base = bases_[index];
  if (total == nullptr) {
    forget(base);
    return;
  }
  if (base.known && base.count == total->count()) return;
  const bool was_known = base.known;
  read_counts(base.counts, counts_);
  auto old = counts_.begin();
  all_.clear();
  const std::size_t begin = more_.size();
  Writer all(all_);
  Writer more(more_);
  bool fell = false;
  for (const auto& power : total->powers()) {
    for (std::uint32_t part = 0; part < mmstats::buckets::kMostParts; ++part) {
      const std::uint64_t count = power.parts[part];
      if (count == 0) continue;
      const std::uint32_t bucket = (power.number << mmstats::buckets::kMostBits) + part;
      all.add(bucket, count);
      const bool had = old != counts_.end() && old->bucket == bucket;
      const std::uint64_t before = had ? (old++)->values : 0;
      fell = fell || count < before;
      if (count > before) more.add(bucket, count - before);
    }
  }
  fell = fell || old != counts_.end();  // it had buckets that are empty now
  set_base(base, total->count());
  const bool fits = begin <= std::numeric_limits<std::uint32_t>::max();
  if (!was_known || fell || !base.known || !fits) {
    base.since = number;
    more_.resize(begin);
  } else if (more_.size() > begin) {
    into.gained.push_back({.index = index, .begin = static_cast<std::uint32_t>(begin)});
  }
}

// What is known of distributions leaves half of the memory to ticks.
void Past::set_base(Base& base, std::uint64_t count) {
  forget(base);
  if (base_memory_ + all_.size() > limits_.bytes / 2) {
    ++left_out_;
    return;
  }
  base.counts.assign(all_.begin(), all_.end());
  base.counts.shrink_to_fit();
  base_memory_ += base.counts.capacity();
  base.count = count;
  base.known = true;
}

void Past::forget(Base& base) {
  base_memory_ -= base.counts.capacity();
  base.counts = Bytes();
  base.known = false;
}

void Past::drop_first() {
  tick_memory_ -= memory_of(ticks_.front());
  ticks_.pop_front();
  ++begin_;
}

void Past::restart() {
  while (!ticks_.empty()) drop_first();
  for (auto& base : bases_) forget(base);
}

double Past::value(std::uint64_t tick, std::size_t index) const {
  if (tick < begin_ || tick >= end()) return std::numeric_limits<double>::quiet_NaN();
  const auto& values = at(tick).values;
  return index < values.size() ? values[index] : std::numeric_limits<double>::quiet_NaN();
}

bool Past::gained(std::uint64_t tick, std::size_t index, std::vector<Count>& into) const {
  into.clear();
  if (tick < begin_ || tick >= end() || index >= bases_.size()) return false;
  const Base& base = bases_[index];
  if (!base.known || tick <= base.since) return false;
  const auto& [time, values, gained, counts] = at(tick);
  const auto entry = std::ranges::lower_bound(gained, index, {}, &Entry::index);
  if (entry == gained.end() || entry->index != index) return true;
  const std::size_t end = entry + 1 == gained.end() ? counts.size() : (entry + 1)->begin;
  read_counts(std::span(counts).subspan(entry->begin, end - entry->begin), into);
  return true;
}

bool Past::totals(std::size_t index, std::vector<Count>& into) const {
  into.clear();
  if (index >= bases_.size() || !bases_[index].known) return false;
  read_counts(bases_[index].counts, into);
  return true;
}

double Past::seconds() const { return ticks_.empty() ? 0 : ticks_.back().time - ticks_.front().time; }

}  // namespace mmash
