#include "base/number_range.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <system_error>

#include "base/utf8.h"
#include "mmstats/error.h"

namespace mmstats {
namespace {

// As short as it can be, and without an exponent: 0.01, 31536000.
std::string plain(double number) {
  std::array<char, 400> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  return error == std::errc() ? std::string(text.data(), end) : std::string("?");
}

std::string refusal(const std::string& text, std::string_view takes) {
  return "\"" + printable(text) + "\" is not possible, it takes " + std::string(takes);
}

// All of the text.
template <class Number>
bool read(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string wrong_number(const std::string& text, double least, double most) {
  double number = 0;
  if (read(text, number) && number >= least && number <= most) return {};
  return refusal(text, std::isinf(most) ? "a number from " + plain(least)
                                        : "a number from " + plain(least) + " to " + plain(most));
}

std::string wrong_whole(const std::string& text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  if (read(text, number) && number >= least && number <= most) return {};
  return refusal(text, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
}

}  // namespace mmstats
