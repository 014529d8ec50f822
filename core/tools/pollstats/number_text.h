// Numbers for people, in few characters. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pollstats {

// All digits of a whole number, six significant ones of others.
std::string number_text(double value);

// The same, or if that is longer than `width`, fewer digits with a prefix of the metric system: 12.3M. What
// is still too long stays so.
std::string number_text(double value, std::size_t width);
std::string number_text(std::uint64_t value, std::size_t width);

// Three significant digits of a number below 1000; more of larger ones.
std::string three_digits(double value);

// A number in three significant digits with a prefix of the metric system: "12.3" and "M". What is too large
// for any has none, but an exponent. The prefix lives as long as the program.
struct Scaled {
  std::string digits;
  std::string_view prefix;
};
Scaled scaled(double value);

// For numbers that change while one looks: thousands apart where there is room, and three significant digits
// of fractions: 1,234,567, 1,234, 12.3, 0.0123.
std::string calm_text(double value, std::size_t width);
std::string calm_text(std::uint64_t value, std::size_t width);

// "1 file", "1,234 files"; a word that ends with s stays.
std::string counted(std::size_t count, std::string_view what);

// The two largest units of a time: 3d 4h, 12m 5s, 45s. Below 0 counts as 0.
std::string duration_text(double seconds);

}  // namespace pollstats
