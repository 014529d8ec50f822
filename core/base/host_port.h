// Where a server listens, as people write it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mmstats/error.h"

namespace mmstats {

struct HostPort {
  std::string host;                   // a name or an address, without brackets; empty only of ":PORT"
  std::optional<std::uint16_t> port;  // none: none was given
};

// Takes HOST, HOST:PORT, IPV6, [IPV6], [IPV6]:PORT and :PORT. Nothing is looked up, and a name is not judged,
// but that it has no blanks, commas or semicolons. Whether a missing host or port, or port 0, will do is up
// to the caller. Error: kInvalid, with the reason alone.
Expected<HostPort> parse_host_port(std::string_view text);

// Where a server listens: as above, and :PORT, without a host, is all addresses of the machine, of IPv4 and
// of IPv6. `port`: where none is given; none: one must be. Error: kInvalid, for people: the text, the reason,
// and what to write.
Expected<HostPort> parse_listen(std::string_view text, std::optional<std::uint16_t> port = {});

}  // namespace mmstats
