// Log lines: how many a block may write, and how long they may be. Whoever can write into a watched
// folder can make complaints; the log of the host must not become their target.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmstats::collectd {

// One budget for each block. One thread at a time.
class ComplaintBudget {
 public:
  static constexpr unsigned kPerScan = 10;
  static constexpr unsigned kPerMinute = 30;

  // Begins a scan; `now` decides whether a new minute begins with it.
  void begin_scan(std::chrono::steady_clock::time_point now);

  // Whether one more line may be written. A refused one is counted.
  bool spend();

  // How many were refused and not yet told, to be told in one line; at most once a minute, 0 else.
  std::uint64_t take_refused();

 private:
  std::chrono::steady_clock::time_point minute_began_{};
  bool began_ = false;
  unsigned left_in_scan_ = 0;
  unsigned left_in_minute_ = 0;
  std::uint64_t refused_ = 0;
  bool told_in_minute_ = false;
};

// `text` as one line of at most `max_bytes` bytes (at least 16): bytes that are no printable text are
// escaped, and what is too long loses its middle, as the ends of a path and of a reason say most.
std::string log_line(std::string_view text, std::size_t max_bytes);

}  // namespace mmstats::collectd
