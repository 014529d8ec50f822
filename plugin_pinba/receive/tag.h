// A tag of a request or of a timer.
#pragma once

#include <string_view>

namespace mmstats::receive {

// Views the datagram, or what is known of one like it; at most kMostTagText bytes each, any bytes.
struct Tag {
  std::string_view name;
  std::string_view value;
};

}  // namespace mmstats::receive
