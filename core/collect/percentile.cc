#include "collect/percentile.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "base/failure.h"

namespace mmstats {

std::vector<Percentile> default_percentiles() {
  return {{.percent = 50, .ending = "p50"},
          {.percent = 90, .ending = "p90"},
          {.percent = 99, .ending = "p99"},
          {.percent = 99.9, .ending = "p999"}};
}

Expected<Percentile> parse_percentile(std::string_view text) {
  const auto invalid = [&] {
    return tl::unexpected(failure(ErrorKind::kInvalid, {},
                                  "percentile \"" + printable(text) +
                                      "\": it must be a number above 0 and below 100, such as 99 or 99.9"));
  };
  constexpr std::string_view kDigits = "0123456789";
  const auto point = text.find('.');
  const auto whole = text.substr(0, point);
  auto fraction = point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  if (whole.empty() || whole.size() > 2 || whole.find_first_not_of(kDigits) != std::string_view::npos ||
      fraction.size() > 6 || fraction.find_first_not_of(kDigits) != std::string_view::npos ||
      (point != std::string_view::npos && fraction.empty())) {
    return invalid();
  }
  Percentile found;
  std::from_chars(text.data(), text.data() + text.size(), found.percent);
  if (found.percent <= 0) return invalid();
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  // Two digits before the point, always: so no two have one name.
  found.ending = "p" + std::string(whole.size() == 1 ? "0" : "") + std::string(whole) + std::string(fraction);
  return found;
}

std::optional<Percentile> percentile_of_ending(std::string_view ending) {
  constexpr std::size_t kWhole = 2;  // digits
  if (!ending.starts_with('p') || ending.size() < 1 + kWhole) return std::nullopt;
  auto text = std::string(ending.substr(1, kWhole));
  if (ending.size() > 1 + kWhole) text.append(1, '.').append(ending.substr(1 + kWhole));
  auto found = parse_percentile(text);
  if (!found || found->ending != ending) return std::nullopt;
  return std::move(*found);
}

}  // namespace mmstats
