// Numbers with what they are counted in, for people. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tools/pollstats/samples.h"

namespace pollstats {

// A number of bytes, seconds or percent in the size that people use: 52.3 MB, 59.1 ms, 1h 10m, 42%. The
// words for units are those that mmash's page knows. Of any other unit, and of none: calm_text(). `unicode`:
// the terminal shows µ.
std::string amount_text(double value, std::string_view unit, std::size_t width, bool unicode);

// What a series has: a counter its total. And what a counter grew by in a second: seconds a second are a
// plain number.
std::string value_text(const Sample& sample, std::string_view unit, std::size_t width, bool unicode);
std::string rate_text(double rate, std::string_view unit, std::size_t width, bool unicode);

}  // namespace pollstats
