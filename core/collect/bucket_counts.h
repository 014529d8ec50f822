// How many values there were in each bucket (base/buckets.h), of those powers of two that had any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buckets.h"

namespace mmstats {

// One thread at a time.
class BucketCounts {
 public:
  struct Power {
    std::uint32_t number = 0;  // from 0 for 2^buckets::kLowestExponent
    std::uint64_t sum = 0;     // of its parts
    std::array<std::uint64_t, buckets::kMostParts> parts{};
  };
  // Bytes of one power.
  static constexpr std::size_t kPowerMemory = sizeof(Power);

  [[nodiscard]] bool has(std::uint32_t power) const { return index_[power] != 0; }
  // Null: it has had no value. Valid until the next power is new.
  [[nodiscard]] const Power* find(std::uint32_t power) const {
    return has(power) ? &powers_[index_[power] - 1U] : nullptr;
  }
  // So many values more in each of 2^bits parts of a power, which is there from now on; of parts that are
  // wider than a bucket, in the middle. Precondition: power < buckets::kPowers.
  void add(std::uint32_t power, unsigned bits, const std::uint64_t* added);
  // So many of one value more.
  void add(double value, std::uint64_t number = 1);
  // All counts are 0; the powers stay.
  void clear();

  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Ascending.
  [[nodiscard]] const std::vector<Power>& powers() const { return powers_; }

  // The middle of the bucket that holds the value which so many per cent (0 to 100) of all are not above, as
  // the nearest rank; so off by 1/64 of it at most. Precondition, for all that follow: count() > 0.
  [[nodiscard]] double percentile(double percent) const;
  [[nodiscard]] double mean() const;
  // How many values are in buckets below `bound`, which is the least value of a bucket.
  [[nodiscard]] std::uint64_t below(double bound) const;

 private:
  Power& at(std::uint32_t power);

  std::vector<Power> powers_;
  std::array<std::uint8_t, buckets::kPowers> index_{};  // in powers_, and one more; 0: it is not there
  std::uint64_t count_ = 0;
};

}  // namespace mmstats
