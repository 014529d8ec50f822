// Where a name may lead to in tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>

#include "pinba/sender.h"

// 127.0.0.1 and this port.
inline pinba::Address loopback_address(std::uint16_t port) {
  pinba::Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.length = sizeof v4;
  return address;
}
