// Which powers of two of a distribution have a count of their own among the series.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/buckets.h"

namespace mmstats {

struct BucketRange {
  std::uint32_t first = 0;  // from 0 for 2^buckets::kLowestExponent
  std::uint32_t end = 0;    // the one after the last; as `first`: none
  [[nodiscard]] constexpr bool has(std::uint32_t power) const { return first <= power && power < end; }
  [[nodiscard]] constexpr std::size_t size() const { return end - first; }
  bool operator==(const BucketRange&) const = default;
};

inline constexpr BucketRange kAllBuckets{.first = 0, .end = buckets::kPowers};
// For times in seconds: from 2^-10 (about a millisecond) to 2^6 (64).
inline constexpr BucketRange kUsualBuckets{.first = 20, .end = 36};

}  // namespace mmstats
