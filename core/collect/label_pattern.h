// Patterns of labels and paths, which are bytes: every byte is one character, whatever encoding it was meant
// in. A pattern in UTF-8 still matches the same label, byte by byte. Matching takes time linear in the text's
// length.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mmstats/error.h"

namespace re2 {
class RE2;
}

namespace mmstats {

// A regular expression of RE2. Nothing is logged. Error: kInvalid; the message is RE2's reason alone.
Expected<std::unique_ptr<const re2::RE2>> compile_label_pattern(const std::string& pattern);

// Whether the pattern matches all of `label`.
bool matches_whole(const re2::RE2& pattern, std::string_view label);

}  // namespace mmstats
