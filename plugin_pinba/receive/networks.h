// Whose packets are taken.
#pragma once

#include <sys/socket.h>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <string>
#include <vector>

#include "mmstats/error.h"
#include "plugin_pinba/receive/source.h"

namespace mmstats::receive {

// Any thread may ask.
class Networks {
 public:
  // "10.0.0.0/8", "fd00::/8", or one address; of ::ffff:10.0.0.0/104 that of IPv4. Error: kInvalid, with what
  // it takes.
  Expected<void> add(const std::string& network);

  // There are none, or the address is in one of them. An IPv4 address that an IPv6 socket has is one of IPv4.
  [[nodiscard]] bool have(const sockaddr_storage& address) const;

 private:
  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
};

// What stands for the machine that sent it: its address, or of IPv6 the first 64 bits, as who has one address
// of such a network has all. 0 is nobody's: what is no internet address.
Source source_of(const sockaddr_storage& address);

}  // namespace mmstats::receive
