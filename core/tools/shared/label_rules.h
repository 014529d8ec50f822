// The option --labels: dimensions of labels that are of no family.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "collect/rules.h"
#include "mmstats/error.h"

namespace mmstats {

// May be given more than once; each takes one pattern.
void add_labels_option(CLI::App& app, std::vector<std::string>& patterns);

// A rule for each pattern, behind those that are there, for series that `where` lets pass. Error: kInvalid;
// the message names the option and the pattern.
Expected<void> add_label_rules(const std::vector<std::string>& patterns,
                               const std::vector<DimensionPattern>& where, Rules& rules);

}  // namespace mmstats
