#include "base/host_port.h"

#include <charconv>

#include "base/failure.h"

namespace mmstats {

Expected<HostPort> parse_host_port(std::string_view text) {
  const auto invalid = [](const char* reason) {
    return tl::unexpected(failure(ErrorKind::kInvalid, {}, reason));
  };
  std::string_view host = text;
  std::string_view port;  // with its colon
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return invalid("the closing bracket is missing");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (host.find(':') == std::string_view::npos) return invalid("brackets are for IPv6 addresses");
    if (!port.empty() && port[0] != ':') return invalid("only a port may follow the closing bracket");
  } else if (const auto colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (text.empty() || host.find('\0') != std::string_view::npos) return invalid("the host is missing");
  // A list that nobody took apart would be a name that is never found.
  if (host.find_first_of(", \t\n\v\f\r;") != std::string_view::npos) {
    return invalid("a host has no blanks, commas or semicolons");
  }
  if (port.empty()) return HostPort{std::string(host), std::nullopt};
  std::uint16_t number = 0;
  const char* last = port.data() + port.size();
  const auto [end, error] = std::from_chars(port.data() + 1, last, number);
  if (error != std::errc() || end != last) return invalid("the port must be a number up to 65535");
  return HostPort{std::string(host), number};
}

Expected<HostPort> parse_listen(std::string_view text, std::optional<std::uint16_t> port) {
  auto place = parse_host_port(text);
  if (place && !place->port) place->port = port;
  if (place && place->port) return place;
  return tl::unexpected(failure(ErrorKind::kInvalid, {},
                                "\"" + printable(text) + "\" is not possible: " +
                                    (place ? "the port is missing" : place.error().message) +
                                    "; write HOST:PORT, [IPV6]:PORT, or :PORT for all addresses"));
}

}  // namespace mmstats
