// How many a second, and how many of these for one sender.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/keyed_hash.h"

namespace mmstats::receive {

// Any thread; waits for nobody.
class PerSecond {
 public:
  // One sender gets a quarter.
  explicit PerSecond(std::uint32_t most)
      : most_(most), most_of_one_(most == 0 ? 0 : std::max(most / 4, 1U)) {}

  // False: enough for this second, of all or of this sender.
  bool take(std::uint64_t source, std::chrono::system_clock::time_point now) {
    const auto second = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
    // Several may share one, and nobody can find out who.
    auto& of_one = of_senders_[keyed_hash(source) % of_senders_.size()];
    return take_from(of_one, second, most_of_one_) && take_from(of_all_, second, most_);
  }

 private:
  // The second in the upper half, and how many there were in it.
  using Taken = std::atomic<std::uint64_t>;

  static bool take_from(Taken& taken, std::uint32_t second, std::uint32_t most) {
    std::uint64_t seen = taken.load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
      next = (seen >> 32U == second ? seen : std::uint64_t{second} << 32U) + 1;
      if (static_cast<std::uint32_t>(next) > most) return false;
    } while (!taken.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    return true;
  }

  std::uint32_t most_;
  std::uint32_t most_of_one_;
  Taken of_all_ = 0;
  std::array<Taken, 64> of_senders_{};
};

}  // namespace mmstats::receive
