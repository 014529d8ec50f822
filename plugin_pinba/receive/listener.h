// A UDP socket whose packets are taken many at a time.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "mmstats/error.h"
#include "pinba/encode.h"

namespace mmstats::receive {

// One thread at a time.
class Listener {
 public:
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kLargest = 65'536;  // bytes; a datagram has 65,507 at most
  using Visit = std::function<void(pinba::Datagram datagram, const sockaddr_storage& from)>;

  // `socket`: bound, and does not block; see pinba::listen_at().
  explicit Listener(Descriptor socket);

  // Waits until packets come, or `ends` can be read, or a second has passed, and calls `visit` for each
  // packet that is there, at most kBatch. False: `ends` can be read, and all that had come by then was
  // visited; what goes on coming is taken for a second at most. `visit` must not throw.
  bool receive(int ends, const Visit& visit);

  // Packets for which the socket's buffer had no room, so far, modulo 2^32 as the system counts. Known with
  // the next packet that had room, or when all that waited was taken.
  [[nodiscard]] std::uint32_t lost() const { return lost_; }

 private:
  std::size_t take(const Visit& visit);
  void ask_for_losses();
  void add_losses(std::uint32_t all);

  // Packets begin in different places of a page: otherwise those of a batch would drive each other out of the
  // processor's cache.
  static constexpr std::size_t kApart = kLargest + std::size_t{17} * 64;
  struct Places {
    std::array<mmsghdr, kBatch> headers;
    std::array<iovec, kBatch> vectors;
    std::array<sockaddr_storage, kBatch> from;
    alignas(cmsghdr) std::array<std::array<std::byte, CMSG_SPACE(sizeof(std::uint32_t))>, kBatch> control;
    alignas(64) std::array<std::array<std::byte, kApart>, kBatch> bytes;
  };

  Descriptor socket_;
  std::unique_ptr<Places> places_;
  bool full_ = false;  // the last batch: more may wait
  std::uint32_t full_batches_ = 0;
  std::uint32_t lost_ = 0;
};

}  // namespace mmstats::receive
