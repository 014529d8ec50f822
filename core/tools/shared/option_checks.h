// Checks of options' values: what is wrong is told in the same words by all tools.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>

#include "base/number_range.h"

namespace mmstats {

inline CLI::Validator number_from(double least, double most) {
  return {[least, most](const std::string& text) { return wrong_number(text, least, most); }, {}};
}

inline CLI::Validator whole_from(std::uint64_t least,
                                 std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
  return {[least, most](const std::string& text) { return wrong_whole(text, least, most); }, {}};
}

}  // namespace mmstats
