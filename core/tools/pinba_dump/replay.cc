#include "tools/pinba_dump/replay.h"

#include <algorithm>

namespace pinba_dump {

bool Replay::wait(Clock::time_point until) { return ending_.wait(-1, until) == Ending::Event::kWaited; }

void Replay::begin(std::size_t servers) {
  const auto at_most = Clock::now() + std::chrono::seconds(5);
  for (std::size_t server = 0; server < servers; ++server) {
    for (;;) {
      const auto counts = sender_.counts(server);
      const auto now = Clock::now();
      if (counts.addresses > 0 || counts.not_found > 0 || now >= at_most) break;
      if (!wait(now + std::chrono::milliseconds(5))) return;
    }
  }
}

bool Replay::send(std::chrono::system_clock::time_point time, pinba::Datagram datagram) {
  if (!first_) {
    first_ = time;
    begin_ = Clock::now();
  }
  if (speed_ > 0 && time > *first_) {
    // Bounded, so that a capture of many years cannot overflow the clock.
    const double seconds = std::min(std::chrono::duration<double>(time - *first_).count() / speed_, 3e9);
    if (!wait(begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)))) {
      return false;
    }
  }
  if (in_burst_ == kBurst) {
    if (!wait(last_ + kPause)) return false;
    in_burst_ = 0;
  }
  ++in_burst_;
  sender_.send(datagram);
  last_ = Clock::now();
  return true;
}

}  // namespace pinba_dump
