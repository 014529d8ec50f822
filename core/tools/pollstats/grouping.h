// Which dimensions tell series apart, and which series count: --by, --where, --labels. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/fold.h"
#include "collect/rules.h"
#include "mmstats/error.h"

namespace pollstats {

// Names of dimensions. Values of all others are added up.
using By = std::vector<std::string>;

struct Grouping {
  std::optional<By> by;  // none: all combinations are apart
  // Dimension, pattern as of a field: all must match. None but an empty one matches an empty value, which is
  // that of what has no such dimension.
  std::vector<std::pair<std::string, std::string>> where;
  std::vector<std::string> labels;  // RE2, with named groups: these are dimensions

  [[nodiscard]] bool any() const { return by || !where.empty() || !labels.empty(); }
};

// DIMENSION,DIMENSION; empty: none. Error: kInvalid; a name is none, or there twice.
mmstats::Expected<By> parse_by(std::string_view text);

// DIMENSION=PATTERN. Error: kInvalid.
mmstats::Expected<std::pair<std::string, std::string>> parse_where(std::string_view text);

// Of all labels that no rule before these is for. Error: kInvalid.
mmstats::Expected<void> add_rules(const Grouping& grouping, mmstats::Rules& rules);

// Of two series with one name: whether both are of no family, or of the same combination of one.
bool are_one_combination(const mmstats::Series& one, const mmstats::Series& other);

// As the options take them, for people: "method,status", "status=4* method=GET".
std::string text_of(const By& by);
std::string text_of(const std::vector<std::pair<std::string, std::string>>& where);

}  // namespace pollstats
