// Datagrams from the network, one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "mmstats/error.h"
#include "pinba/encode.h"
#include "tools/pinba_dump/ending.h"
#include "tools/pinba_dump/shown_packet.h"

namespace pinba_dump {

class PacketListener {
 public:
  // Listens at HOST, HOST:PORT, [IPV6]:PORT or :PORT, with a large buffer. Error: the text cannot be read, or
  // the system refuses.
  static mmstats::Expected<PacketListener> make(const std::string& where);

  // Hands each datagram to `show`, until that says that there were enough, or there is an end. The way of a
  // datagram goes to the address that is listened on.
  using Show = std::function<bool(Origin origin, pinba::Datagram bytes)>;
  Ending::Event run(Ending& ending, const Show& show);

  [[nodiscard]] std::string address() const;
  // Datagrams that came faster than they were read, as the system counts them.
  [[nodiscard]] std::uint32_t lost() const { return lost_; }

 private:
  explicit PacketListener(mmstats::Descriptor socket);
  bool receive(const Endpoint& to, const Show& show);

  mmstats::Descriptor socket_;
  std::uint32_t lost_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
};

}  // namespace pinba_dump
