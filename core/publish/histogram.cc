#include "mmstats/histogram.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "base/buckets.h"
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

struct Everything {
  Counts counts;
  double min, max;
};

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

// Makes the eight fields of a distribution. All belong together: none is that of another class by chance.
struct Distribution::Maker {
  Model& model;
  std::string_view label;
  const About& about;
  std::string_view made_by;
  std::size_t parameter;

  template <Number T>
  [[nodiscard]] Added make(std::string_view ending, Kind kind, std::size_t memory = 0) const {
    const char code = code_of<T>();
    const auto whole = std::string(label) + std::string(ending);
    const FieldSpec spec{.label = whole,
                         .type = {&code, 1},
                         .size = sizeof(T),
                         .kind = kind,
                         .memory = memory,
                         .made_by = made_by,
                         .parameter = parameter};
    // How many values there were has no unit.
    return model.add_field(
        spec, std::is_same_v<T, std::uint64_t> ? About{.unit = {}, .help = about.help, .kind = {}} : about);
  }
  [[nodiscard]] Cell<double> gauge(std::string_view ending) const {
    return Cell<double>(make<double>(ending, Kind::kGauge));
  }
};

Distribution::Distribution(Model& model, std::string_view label, const About& about, std::string_view made_by,
                           std::size_t parameter, std::size_t memory)
    : Distribution(Maker{model, label, about, made_by, parameter},
                   Maker{model, label, about, made_by, parameter}.make<std::uint64_t>(
                       ".count", Kind::kCounter, memory)) {}

Distribution::Distribution(const Maker& maker, const Added& count)
    : state_(count.memory),
      count_(count),
      sum_(maker.make<double>(".sum", Kind::kCounter)),
      min_(maker.gauge(".min")),
      max_(maker.gauge(".max")),
      percentiles_{maker.gauge(".p50"), maker.gauge(".p90"), maker.gauge(".p99"), maker.gauge(".p999")} {}

void Distribution::publish(double min, double max, const Buckets& percentiles) const noexcept {
  min_.store(min);
  max_.store(max);
  for (std::size_t i = 0; i < percentiles.size(); ++i) {
    percentiles_[i].store(std::clamp(middle(percentiles[i]), min, max));
  }
}

}  // namespace detail

Histogram::Histogram(Model& model, std::string_view label, const About& about)
    : Distribution(model, label, about, "Histogram", 0, sizeof(Everything)) {}

void Histogram::add(double value) const noexcept {
  auto* const state = state_at<Everything>(state_);
  if (state == nullptr || !std::isfinite(value)) return;
  Counts& counts = state->counts;
  counts.add(buckets::of(value));
  bool changed = counts.move_marks();
  if (counts.total == 1 || value < state->min) {
    state->min = value;
    changed = true;
  }
  if (counts.total == 1 || value > state->max) {
    state->max = value;
    changed = true;
  }
  if (changed) publish(state->min, state->max, counts.marks);
  sum_.add(value);
  count_.add(1);
}

MovingHistogram::MovingHistogram(Model& model, std::string_view label, const About& about, std::size_t size)
    : Distribution(model, label, about, "MovingHistogram", bounded_size(size),
                   sizeof(Recent) + bounded_size(size) * sizeof(std::uint16_t)),
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
  publish(middle(counts.lowest), middle(counts.highest), counts.marks);
  sum_.add(value);
  count_.add(1);
}

WindowHistogram::WindowHistogram(Model& model, std::string_view label, const About& about,
                                 std::size_t seconds)
    : Distribution(model, label, about, "WindowHistogram", bounded_seconds(seconds), sizeof(Window)),
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
  publish(middle(window->counts.lowest), middle(window->counts.highest), window->counts.marks);
  sum_.add(value);
  count_.add(1);
}

}  // namespace mmstats
