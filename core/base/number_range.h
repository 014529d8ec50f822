// Numbers that people write as values of options. Pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace mmstats {

// What is wrong with a number, for people, behind the option's name: the value, and what it may be. Empty:
// nothing is. `most` may be infinite, where only what is no number is too large.
std::string wrong_number(const std::string& text, double least, double most);
std::string wrong_whole(const std::string& text, std::uint64_t least,
                        std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

}  // namespace mmstats
