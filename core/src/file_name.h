// Where a Model's files go, and what they are called.
#pragma once

#include <string>
#include <string_view>

#include "mmstats/writer.h"

namespace mmstats {

// The path of a file, from the options and the environment, placeholders filled in. `thread` is what {TID}
// stands for. Programs with raised privileges (setuid) take nothing from the environment.
std::string file_path(const ModelOptions& options, std::string_view thread);

// A glob for what `path`, which may hold placeholders, becomes in any process.
std::string any_file_path(std::string_view path);

}  // namespace mmstats
