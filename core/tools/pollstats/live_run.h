// The live view on a real terminal.
#pragma once

#include <string>
#include <vector>

#include "tools/pollstats/poll_options.h"

namespace pollstats {

// Until a key, a signal or options.count ends it. Returns the exit status; ends the process by SIGTERM,
// SIGHUP or SIGQUIT itself, after the terminal is as it was.
int run_live(const Options& options, const std::vector<std::string>& globs);

}  // namespace pollstats
