#include "tools/mmash/value_json.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/buckets.h"
#include "tools/shared/value_text.h"

namespace mmash {

std::string number_json(double number) {
  return std::isfinite(number) ? mmstats::float_text(number) : "null";
}

void add_buckets(std::string& json, const mmstats::BucketCounts& counts) {
  json += '[';
  bool first = true;
  for (const auto& power : counts.powers()) {
    for (std::uint32_t part = 0; part < mmstats::buckets::kMostParts; ++part) {
      if (power.parts[part] == 0) continue;
      if (!std::exchange(first, false)) json += ',';
      fmt::format_to(std::back_inserter(json), "{},{}", (power.number << mmstats::buckets::kMostBits) + part,
                     power.parts[part]);
    }
  }
  json += ']';
}

}  // namespace mmash
