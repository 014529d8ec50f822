#include "mmstats/histogram.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "base/buckets.h"
#include "publish/bucket_table.h"
#include "publish/thread_memory.h"

namespace mmstats {

namespace {

using buckets::kCount;
using buckets::middle;

constexpr std::array<std::uint64_t, 4> kPerMille{500, 900, 990, 999};
constexpr std::uint32_t kSlices = 12;  // of a window

// How many values there are in each bucket, and where the percentiles are. All zeros is empty.
struct Counts {
  std::uint64_t counts[kCount];
  std::uint64_t used[kCount / 64];  // a bit for each bucket that holds any
  std::uint64_t total;
  std::uint64_t below[kPerMille.size()];              // values in lower buckets than the percentile's
  std::array<std::uint32_t, kPerMille.size()> marks;  // the percentiles' buckets
  std::uint32_t lowest, highest;                      // in use
  // How many values may still come or go before a percentile can move: each of them brings a percentile's
  // place, or the values below it, nearer to the edge of its bucket by one at most. So with many
  // values there is almost never anything to do.
  std::uint64_t quiet;

  void add(std::uint32_t bucket) {
    if (counts[bucket]++ == 0) used[bucket / 64] |= bit(bucket);
    for (std::size_t i = 0; i < marks.size(); ++i) below[i] += bucket < marks[i] ? 1 : 0;
    if (total++ == 0) lowest = highest = bucket;
    quiet -= quiet > 0 ? 1 : 0;
    lowest = std::min(lowest, bucket);
    highest = std::max(highest, bucket);
  }

  void remove(std::uint32_t bucket, std::uint64_t number = 1) {
    counts[bucket] -= number;
    if (counts[bucket] == 0) used[bucket / 64] &= ~bit(bucket);
    for (std::size_t i = 0; i < marks.size(); ++i) below[i] -= bucket < marks[i] ? number : 0;
    total -= number;
    quiet -= std::min(quiet, number);
  }

  // Brings the rest up to date after add and remove, when there are values. True if a percentile moved.
  bool move_marks() {
    if (counts[lowest] == 0) lowest = next_above(lowest);
    if (counts[highest] == 0) highest = next_below(highest);
    if (quiet > 0) return false;
    bool moved = false;
    quiet = total;
    for (std::size_t i = 0; i < marks.size(); ++i) {
      // Which one it is, of the values in their order, counted from 1.
      const std::uint64_t rank = (total * kPerMille[i] + 999) / 1000;
      while (below[i] >= rank) {
        marks[i] = next_below(marks[i]);
        below[i] -= counts[marks[i]];
        moved = true;
      }
      while (below[i] + counts[marks[i]] < rank) {
        below[i] += counts[marks[i]];
        marks[i] = next_above(marks[i]);
        moved = true;
      }
      quiet = std::min({quiet, rank - below[i], below[i] + counts[marks[i]] + 1 - rank});
    }
    return moved;
  }

 private:
  static std::uint64_t bit(std::uint32_t bucket) { return std::uint64_t{1} << (bucket % 64); }

