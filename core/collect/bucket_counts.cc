#include "collect/bucket_counts.h"

#include <algorithm>
#include <cmath>

namespace mmstats {

BucketCounts::Power& BucketCounts::at(std::uint32_t power) {
  if (!has(power)) {
    const auto place = std::partition_point(powers_.begin(), powers_.end(),
                                            [&](const Power& one) { return one.number < power; });
    powers_.insert(place, Power{.number = power});
    for (std::size_t i = 0; i < powers_.size(); ++i)
      index_[powers_[i].number] = static_cast<std::uint8_t>(i + 1);
  }
  return powers_[index_[power] - 1U];
}

void BucketCounts::add(std::uint32_t power, unsigned bits, const std::uint64_t* added) {
  Power& into = at(power);
  std::uint64_t sum = 0;
  if (bits == buckets::kMostBits) {
    // All but a few: in one piece for the compiler.
    for (std::uint32_t i = 0; i < buckets::kMostParts; ++i) {
      into.parts[i] += added[i];
      sum += added[i];
    }
  } else {
    const unsigned coarse = buckets::kMostBits - bits;
    const std::uint32_t middle = (1U << coarse) / 2;
    for (std::uint32_t i = 0; i < 1U << bits; ++i) {
      into.parts[(i << coarse) + middle] += added[i];
      sum += added[i];
    }
  }
  into.sum += sum;
  count_ += sum;
}

void BucketCounts::add(double value, std::uint64_t number) {
  const std::uint32_t bucket = buckets::of(value);
  Power& into = at(bucket >> buckets::kMostBits);
  into.parts[bucket % buckets::kMostParts] += number;
  into.sum += number;
  count_ += number;
}

void BucketCounts::clear() {
  for (Power& power : powers_) power = Power{.number = power.number};
  count_ = 0;
}

double BucketCounts::percentile(double percent) const {
  // But for roundings: 99.9 % of 1,000 is 999.
  const double place = std::ceil(percent / 100 * static_cast<double>(count_) * (1 - 1e-12));
  // Which one it is, of the values in their order, counted from 1.
  auto rank = std::clamp<std::uint64_t>(place < 1 ? 1 : static_cast<std::uint64_t>(place), 1, count_);
  for (const Power& power : powers_) {
    if (rank > power.sum) {
      rank -= power.sum;
      continue;
    }
    std::uint32_t part = 0;
    for (; rank > power.parts[part]; ++part) rank -= power.parts[part];
    return buckets::middle((power.number << buckets::kMostBits) + part);
  }
  return 0;
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
