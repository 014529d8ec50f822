#include "plugin_pinba/receive/networks.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/failure.h"

namespace mmstats::receive {
namespace {

namespace ip = boost::asio::ip;

std::optional<ip::address_v6> v6_of(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET6) return std::nullopt;
  ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, bytes.size());
  return ip::address_v6(bytes);
}

std::optional<ip::address_v4> v4_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  const auto v6 = v6_of(address);
  if (!v6 || !v6->is_v4_mapped()) return std::nullopt;
  return ip::make_address_v4(ip::v4_mapped, *v6);
}

constexpr unsigned short kV4InV6 = 96;  // bits before an IPv4 address

bool has(const auto& networks, const auto& address) {
  return std::any_of(networks.begin(), networks.end(), [&](const auto& network) {
    using Network = std::remove_cvref_t<decltype(network)>;
    return Network(address, network.prefix_length()).canonical() == network;
  });
}

// None: it is no number of bits. Without one: all.
std::optional<unsigned short> bits_of(std::string_view network, std::size_t slash, unsigned short all) {
  if (slash == std::string_view::npos) return all;
  const auto digits = network.substr(slash + 1);
  unsigned short bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  const bool good = error == std::errc() && end == digits.data() + digits.size() && bits <= all;
  return good ? std::optional(bits) : std::nullopt;
}

}  // namespace

Expected<void> Networks::add(const std::string& network) {
  const auto slash = network.find('/');
  const std::string host = network.substr(0, slash);
  boost::system::error_code error;
  if (const auto v4 = ip::make_address_v4(host, error); !error) {
    if (const auto bits = bits_of(network, slash, 32)) {
      v4_.push_back(ip::network_v4(v4, *bits).canonical());
      return {};
    }
  }
  // An address with a zone would be in no packet's network.
  if (const auto v6 = ip::make_address_v6(host, error); !error && v6.scope_id() == 0) {
    if (const auto bits = bits_of(network, slash, 128)) {
      if (v6.is_v4_mapped() && *bits >= kV4InV6) {
        const auto v4 = ip::make_address_v4(ip::v4_mapped, v6);
        v4_.push_back(ip::network_v4(v4, static_cast<unsigned short>(*bits - kV4InV6)).canonical());
      } else {
        v6_.push_back(ip::network_v6(v6, *bits).canonical());
      }
      return {};
    }
  }
  return tl::unexpected(
      failure(ErrorKind::kInvalid, {}, "it takes a network, like 10.0.0.0/8 or fd00::/8, or an address"));
}

bool Networks::have(const sockaddr_storage& address) const {
  if (v4_.empty() && v6_.empty()) return true;
  if (const auto v4 = v4_of(address)) return has(v4_, *v4);
  const auto v6 = v6_of(address);
  return v6 && has(v6_, *v6);
}

Source source_of(const sockaddr_storage& address) {
  if (const auto v4 = v4_of(address)) return v4->to_uint();
  const auto v6 = v6_of(address);
  if (!v6) return 0;
  Source network = 0;
  std::memcpy(&network, v6->to_bytes().data(), sizeof network);
  return network;
}

}  // namespace mmstats::receive
