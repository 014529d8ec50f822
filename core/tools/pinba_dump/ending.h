// What ends a tool that waits for packets: signals, the time, and that nobody reads what it prints.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/descriptor.h"

namespace pinba_dump {

class Ending {
 public:
  using Clock = std::chrono::steady_clock;

  // From now on SIGINT and SIGTERM are blocked, and the time runs. No seconds: for ever.
  explicit Ending(std::optional<double> seconds);

  enum class Event : std::uint8_t {
    kReady,       // the descriptor can be read
    kWaited,      // until the time that was given
    kEnded,       // by a signal, or the time
    kReaderLeft,  // nobody reads standard output any more
  };
  // Waits for the descriptor, unless it is negative, until then. What ends comes before what is ready.
  Event wait(int descriptor, std::optional<Clock::time_point> until = std::nullopt);
  // Whether there is an end by now.
  Event look() { return wait(-1, Clock::time_point::min()); }

 private:
  mmstats::Descriptor signals_;
  std::optional<Clock::time_point> end_;
  Event ended_ = Event::kWaited;  // it stays at an end
};

}  // namespace pinba_dump
