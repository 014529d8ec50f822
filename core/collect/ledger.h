// What is known of the values of one file in one life, and so what its series got already (fold.h, "The
// ledger").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "collect/fold.h"
#include "collect/layout.h"
#include "collect/series_table.h"

namespace mmstats {

struct Ledger {
  std::vector<std::uint64_t> last;  // by plan: the raw bits that were accepted last
  std::vector<std::uint8_t> good;   // by plan: `last` was read, not assumed
  bool all_good = false;

  // The file has the shape `now`; what is known of its counters in the shape `before` (null: there was none)
  // is kept by label.
  void reshape(const Layout* before, const Layout& now);

  // Accepts `values`, and gives their series what counters grew by. `targets`: by plan, the series.
  // `unsettled`: plans whose value was not read; changed by the call.
  void accept(const Layout& layout, std::span<const std::uint32_t> targets,
              std::span<const std::uint64_t> values, std::vector<std::uint32_t>& unsettled,
              SeriesTable& table, FoldStats& stats);

  // Gives all that is no counter to its series, for this scan.
  void add_gauges(const Layout& layout, std::span<const std::uint32_t> targets, SeriesTable& table) const;

 private:
  // Counters that were in the file earlier in this life and are not now, should they come back.
  std::unordered_map<std::string, std::uint64_t> lost_;
  std::size_t lost_bytes_ = 0;  // of labels
};

}  // namespace mmstats
