// A client's limits on the values of dimensions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "format/dimensions.h"
#include "mmstats/error.h"

namespace mmash {

class Where {
 public:
  // "DIMENSION=VALUE", or with a colon. Error: kInvalid, with a reason for people.
  mmstats::Expected<void> add(std::string_view text);
  // Whether all the dimensions that it limits are among them.
  [[nodiscard]] bool fits(const std::vector<mmstats::Dimension>& dimensions) const;
  // Values of one dimension are alternatives; of several each must be met.
  [[nodiscard]] bool matches(const std::vector<mmstats::Dimension>& dimensions) const;

  // Whether there are any.
  [[nodiscard]] bool limits() const { return !values_.empty(); }

 private:
  std::map<std::string, std::vector<std::string>> values_;  // sorted, by dimension
};

}  // namespace mmash
