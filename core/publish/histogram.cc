#include "mmstats/histogram.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

#include "base/buckets.h"
#include "publish/bucket_table.h"
#include "publish/thread_memory.h"
#include "publish/thread_tables.h"

namespace mmstats {

namespace {

using buckets::kCount;
constexpr unsigned kFewestParts = detail::Distribution::kLeastPrecision;
constexpr unsigned kMostParts = detail::Distribution::kMostPrecision;
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

// A number that is in the order of doubles; 0 is before all of them.
constexpr std::uint64_t kSign = std::uint64_t{1} << 63U;
std::uint64_t order_of(std::uint64_t bits) { return (bits & kSign) != 0 ? ~bits : bits | kSign; }
double in_order(std::uint64_t order) {
  return std::bit_cast<double>((order & kSign) != 0 ? order & ~kSign : ~order);
}

// Moves what is known of an order to `order` if that is beyond it; a handler may do so as well.
void extend(std::atomic<std::uint64_t>& known, std::uint64_t order) {
  std::uint64_t before = known.load(std::memory_order_relaxed);
  while (order > before && !known.compare_exchange_weak(before, order, std::memory_order_relaxed)) {
  }
}

// Of all values of a thread, beside its buckets. All zeros is empty.
struct Everything {
  std::atomic<std::uint64_t> above;  // the order of the greatest
  std::atomic<std::uint64_t> below;  // of the least, from the other end
  std::uint64_t refresh_at;          // when count is this

