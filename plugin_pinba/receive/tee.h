// Passes packets on, unchanged, to other servers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mmstats/error.h"
#include "pinba/encode.h"
#include "pinba/sender.h"

namespace mmstats::receive {

// How it sends. A system call for each packet would cost a receiving thread about as much as to receive it.
// So packets wait for each other, but never for long, and 32 leave in one call. There is no other limit on
// bursts, as for a program that makes packets: these came over a network at this very rate, and what is held
// back of a steady stream would be lost.
pinba::SenderOptions tee_options(std::vector<std::string> servers);

struct TeeCounts {
  std::uint64_t sent = 0;     // packets to any server
  std::uint64_t lost = 0;     // of which it is known: no address, no room, or they came back
  std::uint64_t waiting = 0;  // now
};

// Any thread; but a receiving thread waits least if it has one of its own.
class Tee {
 public:
  // Each gets all packets. Errors: those of pinba::Sender::make().
  static Expected<Tee> make(std::vector<std::string> servers);

  // Copies it, or sends it with those that wait. Never blocks.
  void pass_on(pinba::Datagram datagram) noexcept { sender_.send(datagram); }

  // So far. Asks the system for packets that came back: to be called once a second or so.
  TeeCounts counts();

  // What waits is sent, as far as that works at once, when it is destroyed.

 private:
  explicit Tee(pinba::Sender sender) : sender_(std::move(sender)) {}

  pinba::Sender sender_;
};

}  // namespace mmstats::receive
