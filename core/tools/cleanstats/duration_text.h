// Durations as people write them.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace cleanstats {

// "90", "10min", "1.5 h": a number, not negative, and perhaps a unit from seconds to weeks. None: it is no
// duration.
std::optional<std::chrono::duration<double>> parse_duration(std::string_view text);

}  // namespace cleanstats
