// A packet as people and programs read it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "mmstats/error.h"
#include "pinba/decode.h"
#include "pinba/request.h"

namespace pinba_dump {

// Where a datagram came from, and when, if it did not come from a file.
struct Origin {
  std::string name;
  std::optional<std::chrono::system_clock::time_point> time;
};

struct Packet {
  Origin origin;
  pinba::Datagram bytes;
  mmstats::Expected<pinba::Request> request;
  std::vector<pinba::Finding> findings;
};

std::string as_json(const Packet& packet);  // one line
std::string as_text(const Packet& packet);  // lines, and an empty one at the end

}  // namespace pinba_dump
