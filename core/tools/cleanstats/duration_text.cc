#include "tools/cleanstats/duration_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <system_error>

namespace cleanstats {

using Seconds = std::chrono::duration<double>;

std::optional<Seconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  static constexpr Unit kUnits[] = {
      {"", 1},      {"s", 1},       {"sec", 1},      {"second", 1}, {"seconds", 1},   {"m", 60},
      {"min", 60},  {"minute", 60}, {"minutes", 60}, {"h", 3600},   {"hour", 3600},   {"hours", 3600},
      {"d", 86400}, {"day", 86400}, {"days", 86400}, {"w", 604800}, {"week", 604800}, {"weeks", 604800}};
  double number = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || std::signbit(number)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const auto* const unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                        [&](const Unit& known) { return known.name == text; });
  if (unit == std::end(kUnits)) return std::nullopt;
  return Seconds(number * unit->seconds);
}

}  // namespace cleanstats
