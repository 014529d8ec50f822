// Curves and bars in one line of text.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace pollstats {

// The last `width` of `values`, oldest first, one cell each; filled with blanks on the left. What is not
// finite is a gap. From 0 to the highest value shown, or from the lowest if that is negative or near the
// highest; what hardly moves stays in the middle. `unicode`: eighths of blocks, else ASCII.
std::string sparkline(std::span<const float> values, bool unicode);

// Bars, one cell each, from 0 to the highest. 0 is a blank; what is more has a bar, however low.
std::string bars(std::span<const double> values, bool unicode);

}  // namespace pollstats
