// Dimensions of --where that nothing has: a mistake in one would show an empty list alone.
#pragma once

#include <string>
#include <vector>

#include "mmstats/parse.h"
#include "tools/pollstats/grouping.h"

namespace pollstats {

class UnknownDimensions {
 public:
  // Those that --labels gives are known.
  explicit UnknownDimensions(const Grouping& grouping);

  // Those that the file's families have are known.
  void meet(const mmstats::ParsedFile& content);

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  void know(std::string_view name);

  std::vector<std::string> names_;
};

// For people: which of them no file has. Empty: there are none.
std::string text_of(const UnknownDimensions& unknown);

}  // namespace pollstats
