#include "tools/pinba_dump/packet_listener.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "base/failure.h"
#include "base/host_port.h"
#include "pinba/sender.h"

namespace pinba_dump {
namespace {

using Clock = std::chrono::steady_clock;
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

Descriptor ending_signals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGINT);
  ::sigaddset(&ending, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  return Descriptor(::signalfd(-1, &ending, SFD_CLOEXEC));
}

}  // namespace

PacketListener::PacketListener(Descriptor socket) : socket_(std::move(socket)), signals_(ending_signals()) {}

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

PacketListener::End PacketListener::run(const Limits& limits, const Show& show) {
  const auto begin = Clock::now();
  std::uint64_t packets = 0;
  std::array<pollfd, 3> waits{
      {{socket_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
  while (packets < limits.packets) {
    int timeout = -1;
    if (limits.seconds) {
      const double left = *limits.seconds - std::chrono::duration<double>(Clock::now() - begin).count();
      if (left <= 0) break;
      timeout = static_cast<int>(std::min(std::ceil(left * 1000), 1e9));
    }
    if (::poll(waits.data(), waits.size(), timeout) < 0) continue;
    if ((waits[1].revents & POLLIN) != 0) break;
    if ((waits[2].revents & POLLERR) != 0) return End::kReaderLeft;
    if ((waits[0].revents & (POLLIN | POLLERR)) != 0 && !receive(show, packets)) break;
  }
  return End::kDone;
}

bool PacketListener::receive(const Show& show, std::uint64_t& packets) {
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
  ++packets;
  return show(address_text(from, header.msg_namelen),
              std::span(buffer_).first(static_cast<std::size_t>(got)));
}

}  // namespace pinba_dump
