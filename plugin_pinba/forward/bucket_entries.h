// Buckets of a distribution -> entries of a timer, of which servers find percentiles: for them an entry of n
// hits and v seconds is n times v / n.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collect/bucket_counts.h"

namespace mmstats::forward {

struct TimerEntry {
  std::uint64_t hits = 0;
  double value = 0;  // of all hits together
};

inline constexpr std::size_t kMostBucketEntries = 200;

// Appends what `total` has more than `sent`, which has it then, too. Each entry is one of `total`'s buckets,
// or two neighbours that are 1/26 wide at most together; so its values are within 2 % of their middle, which
// it has. More than 2^31 - 1 values in a bucket wait for the next call. Where there are more than
// kMostBucketEntries, the rarest neighbours within a power of two share one, with the mean of their values:
// true is returned then.
bool take_entries(const BucketCounts& total, BucketCounts& sent, std::vector<TimerEntry>& into);

}  // namespace mmstats::forward