  // The nearest bucket in use. There is one: what is looked for lies that way.
  [[nodiscard]] std::uint32_t next_above(std::uint32_t bucket) const {
    std::uint32_t word = (bucket + 1) / 64;
    std::uint64_t bits = used[word] & (~std::uint64_t{0} << ((bucket + 1) % 64));
    while (bits == 0) bits = used[++word];
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
  }
  [[nodiscard]] std::uint32_t next_below(std::uint32_t bucket) const {
    std::uint32_t word = bucket / 64;
    std::uint64_t bits = used[word] & (bit(bucket) - 1);
    while (bits == 0) bits = used[--word];
    return word * 64 + 63 - static_cast<std::uint32_t>(std::countl_zero(bits));
  }
};

// Of all values of a thread, beside its buckets.
struct Everything {
  double min, max;
  bool any;
  std::uint64_t refresh_at;  // when count is this
};

// With so many values the percentiles in the file are put right again after a 32nd of them, or after 256.
constexpr std::uint64_t kShare = 32;
constexpr std::uint64_t kMostLag = 256;

// Moves `known` to `value` if that is beyond it; a handler may do so as well.
template <class Beyond>
bool extend(double& known, double value, Beyond&& beyond) {
  const std::atomic_ref place(known);
  double before = place.load(std::memory_order_relaxed);
  while (beyond(value, before)) {
    if (place.compare_exchange_weak(before, value, std::memory_order_relaxed)) return true;
  }
  return false;
}

// The thread's table. Null: there is none.
BucketTable* table_at(detail::Place place) noexcept {
  std::byte* const memory = place.in_thread();
  return is_nowhere(memory) ? nullptr : reinterpret_cast<BucketTable*>(memory);
}

void add_one(std::uint64_t& counter) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  // One instruction: nothing is lost if a signal's handler adds as well.
  asm volatile("incq %0" : "+m"(counter) : : "cc");
#else
  const std::atomic_ref atomic(counter);
  atomic.store(atomic.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
#endif
}

// The buckets of the percentiles of all values in the table.
std::array<std::uint32_t, kPerMille.size()> find_marks(const BucketTable& table, unsigned bits) {
  std::array<std::uint64_t, buckets::kPowers> sums{};
  std::uint64_t total = 0;
  for (std::uint32_t power = 0; power < buckets::kPowers; ++power) {
    const std::uint64_t* const counters = table.known(power);
    if (counters == nullptr) continue;
    for (std::uint32_t part = 0; part < 1U << bits; ++part) sums[power] += counters[part];
    total += sums[power];
  }
  std::array<std::uint32_t, kPerMille.size()> marks{};
  std::uint64_t below = 0;
  std::uint32_t power = 0;
  for (std::size_t i = 0; i < marks.size() && total > 0; ++i) {
    // Which one it is, of the values in their order, counted from 1.
    std::uint64_t rank = (total / 1000) * kPerMille[i] + (total % 1000 * kPerMille[i] + 999) / 1000;
    for (; below + sums[power] < rank; ++power) below += sums[power];
    rank -= below;
    const std::uint64_t* const counters = table.known(power);
    std::uint32_t part = 0;
    for (; part + 1 < 1U << bits && counters[part] < rank; ++part) rank -= counters[part];
    marks[i] = (power << bits) + part;
  }
  return marks;
}

// Followed by the buckets of the last values.
struct Recent {
  Counts counts;
  std::uint32_t next;

  std::uint16_t* buckets() { return reinterpret_cast<std::uint16_t*>(this + 1); }
};

struct Window {
  Counts counts;
  std::int64_t newest;                    // a slice's number, since the clock's beginning
  std::uint32_t slices[kSlices][kCount];  // by its remainder

  // Forgets what is too old.
  void move_on(std::int64_t slice) {
    const auto passed = std::min<std::int64_t>(slice - newest, kSlices);
    for (std::int64_t i = 0; i < passed; ++i) {
      auto& old = slices[(slice - i) % kSlices];
      for (std::uint32_t bucket = 0; bucket < kCount; ++bucket) {
        if (old[bucket] > 0) counts.remove(bucket, std::exchange(old[bucket], 0));
      }
    }
    newest = slice;
  }
};

}  // namespace

namespace detail {

// Makes the fields of a distribution. All belong together: none is that of another class by chance.
struct Distribution::Maker {
  Model& model;
  std::string_view label;
  const About& about;
  std::string_view made_by;
  std::size_t parameter;

