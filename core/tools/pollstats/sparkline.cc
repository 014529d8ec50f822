#include "tools/pollstats/sparkline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

namespace pollstats {

namespace {

constexpr std::array<std::string_view, 8> kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 8> kAscii{"_", ".", ":", "-", "=", "+", "*", "#"};

}  // namespace

std::string sparkline(std::span<const float> values, bool unicode) {
  const auto& levels = unicode ? kBlocks : kAscii;

  // As double: the difference of two floats may be beyond what a float holds.
  double lowest = std::numeric_limits<double>::infinity();
  double highest = -lowest;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  if (lowest >= 0 && lowest <= highest / 2) lowest = 0;
  // What moves by less than a tenth of its size is drawn as such, not blown up.
  const double least = 0.1 * std::max(std::fabs(lowest), std::fabs(highest));
  double range = highest - lowest;
  if (range < least) {
    lowest -= (least - range) / 2;
    range = least;
  }

  std::string line;
  for (const double value : values) {
    if (!std::isfinite(value)) {
      line += ' ';
      continue;
    }
    const double share = range > 0 ? (value - lowest) / range : 0;
    // What should be the same level is that, whatever the arithmetic lost.
    constexpr double kLost = 1e-6;
    const auto level = static_cast<std::size_t>(share * static_cast<double>(levels.size()) + kLost);
    line += levels[std::min(level, levels.size() - 1)];
  }
  return line;
}

std::string bars(std::span<const double> values, bool unicode) {
  const auto& levels = unicode ? kBlocks : kAscii;
  const double highest = values.empty() ? 0 : *std::ranges::max_element(values);
  std::string line;
  for (const double value : values) {
    if (!(value > 0)) {
      line += ' ';
      continue;
    }
    const auto level = static_cast<std::size_t>(value / highest * static_cast<double>(levels.size()));
    line += levels[std::min(level, levels.size() - 1)];
  }
  return line;
}

}  // namespace pollstats