  [[nodiscard]] bool any() const { return above.load(std::memory_order_relaxed) != 0; }
  [[nodiscard]] double min() const { return in_order(~below.load(std::memory_order_relaxed)); }
  [[nodiscard]] double max() const { return in_order(above.load(std::memory_order_relaxed)); }
  [[nodiscard]] bool is_extended_by(std::uint64_t order) const {
    return order > above.load(std::memory_order_relaxed) || ~order > below.load(std::memory_order_relaxed);
  }
  void extend_to(std::uint64_t order) {
    // A handler that finds the first and not the second has both by then.
    extend(below, ~order);
    extend(above, order);
  }
};

// With so many values the percentiles in the file are put right again after a 32nd of them, or after 256.
constexpr std::uint64_t kShare = 32;
constexpr std::uint64_t kMostLag = 256;

// The file that they are all in, or behind. None: one that no thread knows.
detail::Place file_of(std::initializer_list<detail::Place> places) {
  const auto number = places.begin()->number();
  const bool one = std::all_of(places.begin(), places.end(),
                               [&](detail::Place place) { return place.number() == number; });
  return place_of(one ? number : kNoNumber, 0);
}

// The buckets of the percentiles of all values in the table, which are from `min` to `max`.
std::array<std::uint32_t, kPerMille.size()> find_marks(BucketTable& table, unsigned bits, double min,
                                                       double max) {
  std::array<std::uint64_t, buckets::kPowers> sums;
  const std::uint32_t lowest = buckets::of(min, 0);
  const std::uint32_t highest = buckets::of(max, 0);
  std::uint64_t total = 0;
  for (std::uint32_t at = lowest; at <= highest; ++at) {
    sums[at] = 0;
    const std::uint64_t* const counters = table.known(at);
    if (counters == nullptr) continue;
    std::array<std::uint64_t, 4> parts{};  // side by side: an addition need not wait for the one before
    static_assert(kFewestParts == parts.size());
    for (std::uint32_t part = 0; part < 1U << bits; part += parts.size()) {
      for (std::uint32_t i = 0; i < parts.size(); ++i) parts[i] += counters[part + i];
    }
    sums[at] = parts[0] + parts[1] + parts[2] + parts[3];
    total += sums[at];
  }
  std::array<std::uint32_t, kPerMille.size()> marks{};
  std::uint64_t below = 0;
  std::uint32_t power = lowest;
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

namespace {
template <Number T>
constexpr char kCodeOf = code_of<T>();
}  // namespace

// Makes the fields of a distribution. All belong together: none is that of another class by chance.
struct Distribution::Maker {
  Model& model;
  std::string_view label;
  const About& about;
  std::string_view made_by;
  std::size_t parameter;

  template <Number T>
  [[nodiscard]] FieldSpec spec(std::string_view whole, Kind kind) const {
    return {.label = whole,
            .type = {&kCodeOf<T>, 1},
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
    field.bucket_unit = about.unit;
    // How many values there were has no unit.
    return model.add_field(field, {.unit = {}, .help = about.help, .kind = {}});
  }
  [[nodiscard]] Cell<double> number(std::string_view ending, Kind kind) const {
    const auto whole = std::string(label) + std::string(ending);
    auto field = spec<double>(whole, kind);
    // A thread that has no values yet has no percentile.
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    if (kind == Kind::kGauge) field.initial = &kNone;
    return Cell<double>(model.add_field(field, about));
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
      bits_(static_cast<std::uint8_t>(bits)),
      shift_(static_cast<std::uint8_t>(52 - bits)),
      mask_((1U << bits) - 1),
      count_(count),
      sum_(maker.number(".sum", Kind::kCounter)),
      file_(file_of({count_.place(), sum_.place(), state_, buckets_})),
      min_(maker.number(".min", Kind::kGauge)),
      max_(maker.number(".max", Kind::kGauge)),
      percentiles_{maker.number(".p50", Kind::kGauge), maker.number(".p90", Kind::kGauge),
                   maker.number(".p99", Kind::kGauge), maker.number(".p999", Kind::kGauge)} {}

unsigned Distribution::bits_of(unsigned precision) noexcept {
  return static_cast<unsigned>(std::bit_width(std::clamp(precision, kFewestParts, kMostParts))) - 1;
}

void Distribution::publish(double min, double max, const Marks& marks, unsigned bits) const noexcept {
  min_.store(min);
  max_.store(max);
  for (std::size_t i = 0; i < marks.size(); ++i)
    percentiles_[i].store(std::clamp(middle(marks[i], bits), min, max));
}

void Distribution::record(double value, std::uint64_t times) const noexcept {
  auto* const table = state_at<BucketTable>(buckets_);
  auto* const sum = state_at<double>(sum_.place());
  if (table == nullptr || sum == nullptr) return;
  const std::uint32_t bucket = buckets::of(value, bits_);
  add_in_thread<std::uint64_t>(table->counters(bucket >> bits_, bits_)[bucket & ((1U << bits_) - 1)], times);
  add_in_thread(*sum, value * static_cast<double>(times));
  count_.add(times);
}

}  // namespace detail

Histogram::Histogram(Model& model, std::string_view label, const About& about, unsigned precision)
    : Distribution(model, label, about, "Histogram", 0, sizeof(Everything), precision) {}

// Where all is beside one another and known, and nothing out of the ordinary, this calls nothing: for speed.
// False: it is not so, and nothing was added.
[[gnu::always_inline]] inline bool Histogram::add_at_once(double value, std::uint64_t times) const noexcept {
  std::byte* const file = file_.known_in_thread();
  if (file == nullptr) [[unlikely]]
    return false;
  auto* const state = reinterpret_cast<Everything*>(file + state_.offset());
  auto* const table = reinterpret_cast<BucketTable*>(file + buckets_.offset());
  const auto bits = std::bit_cast<std::uint64_t>(value);
  // What is too small, too large, negative or no number is a power that there is not.
  const std::uint64_t power = (bits >> 52U) - (1023 + buckets::kLowestExponent);
  if (power >= buckets::kPowers) [[unlikely]]
    return false;
  std::uint64_t* const counters = table->known(static_cast<std::uint32_t>(power));
  if (counters == nullptr) [[unlikely]]
    return false;
  detail::add_in_thread<std::uint64_t>(counters[(bits >> shift_) & mask_], times);
  detail::add_in_thread(*reinterpret_cast<double*>(file + sum_.place().offset()),
                        value * static_cast<double>(times));
  auto& total = *reinterpret_cast<std::uint64_t*>(file + count_.place().offset());
  const std::uint64_t before = total;
  detail::add_in_thread<std::uint64_t>(total, times);
  if (before + times >= state->refresh_at || state->is_extended_by(bits | kSign)) [[unlikely]]
    catch_up(value);
  return true;
}

void Histogram::add(double value) const noexcept {
  if (!add_at_once(value, 1)) [[unlikely]]
    add_anywhere(value, 1);
}

void Histogram::add(double value, std::uint64_t times) const noexcept {
  if (times != 0 && !add_at_once(value, times)) [[unlikely]]
    add_anywhere(value, times);
}

void Histogram::add_anywhere(double value, std::uint64_t times) const noexcept {
  if (!std::isfinite(value)) return;
  record(value, times);
  catch_up(value);
}

// What add left to be done.
void Histogram::catch_up(double value) const noexcept {
  auto* const state = state_at<Everything>(state_);
  if (state == nullptr) return;
  state->extend_to(order_of(std::bit_cast<std::uint64_t>(value)));
  if (count_.load() >= state->refresh_at) refresh();
}

void Histogram::refresh() const noexcept {
  auto* const state = state_at<Everything>(state_);
  auto* const table = state_at<BucketTable>(buckets_);
  if (state == nullptr || table == nullptr || !state->any()) return;
  const std::uint64_t count = count_.load();
  state->refresh_at = count + std::clamp<std::uint64_t>(count / kShare, 1, kMostLag);
  const double min = state->min();
  const double max = state->max();
  publish(min, max, find_marks(*table, bits_, min, max), bits_);
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
