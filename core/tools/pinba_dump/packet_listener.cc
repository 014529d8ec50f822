#include "tools/pinba_dump/packet_listener.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "base/failure.h"
#include "base/host_port.h"
#include "pinba/sender.h"

namespace pinba_dump {
namespace {

using mmstats::Descriptor;

constexpr int kReceiveBuffer = 4 << 20;  // bytes; the system gives what it allows

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

// None, with errno, if the system refuses.
Descriptor bound_to(const addrinfo& address) {
  Descriptor socket(::socket(address.ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  const int off = 0;
  const int on = 1;
  if (address.ai_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  if (::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0) socket.reset();
  return socket;
}

mmstats::Expected<Descriptor> listen_at(const std::string& where) {
  const auto what = fmt::format("cannot listen on {}", mmstats::printable(where));
  const auto invalid = [&](std::string_view why) {
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kInvalid, {}, fmt::format("{}: {}", what, why)));
  };
  const auto place = mmstats::parse_host_port(where);
  if (!place) return invalid(place.error().message + "; write HOST:PORT, [IPV6]:PORT or :PORT");
  // Without a host: all addresses of the machine.
  const char* host = place->host.empty() ? nullptr : place->host.c_str();
  const std::string port = std::to_string(place->port.value_or(pinba::kDefaultPort));
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
    if (Descriptor socket = bound_to(*entry)) return socket;
  }
  return tl::unexpected(mmstats::system_failure({}, what));
}

}  // namespace

PacketListener::PacketListener(Descriptor socket) : socket_(std::move(socket)) {}

mmstats::Expected<PacketListener> PacketListener::make(const std::string& where) {
  auto socket = listen_at(where);
  if (!socket) return tl::unexpected(std::move(socket.error()));
  return PacketListener(std::move(*socket));
}

std::string PacketListener::address() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return address_text(address, length);
}

Ending::Event PacketListener::run(Ending& ending, const Show& show) {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&own), &length);
  const Endpoint to = endpoint_of(own);
  for (;;) {
    const auto event = ending.wait(socket_.get());
    if (event != Ending::Event::kReady) return event;
    if (!receive(to, show)) return Ending::Event::kEnded;
  }
}

bool PacketListener::receive(const Endpoint& to, const Show& show) {
  sockaddr_storage from{};
  iovec vector{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof lost_)> control{};
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof from;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket_.get(), &header, 0);
  if (got < 0) return true;
  if (const cmsghdr* message = CMSG_FIRSTHDR(&header);
      message != nullptr && message->cmsg_level == SOL_SOCKET && message->cmsg_type == SO_RXQ_OVFL) {
    std::memcpy(&lost_, CMSG_DATA(message), sizeof lost_);
  }
  return show({.name = address_text(from, header.msg_namelen),
               .time = std::chrono::system_clock::now(),
               .way = Way{endpoint_of(from), to}},
              std::span(buffer_).first(static_cast<std::size_t>(got)));
}

}  // namespace pinba_dump
