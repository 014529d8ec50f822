// The files of tools to which nobody names any, once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"

namespace mmstats {

struct FoundFiles {
  std::vector<std::string> paths;  // in order; they may be gone by now
  std::vector<Error> errors;       // of folders that cannot be listed, and of files that cannot be opened
};

// Those that the globs match, however many there are. None is held open.
FoundFiles find_files(const std::vector<std::string>& globs);

// "no mmstats files match GLOB, GLOB"
std::string nothing_found(const std::vector<std::string>& globs);

}  // namespace mmstats
