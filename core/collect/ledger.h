// What is known of the values of one file in one life, and so what its series got already (fold.h, "The
// ledger").
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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
  // is kept by label, also of those that `now` has not, should they come back.
  void reshape(const Layout* before, const Layout& now);

  // Counters that were in the file earlier in this life and are not now.
  [[nodiscard]] std::size_t lost() const { return apart_ ? apart_->lost.size() : 0; }
  // Bytes that it takes, about: for `values` values, and for what it keeps beside them.
  static std::size_t memory(std::size_t values) { return values * (sizeof(last[0]) + sizeof(good[0])); }
  [[nodiscard]] std::size_t memory() const {
    constexpr std::size_t kEntry = 72;  // of a hash table
    return memory(last.size()) + (apart_ ? kEntry * (apart_->lost.size() + apart_->resumed.size()) : 0);
  }
  // Should they come back, they count from zero.
  void forget_lost() {
    if (apart_) apart_->lost = decltype(apart_->lost)();  // "= {}" would keep the table
  }

  // Accepts `values`, and gives their series what counters grew by. `targets`: by plan, the series.
  // `unsettled`: plans whose value was not read; changed by the call.
  void accept(const Layout& layout, std::span<const std::uint32_t> targets,
              std::span<const std::uint64_t> values, std::vector<std::uint32_t>& unsettled,
              SeriesTable& table, FoldStats& stats);

  // Gives all that is no counter to its series, for this scan.
  void add_gauges(const Layout& layout, std::span<const std::uint32_t> targets, SeriesTable& table) const;

 private:
  // What a counter had counted, as whole number and as fraction.
  struct Counted {
    std::uint64_t whole = 0;
    double fraction = 0;
  };
  [[nodiscard]] Counted counted(const Layout& layout, std::size_t i) const;  // by plan

  // Most files keep their shape, and need none of this.
  struct Apart {
    // By keyed hash of the label: nobody can make two that share all 64 bits.
    std::unordered_map<std::uint64_t, Counted> lost;
    // By plan: counters that came back, or have another type by now, until their next value. `last` is 0.
    std::unordered_map<std::size_t, Counted> resumed;
  };
  std::unique_ptr<Apart> apart_;
};

}  // namespace mmstats
