// What lines about packets have in common: JSON in ASCII, so that nothing in them commands a terminal.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace mmstats::receive {

// Texts of packets may have 64 KiB: further bytes are left out.
inline constexpr std::size_t kMostText = 512;

// As a JSON string of at most kMostText characters, or six times as many where all are escaped. What is not
// UTF-8 is replaced.
std::string json_text(std::string_view foreign);

// "2026-11-28T14:46:58.123Z"
std::string time_text(std::chrono::system_clock::time_point time);

// "192.0.2.1:4711", or "[2001:db8::1]:4711"; an IPv4 address that an IPv6 socket has is one of IPv4.
std::string sender_text(const sockaddr_storage& address);

}  // namespace mmstats::receive
