// Complaints: which are new, how many may be told, and how long a line may be. Whoever can write into a
// watched folder can make complaints; the log must not become their target.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mmstats/error.h"

namespace mmstats {

// How many lines may be written. One thread at a time.
class ComplaintBudget {
 public:
  static constexpr unsigned kPerScan = 10;
  static constexpr unsigned kPerMinute = 30;

  // `per_scan`: kPerMinute where complaints come one by one, each of which is a scan then.
  explicit ComplaintBudget(unsigned per_scan = kPerScan) : per_scan_(per_scan) {}

  // Begins a scan; `now` decides whether a new minute begins with it. True if one does.
  bool begin_scan(std::chrono::steady_clock::time_point now);

  // Whether one more line may be written. A refused one is counted.
  bool spend();

  // How many were refused and not yet told, to be told in one line; at most once a minute, 0 else.
  std::uint64_t take_refused();

 private:
  unsigned per_scan_;
  std::chrono::steady_clock::time_point minute_began_{};
  bool began_ = false;
  unsigned left_in_scan_ = 0;
  unsigned left_in_minute_ = 0;
  std::uint64_t refused_ = 0;
  bool told_in_minute_ = false;
};

// Tells new complaints from those that were made at the last scan, too.
class KnownComplaints {
 public:
  // True if this one was not made at the last scan as well.
  bool is_new(const Error& error);
  // Forgets what was not complained of in this scan.
  void next_scan();

 private:
  std::unordered_map<std::size_t, std::uint64_t> known_;  // by hash: the scan that met it last
  std::uint64_t scan_ = 0;
};

// `text` as one line of at most `max_bytes` bytes (at least 16): bytes that are no printable text are
// escaped, and what is too long loses its middle, as the ends of a path and of a reason say most.
std::string log_line(std::string_view text, std::size_t max_bytes);

}  // namespace mmstats
