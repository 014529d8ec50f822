// The columns mode: a line every while, until it is enough.
#pragma once

#include <string>
#include <vector>

#include "tools/pollstats/columns.h"
#include "tools/pollstats/poll_options.h"

namespace pollstats {

// Writes to standard output until options.count lines are out or SIGINT comes, which ends the process with
// status 0. Returns the exit status.
int report_columns(const Options& options, Columns columns, const std::vector<std::string>& globs);

}  // namespace pollstats
