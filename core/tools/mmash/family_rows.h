// Answers for scripts and spreadsheets: a family as a table, with a row for each combination of its
// dimensions.
#pragma once

#include <cstddef>
#include <string_view>

#include "tools/mmash/family_members.h"
#include "tools/mmash/growth.h"
#include "tools/mmash/http.h"

namespace mmash {

// A table is of one moment, that of its first piece; answers are made in pieces, which need this object and
// `look`. Between two pieces an answer holds a few bytes for each series that has the label, and about a
// hundred for each row that it will show.
class FamilyRows {
 public:
  static constexpr std::size_t kUsualRows = 1'000;  // of one family in an answer
  static constexpr std::size_t kMostRows = 10'000;

  // `growth` lives longer; others may share it.
  explicit FamilyRows(Growth& growth) : growth_(growth) {}

  // Of families with this label, a series of that label among them. As JSON: {"families": [{..., "seconds":
  // S, "sort": COLUMN, "rows": [{"values": [VALUE, ...], COLUMN: NUMBER, ...}, ...], "other": {"rows": N,
  // ...}},
  // ...]}. As CSV: one of them. Columns are, of histograms: count, sum, rate, share, mean, p50, p99; of
  // counters: value, rate, share; of all else: value. Parameters, as the man page says: format, kind, unit,
  // dimensions, where, search, top, sort.
  Response answer(std::string_view label, const Request& request, Look look);

 private:
  Growth& growth_;
};

}  // namespace mmash
