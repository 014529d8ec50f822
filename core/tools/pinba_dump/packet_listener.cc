#include "tools/pinba_dump/packet_listener.h"

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "pinba/listen.h"

namespace pinba_dump {
namespace {

using mmstats::Descriptor;

constexpr int kReceiveBuffer = 4 << 20;  // bytes

}  // namespace

PacketListener::PacketListener(Descriptor socket) : socket_(std::move(socket)) {}

mmstats::Expected<PacketListener> PacketListener::make(const std::string& where) {
  auto socket = pinba::listen_at(where, kReceiveBuffer, false);
  if (!socket) return tl::unexpected(std::move(socket.error()));
  return PacketListener(std::move(*socket));
}

std::string PacketListener::address() const { return pinba::address_of(socket_); }

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
  return show({.name = pinba::address_text(from, header.msg_namelen),
               .time = std::chrono::system_clock::now(),
               .way = Way{endpoint_of(from), to}},
              std::span(buffer_).first(static_cast<std::size_t>(got)));
}

}  // namespace pinba_dump
