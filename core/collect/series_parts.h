// What of a series each process has, or whoever else holds files: the values that a fold put together at its
// last scan, taken apart again. All of it is what the fold keeps anyway: no file is read for it.
//
// A counter's part is what the files hold now: what it grows by is what the series gets of them. The series
// has more, of files that are gone and of counters that began again. Parts of a gauge give, put together as
// the series says, its value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/accumulator.h"
#include "collect/bound_series.h"
#include "collect/bucket_counts.h"
#include "collect/fold.h"

namespace mmstats {

// Who has a series: bits.
inline constexpr std::uint8_t kHeldByDead = 1;    // files of dead owners
inline constexpr std::uint8_t kHeldByLiving = 2;  // others

// One thread at a time, and as long as the fold has no other scan.
class SeriesParts {
 public:
  struct Part {
    bool held = false;      // one of his files has the series, with or without a value
    bool present = false;   // it has a value
    bool integral = false;  // which is `total`; else it is `value`
    std::uint64_t total = 0;
    double value = 0;
  };

  // Of these, by their indices in the fold; what is in no fold has no parts. None is to be there twice.
  SeriesParts(const Fold& fold, std::span<const std::uint32_t> series,
              std::span<const std::uint32_t> distributions = {});

  // The file is `holder`'s, too. He has an entry for each series: so holders are numbered from 0.
  void add(FileKey key, std::size_t holder);
  [[nodiscard]] std::size_t holders() const { return holders_; }

  // `at`: the series' place in the list.
  [[nodiscard]] Part part(std::size_t holder, std::size_t at) const;

  // Whether one of his files has the distribution at that place, and how many values it has there.
  [[nodiscard]] bool holds_distribution(std::size_t holder, std::size_t at) const;
  [[nodiscard]] std::uint64_t count(std::size_t holder, std::size_t at) const;
  // Adds what the file has of it.
  void add_buckets(FileKey key, std::size_t at, BucketCounts& into);

  // Of each series of the fold, by its index, who has it.
  static std::vector<std::uint8_t> who_has(const Fold& fold, std::span<const FileKey> files);

 private:
  struct Cell {
    Accumulator gauge;
    std::uint64_t total = 0;
    bool held = false;
    bool present = false;
  };
  struct Counted {
    std::uint64_t count = 0;
    bool held = false;
  };
  // Which values of files that share their series are wanted: what is where, and at which place.
  struct Wanted {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> plans;
    std::vector<std::vector<std::uint32_t>> histograms;  // by number: places
  };
  const Wanted& wanted(const BoundSeries& series);
  static void add_value(const Fold& fold, FileKey key, std::uint32_t plan_number, bool integral,
                        Aggregate aggregate, Cell& cell);

  const Fold& fold_;
  std::vector<std::uint32_t> series_;
  std::vector<std::uint32_t> distributions_;
  std::unordered_map<std::uint32_t, std::uint32_t, KeyedNumberHash> place_;               // of a series
  std::unordered_map<std::uint32_t, std::uint32_t, KeyedNumberHash> distribution_place_;  // likewise
  std::map<const BoundSeries*, Wanted> wanted_;
  std::size_t holders_ = 0;
  std::vector<Cell> cells_;       // by holder, and by place
  std::vector<Counted> counted_;  // of distributions, likewise
};

}  // namespace mmstats
