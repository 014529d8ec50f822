// Text in a terminal: how many cells it takes, and cutting it to fit. Text is UTF-8 and holds no control
// characters (mmstats::printable). Widths are those of the locale's LC_CTYPE; where that is not UTF-8, each
// character counts as one cell.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pollstats {

std::size_t cells(std::string_view text);

// Foreign bytes as a screen may show them: printable, and without characters that this locale's terminal
// cannot show (`unicode` false: all beyond ASCII).
std::string shown(std::string_view foreign, bool unicode);

// At most `width` cells of the beginning; of the end; of both, with a mark in the middle for what is left
// out. The mark is one cell, and there only if something was cut.
std::string first_cells(std::string_view text, std::size_t width);
std::string last_cells(std::string_view text, std::size_t width, std::string_view mark);
std::string outer_cells(std::string_view text, std::size_t width, std::string_view mark);

// Filled with blanks to `width` cells; what is wider stays.
std::string left_aligned(std::string_view text, std::size_t width);
std::string right_aligned(std::string_view text, std::size_t width);
std::string centred(std::string_view text, std::size_t width);

}  // namespace pollstats
