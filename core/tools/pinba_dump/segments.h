// Datagrams that a sender gave to the system in one piece.
#pragma once

#include <vector>

#include "pinba/encode.h"

namespace pinba_dump {

// Where a capture sits before the network card, or on loopback, it has datagrams of one size that were sent
// by one call as a single one (UDP_SEGMENT, udp(7)), and the size is not in it. Each message begins with
// field 1, which no message has twice: cut there, into pieces of one size and a last one that is not larger.
// Else, and where there is one message alone, the datagram as it is.
std::vector<pinba::Datagram> segments_of(pinba::Datagram datagram);

}  // namespace pinba_dump