  template <Number T>
  [[nodiscard]] FieldSpec spec(std::string_view whole, Kind kind) const {
    static constexpr char kCode = code_of<T>();
    return {.label = whole,
            .type = {&kCode, 1},
            .size = sizeof(T),
            .kind = kind,
            .made_by = made_by,
            .parameter = parameter};
  }
  [[nodiscard]] Added count(std::size_t memory, unsigned bits) const {
    const auto whole = std::string(label) + ".count";
    auto field = spec<std::uint64_t>(whole, Kind::kCounter);
    field.memory = memory;
    field.bucket_bits = bits;
    return model.add_field(field, about);
  }
  [[nodiscard]] Cell<double> number(std::string_view ending, Kind kind) const {
    const auto whole = std::string(label) + std::string(ending);
    return Cell<double>(model.add_field(spec<double>(whole, kind), about));
  }
};

Distribution::Distribution(Model& model, std::string_view label, const About& about, std::string_view made_by,
                           std::size_t parameter, std::size_t memory, unsigned precision)
    : Distribution(Maker{model, label, about, made_by, parameter}, memory, bits_of(precision)) {}

Distribution::Distribution(const Maker& maker, std::size_t memory, unsigned bits)
    : Distribution(maker, maker.count(memory, bits), bits) {}

Distribution::Distribution(const Maker& maker, const Added& count, unsigned bits)
    : state_(count.memory),
      buckets_(count.buckets),
      bits_(bits),
      count_(count),
      sum_(maker.number(".sum", Kind::kCounter)),
      min_(maker.number(".min", Kind::kGauge)),
      max_(maker.number(".max", Kind::kGauge)),
      percentiles_{maker.number(".p50", Kind::kGauge), maker.number(".p90", Kind::kGauge),
                   maker.number(".p99", Kind::kGauge), maker.number(".p999", Kind::kGauge)} {}

unsigned Distribution::bits_of(unsigned precision) noexcept {
  return static_cast<unsigned>(std::bit_width(std::clamp(precision, kLeastPrecision, kMostPrecision))) - 1;
}

void Distribution::publish(double min, double max, const Marks& marks, unsigned bits) const noexcept {
  min_.store(min);
  max_.store(max);
  for (std::size_t i = 0; i < marks.size(); ++i)
    percentiles_[i].store(std::clamp(middle(marks[i], bits), min, max));
}

bool Distribution::record(double value) const noexcept {
  BucketTable* const table = table_at(buckets_);
  if (table == nullptr) return false;
  const std::uint32_t bucket = buckets::of(value, bits_);
  std::uint64_t* const counters = table->counters(bucket >> bits_, bits_);
  if (counters == nullptr) [[unlikely]]
    return false;
  add_one(counters[bucket & ((1U << bits_) - 1)]);
  sum_.add(value);
  count_.add(1);
  return true;
}

}  // namespace detail

Histogram::Histogram(Model& model, std::string_view label, const About& about, unsigned precision)
    : Distribution(model, label, about, "Histogram", 0, sizeof(Everything), precision) {}

void Histogram::add(double value) const noexcept {
  auto* const state = state_at<Everything>(state_);
  if (state == nullptr || !std::isfinite(value) || !record(value)) return;
  if (!state->any) [[unlikely]] {
    state->min = state->max = value;
    state->any = true;
    state->refresh_at = 0;
  }
  extend(state->min, value, std::less<>());
  extend(state->max, value, std::greater<>());
  if (count_.load() >= state->refresh_at) [[unlikely]]
    refresh();
}

void Histogram::refresh() const noexcept {
  auto* const state = state_at<Everything>(state_);
  const BucketTable* const table = table_at(buckets_);
  if (state == nullptr || table == nullptr || !state->any) return;
  const std::uint64_t count = count_.load();
  state->refresh_at = count + std::clamp<std::uint64_t>(count / kShare, 1, kMostLag);
  publish(state->min, state->max, find_marks(*table, bits_), bits_);
}

MovingHistogram::MovingHistogram(Model& model, std::string_view label, const About& about, std::size_t size,
                                 unsigned precision)
    : Distribution(model, label, about, "MovingHistogram", bounded_size(size),
                   sizeof(Recent) + bounded_size(size) * sizeof(std::uint16_t), precision),
      size_(bounded_size(size)) {}

void MovingHistogram::add(double value) const noexcept {
  auto* const recent = state_at<Recent>(state_);
  if (recent == nullptr || !std::isfinite(value)) return;
  Counts& counts = recent->counts;
  std::uint16_t& oldest = recent->buckets()[recent->next];
  const bool full = counts.total == size_;
  const auto bucket = static_cast<std::uint16_t>(buckets::of(value));
  counts.add(bucket);
  if (full) counts.remove(oldest);
  oldest = bucket;
  recent->next = recent->next + 1 == size_ ? 0 : recent->next + 1;
  counts.move_marks();
  publish(middle(counts.lowest), middle(counts.highest), counts.marks, buckets::kMostBits);
  record(value);
}

WindowHistogram::WindowHistogram(Model& model, std::string_view label, const About& about,
                                 std::size_t seconds, unsigned precision)
    : Distribution(model, label, about, "WindowHistogram", bounded_seconds(seconds), sizeof(Window),
                   precision),
      seconds_(bounded_seconds(seconds)) {}

void WindowHistogram::add(double value, Clock::time_point now) const noexcept {
  auto* const window = state_at<Window>(state_);
  if (window == nullptr || !std::isfinite(value)) return;
  const auto width = std::chrono::nanoseconds(std::chrono::seconds(seconds_)) / kSlices;
  const std::int64_t slice = now.time_since_epoch() / width;
  const std::uint32_t bucket = buckets::of(value);
  window->counts.add(bucket);
  if (slice > window->newest) window->move_on(slice);
  ++window->slices[window->newest % kSlices][bucket];
  window->counts.move_marks();
  publish(middle(window->counts.lowest), middle(window->counts.highest), window->counts.marks,
          buckets::kMostBits);
  record(value);
}

}  // namespace mmstats
