// Well-formed UTF-8 (Unicode, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace mmstats {

// Bytes of the well-formed character at the front of `text`; 0 if there is none. `text` is not empty.
std::size_t utf8_sequence(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace mmstats
