// Files that a writer is making, or was making when it was killed: under a name that no reader's glob
// matches,
// ".NAME.PID-NUMBER" in the folder of NAME, which they get within milliseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/snapshot.h"

namespace mmstats {

// Such a name for what is to be `path`, which nobody else takes.
std::string temporary_name(const std::string& path);

// The globs for these, of files that `globs` match.
std::vector<std::string> temporary_globs(const std::vector<std::string>& globs);

// The PID in such a name, without its folder. None: it is not one.
std::optional<std::uint64_t> maker_of_temporary(std::string_view name);

// Whether it can be one of ours: of version 1, or not filled yet. Somebody's letters are not.
bool may_be_mmstats(const OpenFile& file);

}  // namespace mmstats
