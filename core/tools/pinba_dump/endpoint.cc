#include "tools/pinba_dump/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <cstring>

namespace pinba_dump {

std::string Endpoint::text() const {
  std::array<char, INET6_ADDRSTRLEN> host{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), host.data(), host.size());
  return v6 ? fmt::format("[{}]:{}", host.data(), port) : fmt::format("{}:{}", host.data(), port);
}

Endpoint endpoint_of(const sockaddr_storage& address) {
  Endpoint end;
  if (address.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    end.port = ntohs(in.sin_port);
    std::memcpy(end.address.data(), &in.sin_addr, sizeof in.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    end.port = ntohs(in.sin6_port);
    end.v6 = !IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
    const std::size_t skipped = end.v6 ? 0 : 12;
    std::memcpy(end.address.data(), reinterpret_cast<const std::byte*>(&in.sin6_addr) + skipped,
                end.address.size() - skipped);
  }
  return end;
}

}  // namespace pinba_dump
