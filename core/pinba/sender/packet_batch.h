// The packets of one system call.
#pragma once

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pinba/sender/packet_queue.h"

namespace pinba {

// Messages in a row of a queue; a message may be several packets of one size, which the system cuts apart.
class PacketBatch {
 public:
  static constexpr std::size_t kMessages = 64;

  // Takes from the front of the queue, which must not be empty and must stay as it is. `segments`: whether
  // the system can cut messages.
  PacketBatch(PacketQueue& queue, std::size_t most_messages, std::size_t most_packets, bool segments);

  // How many messages the system took; -1 with errno if not even the first.
  int send(int socket);

  [[nodiscard]] std::size_t packets(std::size_t message) const { return packets_[message]; }
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t message) const {
    return {static_cast<const std::byte*>(vectors_[message].iov_base), vectors_[message].iov_len};
  }

 private:
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
  };
  void cut(std::size_t message, std::size_t segment_size);

  // Not set here, as most of it stays unused.
  std::array<mmsghdr, kMessages> messages_;
  std::array<iovec, kMessages> vectors_;
  std::array<std::size_t, kMessages> packets_;
  std::array<Control, kMessages> controls_;
  std::size_t count_ = 0;
};

}  // namespace pinba
