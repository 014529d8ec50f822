#include "tools/pollstats/amount_text.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "tools/pollstats/number_text.h"

namespace pollstats {
namespace {

enum class Unit : std::uint8_t { kOther, kBytes, kSeconds, kPercent };

Unit unit_of(std::string_view word) {
  if (word == "bytes" || word == "byte" || word == "B") return Unit::kBytes;
  if (word == "seconds" || word == "second" || word == "s") return Unit::kSeconds;
  if (word == "percent" || word == "%") return Unit::kPercent;
  return Unit::kOther;
}

std::string bytes_text(double value) {
  const auto [digits, prefix] = scaled(value);
  const bool whole = std::fabs(value) < 999.5 && value == std::floor(value);
  return fmt::format("{} {}B", whole ? number_text(value) : digits, prefix);
}

std::string seconds_text(double value, bool unicode) {
  constexpr double kLong = 120;  // from here on two units tell more than one
  constexpr double kMost = 1e9;  // 31 years
  constexpr double kLeast = 1e-12;
  const double size = std::fabs(value);
  if (value == 0) return "0 s";
  if (size >= kMost || size < kLeast) return fmt::format("{:.2g} s", value);
  if (size >= kLong) return (value < 0 ? "-" : "") + duration_text(size);
  if (size >= 0.9995) return three_digits(value) + " s";
  if (size >= 0.9995e-3) return three_digits(value * 1e3) + " ms";
  if (size >= 0.9995e-6) return three_digits(value * 1e6) + (unicode ? " µs" : " us");
  return three_digits(value * 1e9) + " ns";
}

}  // namespace

std::string amount_text(double value, std::string_view unit, std::size_t width, bool unicode) {
  const Unit known = unit_of(unit);
  if (known == Unit::kOther || !std::isfinite(value)) return calm_text(value, width);
  if (known == Unit::kBytes) return bytes_text(value);
  if (known == Unit::kSeconds) return seconds_text(value, unicode);
  return calm_text(value, width - 1) + '%';
}

std::string value_text(const Sample& sample, std::string_view unit, std::size_t width, bool unicode) {
  if (!sample.whole) return amount_text(sample.value, unit, width, unicode);
  // Whole numbers without a unit keep all their digits.
  if (unit_of(unit) == Unit::kOther) return calm_text(sample.total, width);
  return amount_text(static_cast<double>(sample.total), unit, width, unicode);
}

std::string rate_text(double rate, std::string_view unit, std::size_t width, bool unicode) {
  return amount_text(rate, unit_of(unit) == Unit::kBytes ? unit : std::string_view(), width, unicode);
}

}  // namespace pollstats
