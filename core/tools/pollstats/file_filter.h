// -f: which files count, by what they hold.
#pragma once

#include <string>
#include <vector>

#include "mmstats/parse.h"

namespace pollstats {

// True if a label of the file starts with one of `filters`, or if one is LABEL=VALUE and the file has that
// label with that value: as slurpstats prints it, or an equal number. True as well without any filter. Pure.
bool passes(const std::vector<std::string>& filters, const mmstats::ParsedFile& content);

}  // namespace pollstats
