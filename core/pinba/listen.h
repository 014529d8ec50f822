// Where packets are received.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/descriptor.h"
#include "mmstats/error.h"

namespace pinba {

// A UDP socket that does not block, bound to HOST:PORT, [IPV6]:PORT or :PORT, which is all addresses of the
// machine, of IPv4, too; without a port to 30002. It tells how many packets were lost (SO_RXQ_OVFL).
// `buffer`: bytes for what waits; the system gives what it allows. `shared`: others may be bound to the same
// (SO_REUSEPORT), and each gets a part of the packets. Looks up names. Error: with `where`.
mmstats::Expected<mmstats::Descriptor> listen_at(const std::string& where, int buffer, bool shared);

// ADDRESS:PORT, or [IPV6]:PORT.
std::string address_text(const sockaddr_storage& address, socklen_t length);
std::string address_of(const mmstats::Descriptor& socket);

}  // namespace pinba
