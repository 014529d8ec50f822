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
#include <vector>

class UdpReceiver {
 public:
  // Port 0: any that is free. `buffer`: half of the bytes that the system reckons with.
  explicit UdpReceiver(int family = AF_INET, std::uint16_t port = 0, int buffer = 8 << 20) {
    socket_ = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    require(socket_ >= 0);
    // The system's limit for others than root is no more than some hundred packets, on most machines.
    if (::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
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
  std::optional<std::string> receive(std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(at_most.count())) != 1) return std::nullopt;
    std::string packet(65536, '\0');
    const auto size = ::recv(socket_, packet.data(), packet.size(), 0);
    require(size >= 0);
    packet.resize(static_cast<std::size_t>(size));
    return packet;
  }

  // All that has arrived.
  std::vector<std::string> received() {
    std::vector<std::string> packets;
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

  int socket_ = -1;
  std::uint16_t port_ = 0;
};
