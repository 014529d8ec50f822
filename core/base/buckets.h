// The buckets of a distribution: equal parts of each power of two (as HdrHistogram has them), 32 of them
// unless fewer are wanted, so that a bucket's middle is off by 1/64 (1.6 %) of a value at most. They reach
// from 2^-30 (a nanosecond, in seconds) to 2^50 (a petabyte, in bytes); what is smaller, zero, negative
// values and NaN too, counts as 2^-30, what is larger as just below 2^50. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace mmstats::buckets {

inline constexpr int kLowestExponent = -30;
inline constexpr int kHighestExponent = 50;
inline constexpr std::uint32_t kPowers = kHighestExponent - kLowestExponent;
inline constexpr unsigned kMostBits = 5;  // a power of two has 2^bits parts
inline constexpr unsigned kMostParts = 1U << kMostBits;
inline constexpr std::uint32_t kCount = kPowers * kMostParts;

namespace detail {
inline constexpr double kLowest = 0x1p-30;
inline constexpr double kBelowHighest = 0x1.fffffffffffffp49;
// Of a double, a bucket is the exponent and the first bits of the fraction.
constexpr unsigned shift(unsigned bits) noexcept { return 52 - bits; }
constexpr std::uint64_t first(unsigned bits) noexcept {
  return std::bit_cast<std::uint64_t>(kLowest) >> shift(bits);
}
}  // namespace detail

// The bucket of a value, if a power of two has 2^bits parts: less than kPowers << bits.
// Precondition, here and below: bits <= kMostBits.
constexpr std::uint32_t of(double value, unsigned bits = kMostBits) noexcept {
  // In this order a NaN becomes the lowest.
  const double bounded = std::min(std::max(detail::kLowest, value), detail::kBelowHighest);
  return static_cast<std::uint32_t>((std::bit_cast<std::uint64_t>(bounded) >> detail::shift(bits)) -
                                    detail::first(bits));
}

// The least value of a bucket. Precondition: bucket <= kPowers << bits.
constexpr double lower(std::uint32_t bucket, unsigned bits = kMostBits) noexcept {
  return std::bit_cast<double>((bucket + detail::first(bits)) << detail::shift(bits));
}

// The middle of a bucket, which stands for all its values. Precondition: bucket < kPowers << bits.
constexpr double middle(std::uint32_t bucket, unsigned bits = kMostBits) noexcept {
  return std::bit_cast<double>(((bucket + detail::first(bits)) << detail::shift(bits)) |
                               (std::uint64_t{1} << (detail::shift(bits) - 1)));
}

}  // namespace mmstats::buckets
