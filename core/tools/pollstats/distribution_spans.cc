#include "tools/pollstats/distribution_spans.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <string_view>

#include "tools/pollstats/amount_text.h"
#include "tools/pollstats/sparkline.h"
#include "tools/pollstats/text_cells.h"

namespace pollstats {
namespace {

struct Mark {
  std::string_view name;
  double percent;
  std::size_t room_for;  // shown where there is room for so many
};

constexpr std::array<Mark, 4> kMarks{{{"p50", 50, 2}, {"p90", 90, 4}, {"p99", 99, 1}, {"max", 100, 3}}};
constexpr std::size_t kMarkNumber = 7;               // cells
constexpr std::size_t kMarkWidth = 5 + kMarkNumber;  // " p50 59.1 ms"
constexpr std::size_t kFewestBars = 6;

// The bars are worth more than a second number.
std::size_t marks_in(std::size_t width) {
  constexpr std::size_t kBars = 1 + kFewestBars;
  const std::size_t beside = width > kBars ? (width - kBars) / kMarkWidth : 0;
  return std::clamp<std::size_t>(beside, width >= kMarkWidth ? 1 : 0, kMarks.size());
}

}  // namespace

std::vector<double> powers_in_use(const mmstats::BucketCounts& counts, std::size_t cells) {
  std::vector<double> all;
  std::uint32_t next = 0;
  for (const auto& power : counts.powers()) {
    if (!all.empty() && power.number != next) all.push_back(0);
    all.push_back(static_cast<double>(power.sum));
    next = power.number + 1;
  }
  if (cells == 0) return {};
  const std::size_t together = (all.size() + cells - 1) / cells;
  if (together <= 1) return all;
  std::vector<double> fewer;
  for (std::size_t first = 0; first < all.size(); first += together) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    const auto count = static_cast<std::ptrdiff_t>(std::min(together, all.size() - first));
    fewer.push_back(std::accumulate(begin, begin + count, 0.0));
  }
  return fewer;
}

std::vector<Span> distribution_spans(const mmstats::Distribution& distribution, std::size_t width,
                                     bool unicode) {
  const auto& interval = distribution.interval;
  if (interval.count() == 0) return {{Style::kPlain, std::string(width, ' ')}};
  std::vector<Span> spans;
  const std::size_t marks = marks_in(width);
  for (const Mark& mark : kMarks) {
    if (mark.room_for > marks) continue;
    const double value = interval.percentile(mark.percent) * distribution.scale;
    spans.push_back({Style::kDim, fmt::format(" {} ", mark.name)});
    spans.push_back(
        {Style::kNumber,
         left_aligned(amount_text(value, distribution.unit(), kMarkNumber, unicode), kMarkNumber)});
    width -= std::min(width, kMarkWidth);
  }
  const std::size_t room = width > 0 ? width - 1 : 0;
  const std::string drawn = bars(powers_in_use(interval, room), unicode);
  spans.push_back({Style::kCurve, left_aligned(width > 0 ? ' ' + drawn : drawn, width)});
  return spans;
}

std::string distribution_text(const mmstats::Distribution& distribution, bool unicode) {
  const auto& interval = distribution.interval;
  if (interval.count() == 0) return {};
  constexpr std::array<Mark, 6> kAll{
      {{"min", 0, 0}, {"p50", 50, 0}, {"p90", 90, 0}, {"p99", 99, 0}, {"p999", 99.9, 0}, {"max", 100, 0}}};
  const auto number = [&](double value) {
    return amount_text(value * distribution.scale, distribution.unit(),
                       std::numeric_limits<std::size_t>::max(), unicode);
  };
  std::string text = "mean " + number(interval.mean());
  for (const Mark& mark : kAll)
    text += fmt::format(" {} {}", mark.name, number(interval.percentile(mark.percent)));
  return text;
}

}  // namespace pollstats
