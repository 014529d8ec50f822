// Sends packets of a capture to servers, as fast as they came, or faster.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "pinba/encode.h"
#include "pinba/sender.h"
#include "tools/pinba_dump/ending.h"

namespace pinba_dump {

class Replay {
 public:
  // Both outlive it. `speed`: how many times as fast as they came; 0: at once.
  Replay(pinba::Sender& sender, double speed, Ending& ending)
      : sender_(sender), speed_(speed), ending_(ending) {}

  // Waits for names of `servers` servers to be looked up, for some seconds at most: what is sent before that
  // has little room to wait.
  void begin(std::size_t servers);

  // Waits until it is the packet's turn, and sends it; false if there is an end before. After kBurst
  // packets there are always kPause without any, as of the client library, so that receivers' buffers hold
  // them.
  bool send(std::chrono::system_clock::time_point time, pinba::Datagram datagram);

  static constexpr std::size_t kBurst = 32;
  static constexpr std::chrono::milliseconds kPause{1};

 private:
  using Clock = Ending::Clock;
  bool wait(Clock::time_point until);

  pinba::Sender& sender_;
  double speed_;
  Ending& ending_;
  std::optional<std::chrono::system_clock::time_point> first_;  // time in the capture
  Clock::time_point begin_;                                     // when that was sent
  Clock::time_point last_;                                      // when the last one was sent
  std::size_t in_burst_ = 0;                                    // packets since the last pause
};

}  // namespace pinba_dump
