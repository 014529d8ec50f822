// All series of a fold, each under its identity, and what one scan adds to them. Bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/accumulator.h"
#include "collect/fold.h"

namespace mmstats {

inline constexpr std::uint32_t kNoSeries = ~std::uint32_t{0};

struct SeriesTable {
  std::size_t max_series = 0;
  std::vector<Series> series;             // an index never changes
  std::vector<Aggregate> aggregates;      // by series
  std::vector<Accumulator> accumulators;  // by series: of this scan
  std::vector<double> fractions;          // by series: what a counter got in fractions or scaled
  std::vector<std::string> notices;       // for people, each once: series that bindings do not agree about

  // The series of a field in files with worker slot `slot` (-1: all workers). kNoSeries: one more would be
  // too many. Which binding comes first makes no difference to values: see reconcile().
  std::uint32_t find_or_add(const Binding& binding, std::int32_t slot);

  void begin();          // a scan
  std::size_t finish();  // computes every value; returns how many series have one

 private:
  // What the bindings of one series said.
  struct Said {
    std::int32_t rule = kNoRule;  // the earliest, which decides
    bool by_kind = false;         // as of the binding that decides
    bool stripped = false;        // as of the first binding
    bool told_aggregate = false;
    bool told_stripped = false;
  };
  void reconcile(std::uint32_t index, const Binding& binding);

  std::vector<Said> said_;  // by series
  std::unordered_map<std::string, std::uint32_t, KeyedHash> by_key_;
  std::size_t name_bytes_ = 0;
};

}  // namespace mmstats
