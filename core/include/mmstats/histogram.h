// Distributions in bounded memory: one field for the application, eight for readers.
//
//   LABEL.count  how many values, since the file began, of all threads that had it: a counter
//   LABEL.sum    their sum, likewise: a counter (for values that are never negative)
//   LABEL.min  LABEL.max
//   LABEL.p50  LABEL.p90  LABEL.p99  LABEL.p999   the value that so many of 1,000 are not above
//
// min, max and the percentiles are of all values, of the last so many, or of the last minute: that is
// the difference between the classes. With several threads or processes, readers average them.
//
// Percentiles are off by 1/64 (1.6 %) of the value at most, from 2^-30 (a nanosecond, in seconds) up to 2^50
// (a petabyte, in bytes). What is smaller, zero and negative values too, counts as 2^-30; what is larger as
// 2^50. The values are sorted into 32 equal parts of each power of two (as HdrHistogram does), and the
// percentiles are kept up to date by moving them as values come and go, so that nothing is ever searched or
// sorted.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mmstats/fields.h"

namespace mmstats {

namespace detail {

// What all histograms publish.
class MMSTATS_API Distribution {
 public:
  [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(); }
  [[nodiscard]] double sum() const noexcept { return sum_.load(); }
  [[nodiscard]] double min() const noexcept { return min_.load(); }
  [[nodiscard]] double max() const noexcept { return max_.load(); }
  [[nodiscard]] double p50() const noexcept { return percentiles_[0].load(); }
  [[nodiscard]] double p90() const noexcept { return percentiles_[1].load(); }
  [[nodiscard]] double p99() const noexcept { return percentiles_[2].load(); }
  [[nodiscard]] double p999() const noexcept { return percentiles_[3].load(); }

 protected:
  using Buckets = std::array<std::uint32_t, 4>;

  // `made_by`: the class, given `parameter`, with `memory` bytes for each thread at state_.
  Distribution(Model& model, std::string_view label, const About& about, std::string_view made_by,
               std::size_t parameter, std::size_t memory);
  ~Distribution() = default;
  void publish(double min, double max, const Buckets& percentiles) const noexcept;

  Place state_;
  Cell<std::uint64_t> count_;
  Cell<double> sum_;

 private:
  struct Maker;
  Distribution(const Maker& maker, const Added& count);

  Cell<double> min_;
  Cell<double> max_;
  std::array<Cell<double>, 4> percentiles_;
};

}  // namespace detail

// Of all values that this thread has seen; min and max are exact. Memory: 21 KiB a thread.
class MMSTATS_API Histogram : public detail::Distribution {
 public:
  Histogram(Model& model, std::string_view label, const About& about = {});
  void add(double value) const noexcept;
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> time) const noexcept {  // in seconds
    add(detail::seconds_of(time));
  }
  Scope<Histogram> time() const noexcept { return Scope(*this); }
};

// Of the last `size` values (1 to 65,536); min and max have the error of the percentiles. Memory: 21 KiB and
// two bytes for each value, in every thread.
class MMSTATS_API MovingHistogram : public detail::Distribution {
 public:
  MovingHistogram(Model& model, std::string_view label, const About& about = {}, std::size_t size = 1000);
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
// moves on when a value is added: a thread that fell silent leaves its last values. Memory: 141 KiB a
// thread.
class MMSTATS_API WindowHistogram : public detail::Distribution {
 public:
  using Clock = std::chrono::steady_clock;

  WindowHistogram(Model& model, std::string_view label, const About& about = {}, std::size_t seconds = 60);
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
