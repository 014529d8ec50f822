// The one packet that a client sent.
#pragma once

#include <doctest/doctest.h>

#include <span>

#include "pinba/packet_check.h"
#include "udp_receiver.h"

// The message that has come to `server`, and nothing else has; it is safe everywhere. Ends the test if not.
inline pinba_wire::Request only_packet(UdpReceiver& server) {
  const auto packets = server.received(1);
  REQUIRE(packets.size() == 1);
  const auto bytes = std::as_bytes(std::span(packets[0]));
  CHECK(broken_rule(bytes) == "");
  return parsed(bytes);
}
