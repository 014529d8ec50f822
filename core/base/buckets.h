// The buckets of a distribution: 32 equal parts of each power of two (as HdrHistogram has them), so that a
// bucket's middle is off by 1/64 (1.6 %) of a value at most. They reach from 2^-30 (a nanosecond, in seconds)
// to 2^50 (a petabyte, in bytes); what is smaller, zero, negative values and NaN too, counts as 2^-30, what
// is larger as just below 2^50. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace mmstats::buckets {

inline constexpr int kLowestExponent = -30;
inline constexpr int kHighestExponent = 50;
inline constexpr unsigned kParts = 32;  // of a power of two
inline constexpr std::uint32_t kCount = (kHighestExponent - kLowestExponent) * kParts;

namespace detail {
// Of a double, a bucket is the exponent and the first five bits of the fraction.
inline constexpr unsigned kShift = 52 - 5;
inline constexpr double kLowest = 0x1p-30;
inline constexpr double kBelowHighest = 0x1.fffffffffffffp49;
inline constexpr std::uint64_t kFirst = std::bit_cast<std::uint64_t>(kLowest) >> kShift;
}  // namespace detail

// The bucket of a value: 0 to kCount - 1.
constexpr std::uint32_t of(double value) noexcept {
  // In this order a NaN becomes the lowest.
  const double bounded = std::min(std::max(detail::kLowest, value), detail::kBelowHighest);
  return static_cast<std::uint32_t>((std::bit_cast<std::uint64_t>(bounded) >> detail::kShift) -
                                    detail::kFirst);
}

// The middle of a bucket, which stands for all its values. Precondition: bucket < kCount.
constexpr double middle(std::uint32_t bucket) noexcept {
  return std::bit_cast<double>(((bucket + detail::kFirst) << detail::kShift) |
                               (std::uint64_t{1} << (detail::kShift - 1)));
}

}  // namespace mmstats::buckets
