// Answers for scripts: what the series of a family make together, for each value of some of its dimensions.
#pragma once

#include <cstddef>
#include <string_view>

#include "tools/mmash/family_members.h"
#include "tools/mmash/growth.h"
#include "tools/mmash/http.h"

namespace mmash {

// Answers are made in pieces, which need this object and `look`. Between two pieces an answer holds a few
// bytes for each series that has the label, and for each group that it will show.
class Grouping {
 public:
  static constexpr std::size_t kMostGroups = 1'000;  // of one family in an answer

  // `growth` lives longer; others may share it.
  explicit Grouping(Growth& growth) : growth_(growth) {}

  // {"families": [{"label", "kind", "unit", "help", "dimensions": [NAME, ...], "series": N}, ...]}, by label.
  static Response families(Look look);

  // Of those with this label, a series of that label among them, each with "aggregate", "by": [NAME, ...] and
  // "groups": [{"values": [VALUE, ...], "series": N, "value": V, "rate": R}, ...], and "other" if there are
  // more than `top`. Parameters, as the man page says: by, where, top, sort.
  Response groups(std::string_view label, const Request& request, Look look);

 private:
  Growth& growth_;
};

}  // namespace mmash
