// Braces in patterns of files, as shells take them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"

namespace mmstats {

inline constexpr std::size_t kMaxBraceGlobs = 1000;

// "/a/{b,c}/*" -> "/a/b/*", "/a/c/*"; braces may stand in braces. Braces without a comma, or without a
// partner, are characters like others, and so are those behind a backslash. Error: kLimit: there are more
// than kMaxBraceGlobs of them, or `glob` is longer than a path can be.
Expected<std::vector<std::string>> expand_braces(std::string_view glob);

}  // namespace mmstats
