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

}  // namespace mmstats
