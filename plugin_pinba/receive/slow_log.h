// Slow requests, each as a JSON line:
//   {"time": "2026-11-28T14:46:58.123Z", "from": "192.0.2.1:4711", "host", "server", "script", "schema",
//    "status", "seconds", "user_seconds", "system_seconds", "bytes", "memory", "tags": {NAME: VALUE, ...},
//    "timers": [{"hits", "seconds", "user_seconds", "system_seconds", "tags"}, ...]}
// Texts longer than kMostText are cut. Of many timers those that took longest are there, in this order;
// "timers_left_out" and "tags_left_out" count the others, where there are any.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "plugin_pinba/receive/last_lines.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/per_second.h"

namespace mmstats::receive {

inline constexpr std::size_t kMostSlowLine = std::size_t{64} << 10;  // bytes
inline constexpr std::size_t kMostSlowTimers = 200;

// The line, without its end. Its cost is linear in the packet, and most of it is in kMostSlowLine.
std::string slow_line(const Packet& packet, const sockaddr_storage& from,
                      std::chrono::system_clock::time_point now);

struct SlowLogOptions {
  double seconds = 1;  // that a slow request takes, or more
  // Lines; one sender has a quarter of them. So requests that are all slow cost some percent of a processor.
  std::uint32_t most_a_second = 50;
};

// Any thread.
class SlowLog {
 public:
  // `lines` must outlive it.
  SlowLog(SlowLogOptions options, LastLines& lines)
      : seconds_(options.seconds), budget_(options.most_a_second), lines_(lines) {}

  // Adds a line if the request is slow; otherwise it is one comparison. Throws std::bad_alloc.
  void look(const Packet& packet, const sockaddr_storage& from) {
    if (packet.seconds >= seconds_) [[unlikely]]
      add(packet, from, std::chrono::system_clock::now());
  }
  // One that is slow.
  void add(const Packet& packet, const sockaddr_storage& from, std::chrono::system_clock::time_point now);

  // Slow requests so far, and those of them that have no line, as there were too many in a second.
  [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_.load(std::memory_order_relaxed); }

 private:
  double seconds_;
  PerSecond budget_;
  LastLines& lines_;
  std::atomic<std::uint64_t> count_ = 0;
  std::atomic<std::uint64_t> left_out_ = 0;
};

}  // namespace mmstats::receive
