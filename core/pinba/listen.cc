#include "pinba/listen.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <memory>
#include <utility>

#include "base/failure.h"
#include "base/host_port.h"
#include "mmstats/error.h"
#include "pinba/sender.h"

namespace pinba {

using mmstats::Descriptor;

namespace {

// None, with errno, if the system refuses.
Descriptor bound_to(const addrinfo& address, int buffer, bool shared) {
  Descriptor socket(::socket(address.ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  const int off = 0;
  const int on = 1;
  if (address.ai_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (shared) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0) socket.reset();
  return socket;
}

}  // namespace

std::string address_text(const sockaddr_storage& address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  const bool brackets = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", host.data(), brackets ? "]" : "", port.data());
}

std::string address_of(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return address_text(address, length);
}

mmstats::Expected<Descriptor> listen_at(const std::string& where, int buffer, bool shared) {
  const auto what = fmt::format("cannot listen on {}", mmstats::printable(where));
  const auto invalid = [&](std::string_view why) {
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kInvalid, {}, fmt::format("{}: {}", what, why)));
  };
  const auto place = mmstats::parse_listen(where, kDefaultPort);
  if (!place)
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kInvalid, {}, "cannot listen: " + place.error().message));
  const char* host = place->host.empty() ? nullptr : place->host.c_str();
  const std::string port = std::to_string(*place->port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  // Takes packets over IPv4, too.
  if (host == nullptr) hints.ai_family = AF_INET6;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host, port.c_str(), &hints, &list);
  if (error != 0) return invalid(::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (Descriptor socket = bound_to(*entry, buffer, shared)) return socket;
  }
  return tl::unexpected(mmstats::system_failure({}, what));
}

}  // namespace pinba
