// What mmash says: complaints on standard error, and the access log on standard output.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace mmash {

// One thread at a time.
class Log {
 public:
  static constexpr unsigned kPerMinute = 30;

  // A line on standard error, unless there were too many in this minute: whoever can write into a watched
  // folder can make complaints. How many were left out is told later.
  void complain(std::string_view text);

  // A line on standard output, at once.
  static void line(std::string_view text);

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point minute_began_ = Clock::now();
  unsigned left_ = kPerMinute;
  std::uint64_t refused_ = 0;
};

}  // namespace mmash
