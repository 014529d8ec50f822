// A packet as people and programs read it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmstats/error.h"
#include "pinba/decode.h"
#include "pinba/request.h"
#include "tools/pinba_dump/endpoint.h"

namespace pinba_dump {

// Where a datagram came from.
struct Origin {
  std::string name;  // of the file that it is, or of its sender
  // These if it came over the network, now or when it was captured.
  std::optional<std::chrono::system_clock::time_point> time = std::nullopt;
  std::optional<Way> way = std::nullopt;
  bool captured = false;  // then where it went is shown, too
};

struct Packet {
  Origin origin;
  pinba::Datagram bytes;
  mmstats::Expected<pinba::Request> request;
  std::vector<pinba::Finding> findings;
  std::uint32_t missing = 0;  // so many requests before it were lost, see Numbering
};

std::string as_json(const Packet& packet);  // one line
std::string as_text(const Packet& packet);  // lines, and an empty one at the end

}  // namespace pinba_dump
