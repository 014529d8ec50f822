// The last packets in which something is wrong, each as a JSON line:
//   {"time": "2026-11-28T14:46:58.123Z", "from": "192.0.2.1:4711", "size": bytes of it,
//    "faults": ["bad_number", ...], "findings": [{"server", "effect", "offset", "message"}, ...],
//    "findings_left_out": 0, "hex": "0a03..."}
// Faults: see packet.h. Findings: what each server would make of it; see pinba/decode.h. "hex" are its first
// kKeptBytes. explain.h reads it.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "pinba/encode.h"
#include "plugin_pinba/receive/last_lines.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/per_second.h"

namespace mmstats::receive {

// Most packets are smaller; of a larger one its findings tell of the rest, too.
inline constexpr std::size_t kKeptBytes = std::size_t{8} << 10;
// Of each server. The worst ones.
inline constexpr std::size_t kMostFindings = 8;

struct BadPacket {
  std::chrono::system_clock::time_point time;
  sockaddr_storage from{};
  FaultCounts faults{};
  std::vector<std::byte> bytes;
};

// The line, without its end. Asks the linter, whose cost is linear in the packet.
std::string bad_packet_line(const BadPacket& packet);

struct BadPacketsOptions {
  std::uint32_t most_a_second = 20;  // one sender has a quarter of them
  std::size_t most_waiting = 32;     // until judge() is called; each has 64 KiB at most
};

class BadPackets {
 public:
  // `lines` must outlive it.
  BadPackets(BadPacketsOptions options, LastLines& lines)
      : options_(options), budget_(options.most_a_second), lines_(lines) {}

  // Copies the datagram, if `faults` has any and it is its turn. Any thread; waits for nobody: if another one
  // is just here, the packet is left out.
  void look(pinba::Datagram datagram, const sockaddr_storage& from, const FaultCounts& faults) noexcept;
  // One that has faults.
  void take(pinba::Datagram datagram, const sockaddr_storage& from, const FaultCounts& faults,
            std::chrono::system_clock::time_point now) noexcept;

  // Makes lines of those that were taken; to be called once a second or so by any thread but one that
  // receives. Throws std::bad_alloc.
  void judge();

  // Bad packets that have no line, as there were too many.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_.load(std::memory_order_relaxed); }

 private:
  BadPacketsOptions options_;
  PerSecond budget_;
  LastLines& lines_;
  std::mutex mutex_;  // of what follows
  std::vector<BadPacket> waiting_;
  std::atomic<std::uint64_t> left_out_ = 0;
};

}  // namespace mmstats::receive
