// The work of a scan, counted: bytes, values, fields and patterns, so that it is the same on every machine
// and at every run. On a machine that is neither new nor old a unit is about a nanosecond.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace mmstats::work {

inline constexpr std::uint64_t kFile = 1000;    // system calls for one that is read
inline constexpr std::uint64_t kValue = 5;      // that is taken from one reading
inline constexpr std::uint64_t kParsed = 25;    // a field of a file that is new, or changed its shape
inline constexpr std::uint64_t kBound = 1000;   // a value of a new shape; and one that looks for its series
inline constexpr std::uint64_t kMatched = 150;  // a pattern that is tried, beside the bytes of the label

// Bytes that are copied and compared. What is larger than the processor's caches takes three times as long.
constexpr std::uint64_t of_bytes(std::uint64_t bytes) {
  constexpr std::uint64_t kNear = 65'536;
  return bytes / 4 + (bytes > kNear ? (bytes - kNear) / 2 : 0);
}

}  // namespace mmstats::work
