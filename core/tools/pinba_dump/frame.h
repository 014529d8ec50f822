// A captured frame -> the UDP datagram in it. Any bytes at all may be given. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tools/pinba_dump/endpoint.h"

namespace pinba_dump {

// What a frame begins with.
enum class LinkType : std::uint8_t {
  kEthernet,
  kLinuxCooked,   // of the interface "any"
  kLinuxCooked2,  // the same, as newer programs write it
  kRaw,           // nothing: an IP packet
  kLoopback,      // an address family in four bytes, of either order: the BSDs' NULL and LOOP
};

// `number` as libpcap has it (DLT_...). None: no such frames can be read.
std::optional<LinkType> link_type_of(int number);

struct Frame {
  enum class Kind : std::uint8_t {
    kOther,       // not UDP, not for this port, or no first fragment
    kDatagram,    // the whole of it
    kFragmented,  // the first fragment of one for this port
    kCut,         // the capture lacks its end, or so much that it could be one
    kDamaged,     // an IP packet whose lengths do not fit into the frame
  };
  Kind kind = Kind::kOther;
  Way way;                             // of kDatagram and kFragmented
  std::span<const std::byte> payload;  // of kDatagram; within `captured`
};

// Finds a datagram for `port` behind VLAN tags, IPv4 with options, and IPv6 with extension headers. Checksums
// are not looked at, as senders leave them to the network card. `frame_size`: its bytes when it was captured,
// of which `captured` are the first.
Frame read_frame(LinkType type, std::span<const std::byte> captured, std::size_t frame_size,
                 std::uint16_t port);

}  // namespace pinba_dump
