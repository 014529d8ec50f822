// What signals and systemd ask of a daemon, and what systemd is told.
#pragma once

#include <chrono>
#include <initializer_list>
#include <optional>

#include "base/descriptor.h"

namespace mmstats::daemon {

// One thread at a time.
class Orders {
 public:
  // Blocks these signals, also in threads that are started later, and ignores SIGPIPE. Throws
  // std::system_error.
  explicit Orders(std::initializer_list<int> signals);

  // Can be read when there is one.
  [[nodiscard]] int descriptor() const { return signals_.get(); }
  // The next signal; none: there is none now.
  std::optional<int> take();

 private:
  Descriptor signals_;
};

// Can be read at each interval.
class Ticks {
 public:
  // Throws std::system_error, as set().
  explicit Ticks(std::chrono::nanoseconds interval);
  void set(std::chrono::nanoseconds interval);
  [[nodiscard]] int descriptor() const { return timer_.get(); }
  // Whether an interval has passed since the last call.
  bool take();

 private:
  Descriptor timer_;
};

// systemd's watchdog: wants to hear from us in half of its patience. Nothing to do without it.
class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;
  Watchdog();
  // How long until then; none: there is no watchdog.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> wait() const;
  // Tells it, when it is time.
  void tell();

 private:
  std::optional<std::chrono::nanoseconds> period_;
  Clock::time_point told_at_ = Clock::now();
};

// Until there is an order or a tick, or the time is over; meanwhile the watchdog is told when it is time, and
// it may return for that, too. Throws std::system_error.
void wait(const Orders& orders, const Ticks& ticks, Watchdog& watchdog,
          std::optional<std::chrono::nanoseconds> at_most = std::nullopt);

void tell_ready();
void tell_reloading();
void tell_stopping();

}  // namespace mmstats::daemon
