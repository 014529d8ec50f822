#include "plugin_pinba/receive/line_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "pinba/listen.h"

namespace mmstats::receive {

std::string json_text(std::string_view foreign) {
  using Json = nlohmann::json;
  // Continuing bytes alone are no characters: it would leave nothing of them.
  const auto whole = whole_characters(foreign, kMostText);
  const bool cuts_much = whole.size() + 4 < std::min(foreign.size(), kMostText);
  return Json(std::string(cuts_much ? foreign.substr(0, kMostText) : whole))
      .dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (milliseconds - seconds).count());
}

std::string sender_text(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return pinba::address_text(address, sizeof(sockaddr_in));
  if (address.ss_family != AF_INET6) return "?";
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return pinba::address_text(address, sizeof v6);
  sockaddr_storage mapped{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(mapped);
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
  return pinba::address_text(mapped, sizeof v4);
}

}  // namespace mmstats::receive
