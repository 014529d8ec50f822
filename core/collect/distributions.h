// Distributions: what the buckets of all files with one histogram add up to, ever and between two scans, and
// the series that are computed of them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/hash_index.h"
#include "collect/bucket_counts.h"
#include "collect/histogram_binding.h"
#include "collect/series_table.h"
#include "collect/shares.h"

namespace mmstats {

// One histogram over all workers, or over those of one process.
struct Distribution : Described {  // by the label that its series' labels begin with
  std::int32_t slot = -1;          // of the process; -1: all workers
  double scale = 1;                // values are to be multiplied by it
  bool shown = false;              // rules want it, not only series made of it
  std::int32_t sum = -1;           // of all values ever: the index of that series; -1: there is none
  BucketCounts total;              // of all values ever: never falls
  // Of those between the last scan and the one before it. Empty at the first scan: when values came that are
  // there already is not known.
  BucketCounts interval;
};

class DistributionTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // `memory`: bytes; lives longer, as does `series`.
  DistributionTable(Shares& memory, SeriesTable& series) : memory_(memory), series_(series) {}

  // The one of `histogram`, whose files are `owner`'s, which is bound once more. `series`: by part of the
  // histogram, those that are computed from it, kNoSeries: this one is not; `sum`: that of its sum, likewise.
  // kNone: he may have no more.
  std::uint32_t bind(const HistogramBinding& histogram, std::int32_t slot, uid_t owner,
                     std::span<const std::uint32_t> series, std::uint32_t sum);
  void unbind(std::uint32_t index);

  void begin(std::chrono::steady_clock::time_point now);  // a scan
  // So many values more in each of 2^bits parts of a power of two. `in_interval`: they came since the last
  // scan. False: there is no memory for that power; they are among all values alone.
  bool add(std::uint32_t index, std::uint32_t power, unsigned bits, const std::uint64_t* added,
           bool in_interval);
  // Gives its series their values.
  void finish();

  // By index. Null: it made room.
  [[nodiscard]] const std::vector<std::unique_ptr<Distribution>>& all() const { return all_; }

 private:
  struct Target {
    std::uint32_t series;
    std::uint32_t generation;  // of the series: another one has the index otherwise
    bool counts;
    BucketRange counted;
    std::uint64_t given;  // to the series, or there before it
    double percent;
    double scale;
  };
  struct Known {
    std::vector<Target> targets;
    std::uint64_t elsewhere = 0;  // values for whose powers there was no memory
    std::uint32_t bound = 0;
    std::chrono::steady_clock::time_point unbound{};
    Held held{};
    std::uint64_t key = 0;  // hash of what tells it from all others
  };
  struct KeyOf {
    const std::vector<Known>& known;
    std::uint64_t operator()(std::uint32_t index) const { return known[index].key; }
  };
  bool has_power(std::uint32_t index, std::uint32_t power);
  [[nodiscard]] std::uint64_t counted(std::uint32_t index, const BucketRange& range) const;
  void drop(std::uint32_t index);

  Shares& memory_;
  SeriesTable& series_;
  std::vector<std::unique_ptr<Distribution>> all_;
  std::vector<Known> known_;
  std::vector<std::uint32_t> free_;
  HashIndex by_key_;
  std::chrono::steady_clock::time_point now_{};
};

}  // namespace mmstats
