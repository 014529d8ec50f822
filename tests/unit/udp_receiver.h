// A UDP socket on a free port of this machine, as a Pinba server has one.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "patience.h"

class UdpReceiver {
 public:
  // Port 0: any that is free; else that of an UnheardPort, which keeps it. `buffer`: half of the bytes that
  // the system reckons with.
  explicit UdpReceiver(int family = AF_INET, std::uint16_t port = 0, int buffer = 8 << 20) {
    socket_ = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    require(socket_ >= 0);
    // The system's limit for others than root is no more than some hundred packets, on most machines.
    if (::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
    constexpr int kShared = 1;
    if (port != 0) require(::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &kShared, sizeof kShared) == 0);
    sockaddr_storage address{};
    socklen_t length = 0;
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      length = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      v6.sin6_addr = in6addr_loopback;
      length = sizeof v6;
    }
    require(::bind(socket_, reinterpret_cast<sockaddr*>(&address), length) == 0);
    require(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);  // in the same place in both
  }
  UdpReceiver(const UdpReceiver&) = delete;
  UdpReceiver& operator=(const UdpReceiver&) = delete;
  ~UdpReceiver() { ::close(socket_); }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string server() const { return "127.0.0.1:" + std::to_string(port_); }

  // The next packet; nothing if none comes in time.
  std::optional<std::string> receive(std::chrono::milliseconds at_most = kPatience) {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(at_most.count())) != 1) return std::nullopt;
    std::string packet(65536, '\0');
    const auto size = ::recv(socket_, packet.data(), packet.size(), 0);
    require(size >= 0);
    packet.resize(static_cast<std::size_t>(size));
    return packet;
  }

  // All that has arrived, once `least` have: a busy system may deliver what was sent a little later.
  std::vector<std::string> received(std::size_t least = 0) {
    std::vector<std::string> packets;
    while (packets.size() < least) {
      auto packet = receive();
      if (!packet) return packets;
      packets.push_back(std::move(*packet));
    }
    while (auto packet = receive(std::chrono::milliseconds(0))) packets.push_back(std::move(*packet));
    return packets;
  }

  // Throws away what arrives, until nothing does for so long.
  void discard(std::chrono::milliseconds quiet) {
    std::array<char, 65536> packet;
    pollfd waiting{socket_, POLLIN, 0};
    while (::poll(&waiting, 1, static_cast<int>(quiet.count())) == 1) {
      while (::recv(socket_, packet.data(), packet.size(), MSG_DONTWAIT) >= 0) {
      }
    }
  }

 private:
  static void require(bool holds) {
    if (!holds) throw std::system_error(errno, std::generic_category(), "a socket for a test");
  }

  friend class UnheardPort;
  int socket_ = -1;
  std::uint16_t port_ = 0;
};

// What has arrived at each of several, once that is `least` packets together.
inline std::vector<std::vector<std::string>> received_by(const std::vector<UdpReceiver*>& receivers,
                                                         std::size_t least) {
  std::vector<std::vector<std::string>> packets(receivers.size());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (std::size_t count = 0;;) {
    for (std::size_t i = 0; i < receivers.size(); ++i) {
      for (auto& packet : receivers[i]->received()) {
        packets[i].push_back(std::move(packet));
        ++count;
      }
    }
    if (count >= least || std::chrono::steady_clock::now() >= deadline) return packets;
    ::poll(nullptr, 0, 1);
  }
}

// A port at which nobody listens, and which nobody else is given meanwhile: what is sent there is refused,
// until a UdpReceiver is made for it.
class UnheardPort {
 public:
  UnheardPort() {
    // A socket that is connected hears that peer alone, from whose port nothing comes.
    sockaddr_in silent{};
    silent.sin_family = AF_INET;
    silent.sin_port = htons(1);
    silent.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    UdpReceiver::require(
        ::connect(keeper_.socket_, reinterpret_cast<const sockaddr*>(&silent), sizeof silent) == 0);
    // Shared with nobody but those who ask for this very port. Not earlier: two keepers might get one port.
    constexpr int kShared = 1;
    UdpReceiver::require(::setsockopt(keeper_.socket_, SOL_SOCKET, SO_REUSEADDR, &kShared, sizeof kShared) ==
                         0);
  }

  [[nodiscard]] std::uint16_t port() const { return keeper_.port(); }
  [[nodiscard]] std::string server() const { return keeper_.server(); }

 private:
  UdpReceiver keeper_;
};
