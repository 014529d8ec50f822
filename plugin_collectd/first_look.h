// What is told after the first scan: what the configuration asks for and is not there.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "collect/pattern_use.h"

namespace mmstats::collectd {

// That no file matches `globs`, in one line.
std::string no_file_matches(std::span<const std::string> globs);

// One line for each pattern.
std::vector<std::string> no_label_matches(const UnusedPatterns& patterns);

}  // namespace mmstats::collectd
