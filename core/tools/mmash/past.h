// The recent past: what every series was at each of the last ticks, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "collect/bucket_counts.h"

namespace mmash {

// Of plain series the values are kept, of distributions how many values came into each bucket since the tick
// before. A tick is one row of numbers, and a few bytes for each bucket that got any: so it costs no more
// than to copy them. Where memory ends, the oldest ticks go first, of all series alike.
//
// Ticks have numbers, which are never used twice. One thread at a time.
class Past {
 public:
  struct Limits {
    double seconds = 3600;  // ticks that are older go
    std::size_t bytes = 32'000'000;
  };
  struct Count {
    std::uint32_t bucket = 0;
    std::uint64_t values = 0;

    bool operator==(const Count&) const = default;
  };

  explicit Past(Limits limits) : limits_(limits) {}

  // `time`: Unix seconds. Before the last one: the clock was set back, and all begins anew; the same as the
  // last one: nothing. `values`: by index, NaN: there is none. `totals`: by another index, of all values
  // ever; null: there is none. Indexes keep their meaning.
  void tick(double time, std::span<const double> values,
            std::span<const mmstats::BucketCounts* const> totals);

  [[nodiscard]] std::uint64_t begin() const { return begin_; }
  [[nodiscard]] std::uint64_t end() const { return begin_ + ticks_.size(); }
  // Precondition: begin() <= tick < end().
  [[nodiscard]] double time(std::uint64_t tick) const { return at(tick).time; }

  // For all that follow, ticks that are gone and indexes that were never there are nothing known.
  [[nodiscard]] double value(std::uint64_t tick, std::size_t index) const;  // NaN: none
  // What came between the tick before and this one, ascending. False: that is not known.
  bool gained(std::uint64_t tick, std::size_t index, std::vector<Count>& into) const;
  // All there had ever been at the last tick, ascending. False: that is not known.
  bool totals(std::size_t index, std::vector<Count>& into) const;

  [[nodiscard]] std::size_t memory() const { return tick_memory_ + base_memory_; }  // bytes
  [[nodiscard]] double seconds() const;  // from the first tick to the last one
  // Ever: ticks that went before their time, as there was no more memory.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  // Distributions that have no past, as there is no memory for them.
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

 private:
  using Bytes = std::vector<std::uint8_t>;
  struct Entry {
    std::uint32_t index = 0;  // of the distribution
    std::uint32_t begin = 0;  // of its counts, which end where the next one's begin
  };
  struct Tick {
    double time = 0;
    std::vector<double> values;
    std::vector<Entry> gained;  // ascending; who gained nothing is not there
    Bytes counts;               // of `gained`
  };
  // A distribution at the last tick.
  struct Base {
    bool known = false;
    std::uint64_t since =
        0;  // the tick at which it was seen first: what it gained is known from the next one on
    std::uint64_t count = 0;
    Bytes counts;
  };

  static std::size_t memory_of(const Tick& tick);
  [[nodiscard]] const Tick& at(std::uint64_t tick) const {
    return ticks_[static_cast<std::size_t>(tick - begin_)];
  }
  void restart();
  void drop_first();
  void see(std::uint32_t index, const mmstats::BucketCounts* total, std::uint64_t number, Tick& into);
  void set_base(Base& base, std::uint64_t count);
  void forget(Base& base);

  Limits limits_;
  std::deque<Tick> ticks_;
  std::uint64_t begin_ = 0;
  std::vector<Base> bases_;
  std::size_t tick_memory_ = 0;
  std::size_t base_memory_ = 0;
  std::uint64_t dropped_ = 0;
  std::size_t left_out_ = 0;
  Bytes all_;   // while a tick is taken
  Bytes more_;  // likewise
  std::vector<Count> counts_;
};

}  // namespace mmash
