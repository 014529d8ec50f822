#include "tools/pollstats/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace pollstats {
namespace {

constexpr double kAllDigits = 1e15;  // whole numbers below have no rounding that would show
constexpr double kTiny = 1e-4;       // what is below is written with an exponent

std::string scaled_text(double value) {
  const auto [digits, prefix] = scaled(value);
  return digits + std::string(prefix);
}

// Of a whole number.
std::string with_commas(std::string digits) {
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

}  // namespace

Scaled scaled(double value) {
  constexpr std::array<std::string_view, 7> kPrefixes{"", "k", "M", "G", "T", "P", "E"};
  double size = value;
  std::size_t prefix = 0;
  // What rounds up to 1000 belongs to the next one.
  while (std::fabs(size) >= 999.5 && prefix + 1 < kPrefixes.size()) {
    size /= 1000;
    ++prefix;
  }
  if (std::fabs(size) >= 999.5) return {fmt::format("{:.2g}", value), ""};
  return {three_digits(size), kPrefixes[prefix]};
}

std::string three_digits(double value) {
  const int decimals = std::fabs(value) >= 99.95 ? 0 : std::fabs(value) >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
  if (value == std::floor(value) && std::fabs(value) < kAllDigits) return fmt::format("{:.0f}", value + 0.0);
  const double size = std::fabs(value);
  if (size >= kAllDigits || size < kTiny) return fmt::format("{:.6g}", value);
  const int decimals = std::max(0, 5 - static_cast<int>(std::floor(std::log10(size))));
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text;
}

std::string number_text(double value, std::size_t width) {
  std::string text = number_text(value);
  if (text.size() <= width || !std::isfinite(value)) return text;
  return scaled_text(value);
}

std::string number_text(std::uint64_t value, std::size_t width) {
  std::string text = fmt::to_string(value);
  if (text.size() <= width) return text;
  return scaled_text(static_cast<double>(value));
}

std::string calm_text(double value, std::size_t width) {
  const double size = std::fabs(value);
  if (!(size < kAllDigits) || (size > 0 && size < kTiny)) return number_text(value, width);
  std::string text;
  if (size >= 99.95 || value == std::floor(value)) {
    text = with_commas(fmt::format("{:.0f}", value + 0.0));
  } else {
    const int decimals = size >= 9.995    ? 1
                         : size >= 0.9995 ? 2
                                          : 2 - static_cast<int>(std::floor(std::log10(size)));
    text = fmt::format("{:.{}f}", value, decimals);
  }
  return text.size() <= width ? text : scaled_text(value);
}

std::string calm_text(std::uint64_t value, std::size_t width) {
  std::string text = with_commas(fmt::to_string(value));
  return text.size() <= width ? text : number_text(value, width);
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", with_commas(fmt::to_string(count)), what,
                     count == 1 || what.ends_with('s') ? "" : "s");
}

std::string duration_text(double seconds) {
  constexpr std::array<std::pair<std::uint64_t, char>, 4> kUnits{
      {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  constexpr double kMost = 1e12;
  const auto whole = static_cast<std::uint64_t>(seconds > 0 ? std::min(seconds, kMost) : 0);
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const auto [unit, letter] = kUnits[i];
    if (whole < unit) continue;
    const auto [next, next_letter] = kUnits[i + 1];
    return fmt::format("{}{} {}{}", whole / unit, letter, whole % unit / next, next_letter);
  }
  return fmt::format("{}s", whole);
}

}  // namespace pollstats
