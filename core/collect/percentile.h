// Which percentiles of a distribution become series, and what these are called.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"

namespace mmstats {

struct Percentile {
  double percent = 0;  // more than 0 and less than 100
  std::string ending;  // of a label: "p50", "p05" for 5, "p999" for 99.9
  bool operator==(const Percentile&) const = default;
};

// 50, 90, 99 and 99.9.
std::vector<Percentile> default_percentiles();

// "99.9", as people write it: one or two digits, perhaps a point and up to six more. Error: kInvalid, with
// what is wrong.
Expected<Percentile> parse_percentile(std::string_view text);

// What `ending` is the name of, as parse_percentile() makes it: 99.9 for "p999". None: of nothing.
std::optional<Percentile> percentile_of_ending(std::string_view ending);

}  // namespace mmstats
