// Datagrams that wait for their turn. A scan over many series makes thousands at once, and a server loses
// what its socket's buffer does not hold: so they leave in small bursts.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinba/encode.h"
#include "pinba/sender.h"

namespace mmstats::forward {

class Outbox {
 public:
  // 32 datagrams of 1,400 bytes fit in any server's buffer; so paced, they are 45 MB a second.
  static constexpr std::size_t kBurst = 32;
  static constexpr std::chrono::milliseconds kPause{1};

  // Copies them.
  void add(std::span<const pinba::Datagram> datagrams, std::string_view script_name);

  // Hands the next burst to the sender.
  void send_burst(pinba::Sender& sender);

  [[nodiscard]] bool empty() const { return next_ == letters_.size(); }

 private:
  struct Letter {
    std::size_t begin;
    std::size_t size;
    std::size_t script;  // index
  };
  std::vector<std::byte> bytes_;
  std::vector<Letter> letters_;
  std::vector<std::string> scripts_;
  std::size_t next_ = 0;
  std::vector<pinba::Datagram> burst_;
};

}  // namespace mmstats::forward
