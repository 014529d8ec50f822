// Whether bytes are equal. The library's comparison of std::byte goes one by one, which takes ten times as
// long.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace mmstats {

inline bool same_bytes(std::span<const std::byte> one, std::span<const std::byte> other) {
  return one.size() == other.size() &&
         (one.empty() || std::memcmp(one.data(), other.data(), one.size()) == 0);
}

}  // namespace mmstats
