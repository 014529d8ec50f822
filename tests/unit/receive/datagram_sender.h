// Datagrams to an address of this machine.
#pragma once

#include <doctest/doctest.h>
#include <netdb.h>
#include <sys/socket.h>

#include <string>

#include "base/descriptor.h"

class DatagramSender {
 public:
  // "127.0.0.1:4711", "[::1]:4711"; of "[::]:4711" it is 127.0.0.1, as who sends needs one address.
  explicit DatagramSender(const std::string& address) {
    const auto colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.front() == '[') host = host.substr(1, host.size() - 2);
    if (host == "::") host = "127.0.0.1";
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    REQUIRE(::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list) == 0);
    socket_ = mmstats::Descriptor(::socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(socket_.get(), list->ai_addr, list->ai_addrlen) == 0);
    ::freeaddrinfo(list);
  }

  void send(const std::string& packet) const {
    CHECK(::send(socket_.get(), packet.data(), packet.size(), 0) == static_cast<ssize_t>(packet.size()));
  }

 private:
  mmstats::Descriptor socket_;
};
