// Distributions in bounded memory: one field for the application, and for readers
//
//   LABEL.buckets.E  how many values there were in each 32nd part of [2^E, 2^(E+1)), since the file began;
//                    made when the first value of that power of two comes. Readers add them up, over threads,
//                    processes and time, and know the percentiles of any interval over all workers
//   LABEL.count      how many values, since the file began: a counter
//   LABEL.sum        their sum, likewise: a counter (for values that are never negative)
//   LABEL.min  LABEL.max
//   LABEL.p50  LABEL.p90  LABEL.p99  LABEL.p999   the value that so many of 1,000 are not above
//
// The last six are for readers that do not know buckets: of this file alone. They are of all values, of the
// last so many, or of the last minute; that is the difference between the classes, and what the functions
// below return: 0 until there is a value, when the file has NaN. Those of a Histogram lag behind by a 32nd of
// the values at most, and by 256 at most.
//
// Percentiles are off by 1/64 (1.6 %) of the value at most, from 2^-30 (a nanosecond, in seconds) up to 2^50
// (a petabyte, in bytes). What is smaller, zero and negative values too, counts as 2^-30; what is larger as
// 2^50. NaN and infinite values are left out. The buckets are 32 equal parts of each power of two (as
// HdrHistogram has them); with a `precision` of 16, 8 or 4, so many: percentiles are off by 1/32, 1/16 or 1/8
// then, and memory is a half, a quarter or an eighth. (Other numbers become the next smaller one of these.)
//
// Memory: each thread's file has room for buckets of all 80 powers of two, 24 KiB for a histogram, allocated
// when the file is made or the histogram is; and 0.5 KiB of private memory. So ModelOptions::max_file_bytes
// of 4 MiB is enough for some 160 of them. One that has no room, or is in a Model without system fields,
// publishes no buckets, which is told; all else it does.
//
// Adding makes no system call and takes no lock. A Histogram may be added to in a signal's handler where a
// Counter may (model.h): on x86-64 and arm64 nothing is lost.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mmstats/cpp20.h"
#include "mmstats/fields.h"

namespace mmstats {

namespace detail {

// What all histograms publish.
class MMSTATS_API Distribution {
 public:
  static constexpr unsigned kMostPrecision = 32;
  static constexpr unsigned kLeastPrecision = 4;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(); }
  [[nodiscard]] double sum() const noexcept { return sum_.load(); }
  [[nodiscard]] double min() const noexcept { return or_zero(min_.load()); }
  [[nodiscard]] double max() const noexcept { return or_zero(max_.load()); }
  [[nodiscard]] double p50() const noexcept { return or_zero(percentiles_[0].load()); }
  [[nodiscard]] double p90() const noexcept { return or_zero(percentiles_[1].load()); }
  [[nodiscard]] double p99() const noexcept { return or_zero(percentiles_[2].load()); }
  [[nodiscard]] double p999() const noexcept { return or_zero(percentiles_[3].load()); }

 protected:
  using Marks = std::array<std::uint32_t, 4>;  // buckets of p50, p90, p99, p999

  // `made_by`: the class, given `parameter`, with `memory` bytes for each thread at state_.
  Distribution(Model& model, std::string_view label, const About& about, std::string_view made_by,
               std::size_t parameter, std::size_t memory, unsigned precision);
  ~Distribution() = default;
  // For those who know no buckets. `bits`: of the marks.
  void publish(double min, double max, const Marks& marks, unsigned bits) const noexcept;
  // Counts a value, if there is memory for it.
  void record(double value, std::uint64_t times = 1) const noexcept;

  Place state_;
  Place buckets_;       // their table
  std::uint8_t bits_;   // a power of two has 2^bits_ of them
  std::uint8_t shift_;  // of a double's bits: then the bucket is in the first bits_
  std::uint32_t mask_;  // those
  Cell<std::uint64_t> count_;
  Cell<double> sum_;
  Place file_;  // that all of these are in

 private:
  struct Maker;
  Distribution(const Maker& maker, std::size_t memory, unsigned bits);
  Distribution(const Maker& maker, const Added& count, unsigned bits);
  static unsigned bits_of(unsigned precision) noexcept;

  Cell<double> min_;
  Cell<double> max_;
  std::array<Cell<double>, 4> percentiles_;
};

}  // namespace detail

// Of all values that this thread has seen; min and max are exact. After another thread that had the file, the
// percentiles are those of both.
class MMSTATS_API Histogram : public detail::Distribution {
 public:
  Histogram(Model& model, std::string_view label, const About& about = {},
            unsigned precision = kMostPrecision);
  void add(double value) const noexcept;
  // So many values that are the same.
  void add(double value, std::uint64_t times) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<Histogram> time() const noexcept { return Scope(*this); }

  // Of this thread, up to its last value. O(powers of two in use).
  [[nodiscard]] double p50() const noexcept { return refresh(), Distribution::p50(); }
  [[nodiscard]] double p90() const noexcept { return refresh(), Distribution::p90(); }
  [[nodiscard]] double p99() const noexcept { return refresh(), Distribution::p99(); }
  [[nodiscard]] double p999() const noexcept { return refresh(), Distribution::p999(); }
  [[nodiscard]] double min() const noexcept { return refresh(), Distribution::min(); }
  [[nodiscard]] double max() const noexcept { return refresh(), Distribution::max(); }

 private:
  [[nodiscard]] bool add_at_once(double value, std::uint64_t times) const noexcept;
  void add_anywhere(double value, std::uint64_t times) const noexcept;
  void catch_up(double value) const noexcept;
  void refresh() const noexcept;
};

// Of the last `size` values (1 to 65,536), if the process itself wants them; min and max have the error of
// the percentiles. Its private memory: 21 KiB and two bytes for each value, in every thread.
class MMSTATS_API MovingHistogram : public detail::Distribution {
 public:
  MovingHistogram(Model& model, std::string_view label, const About& about = {}, std::size_t size = 1000,
                  unsigned precision = kMostPrecision);
  void add(double value) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<MovingHistogram> time() const noexcept { return Scope(*this); }

 private:
  std::uint32_t size_;
};

// Of the last `seconds` (1 to 3,600), to a twelfth of them; min and max have the error of the percentiles. It
// moves on when a value is added: a thread that fell silent leaves its last values to readers that know no
// buckets. Its private memory: 141 KiB a thread.
class MMSTATS_API WindowHistogram : public detail::Distribution {
 public:
  using Clock = std::chrono::steady_clock;

  WindowHistogram(Model& model, std::string_view label, const About& about = {}, std::size_t seconds = 60,
                  unsigned precision = kMostPrecision);
  void add(double value) const noexcept { add(value, Clock::now()); }
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  // `now` must not go back; for those who have just read the clock.
  void add(double value, Clock::time_point now) const noexcept;
  Scope<WindowHistogram> time() const noexcept { return Scope(*this); }

 private:
  std::uint32_t seconds_;
};

}  // namespace mmstats
