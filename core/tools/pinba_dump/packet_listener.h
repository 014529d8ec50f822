// Datagrams from the network, one by one.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "mmstats/error.h"
#include "pinba/encode.h"

namespace pinba_dump {

struct Limits {
  std::uint64_t packets = std::numeric_limits<std::uint64_t>::max();
  std::optional<double> seconds;
};

class PacketListener {
 public:
  // Listens at HOST, HOST:PORT, [IPV6]:PORT or :PORT, with a large buffer. SIGINT and SIGTERM are blocked
  // from now on, and end run(). Error: the text cannot be read, or the system refuses.
  static mmstats::Expected<PacketListener> make(const std::string& where);

  // Hands each datagram to `show` with the address that it came from, until there were enough, a signal comes
  // or nobody reads standard output any more. `show` says whether to go on.
  using Show = std::function<bool(std::string from, pinba::Datagram bytes)>;
  enum class End : std::uint8_t { kDone, kReaderLeft };
  End run(const Limits& limits, const Show& show);

  [[nodiscard]] std::string address() const;
  // Datagrams that came faster than they were read, as the system counts them.
  [[nodiscard]] std::uint32_t lost() const { return lost_; }

 private:
  explicit PacketListener(mmstats::Descriptor socket);
  bool receive(const Show& show, std::uint64_t& packets);

  mmstats::Descriptor socket_;
  mmstats::Descriptor signals_;
  std::uint32_t lost_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(65536);
};

}  // namespace pinba_dump
