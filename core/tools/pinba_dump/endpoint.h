// One end of a packet's way.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pinba_dump {

struct Endpoint {
  bool v6 = false;
  std::array<std::byte, 16> address{};  // of IPv4 the first four
  std::uint16_t port = 0;

  // ADDRESS:PORT or [IPV6]:PORT.
  [[nodiscard]] std::string text() const;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// An IPv4 address that an IPv6 socket has is one of IPv4. Nothing but zeros for other families.
Endpoint endpoint_of(const sockaddr_storage& address);

// From where to where a packet went.
struct Way {
  Endpoint from;
  Endpoint to;
  friend auto operator<=>(const Way&, const Way&) = default;
};

}  // namespace pinba_dump
