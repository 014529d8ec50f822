#include "collect/bucket_counts.h"

#include <algorithm>
#include <cmath>

namespace mmstats {

std::uint64_t* BucketCounts::parts(std::uint32_t power) {
  if (!has(power)) {
    const auto place = std::partition_point(powers_.begin(), powers_.end(),
                                            [&](const Power& one) { return one.number < power; });
    powers_.insert(place, Power{.number = power});
    for (std::size_t i = 0; i < powers_.size(); ++i)
      index_[powers_[i].number] = static_cast<std::uint8_t>(i + 1);
  }
  return powers_[index_[power] - 1U].parts.data();
}

void BucketCounts::clear() {
  for (Power& power : powers_) power.parts.fill(0);
  count_ = 0;
}

double BucketCounts::percentile(double percent) const {
  const double place = std::ceil(percent / 100 * static_cast<double>(count_));
  // Which one it is, of the values in their order, counted from 1.
  auto rank = std::clamp<std::uint64_t>(place < 1 ? 1 : static_cast<std::uint64_t>(place), 1, count_);
  std::uint32_t last = 0;
  for (const Power& power : powers_) {
    for (std::uint32_t part = 0; part < buckets::kMostParts; ++part) {
      const std::uint64_t here = power.parts[part];
      if (here == 0) continue;
      last = (power.number << buckets::kMostBits) + part;
      if (rank <= here) return buckets::middle(last);
      rank -= here;
    }
  }
  return buckets::middle(last);
}

double BucketCounts::mean() const {
  double sum = 0;
  for (const Power& power : powers_) {
    for (std::uint32_t part = 0; part < buckets::kMostParts; ++part) {
      sum += static_cast<double>(power.parts[part]) *
             buckets::middle((power.number << buckets::kMostBits) + part);
    }
  }
  return sum / static_cast<double>(count_);
}

std::uint64_t BucketCounts::below(double bound) const {
  const std::uint32_t end = bound >= 0x1p50 ? buckets::kCount : buckets::of(bound);
  std::uint64_t sum = 0;
  for (const Power& power : powers_) {
    const std::uint32_t first = power.number << buckets::kMostBits;
    for (std::uint32_t part = 0; part < buckets::kMostParts && first + part < end; ++part)
      sum += power.parts[part];
  }
  return sum;
}

}  // namespace mmstats
