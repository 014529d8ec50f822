// What became of each series from one scan to the next. Pure: series and time are arguments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "collect/fold.h"

namespace pollstats {

struct Sample {
  mmstats::Kind kind = mmstats::Kind::kGauge;
  bool present = false;
  bool whole = false;  // a counter of whole numbers: `total` and `added` are exact, for the others there is
  std::uint64_t total = 0;  // only `value` and `change`
  std::uint64_t added = 0;  // modulo 2^64
  double value = 0;
  std::optional<double> change;  // since the last scan: a counter begins at 0, other series with none
  std::optional<double> rate;    // of a counter, per second; none at the first scan
};

class Samples {
 public:
  // Keeps the last `history` scans of each series: rates of counters, values of others.
  explicit Samples(std::size_t history) : history_(history) {}

  // `series` as a Watch gives them: the index of one never changes, and none goes away.
  void take(std::span<const mmstats::Series> series, std::chrono::steady_clock::time_point at);

  [[nodiscard]] std::span<const Sample> all() const { return samples_; }
  [[nodiscard]] std::uint64_t scans() const { return scans_; }

  // The last scans of one series into `into`, the newest last, not a number where there is none.
  // `into` is not longer than the history.
  void history(std::size_t series, std::span<float> into) const;

 private:
  std::size_t history_;
  std::uint64_t scans_ = 0;
  std::chrono::steady_clock::time_point last_{};
  std::vector<Sample> samples_;
  std::vector<float> past_;  // history_ of each series; scan n is at n % history_
};

// When to scan: at the start and every `interval` after it, whatever one scan takes, so nothing drifts. What
// a late scan missed is left out.
class Cadence {
 public:
  Cadence(std::chrono::steady_clock::time_point start, std::chrono::nanoseconds interval)
      : next_(start), interval_(interval) {}

  [[nodiscard]] std::chrono::steady_clock::time_point next() const { return next_; }
  // After the scan at next(). Returns how many were missed.
  std::int64_t advance(std::chrono::steady_clock::time_point now);

 private:
  std::chrono::steady_clock::time_point next_;
  std::chrono::nanoseconds interval_;
};

}  // namespace pollstats
