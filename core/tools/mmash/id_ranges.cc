#include "tools/mmash/id_ranges.h"

#include <fmt/format.h>

#include <algorithm>

namespace mmash {

std::optional<std::vector<IdRange>> read_ids(std::string_view text) {
  std::vector<IdRange> ranges;
  std::size_t ids = 0;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const auto one = text.substr(0, comma);
    const auto dash = std::min(one.find('-'), one.size());
    std::size_t first = 0;
    if (!read_number(one.substr(0, dash), first)) return std::nullopt;
    std::size_t last = first;
    if (dash != one.size() && !read_number(one.substr(dash + 1), last)) return std::nullopt;
    if (last < first || last - first >= kMaxIds - ids) return std::nullopt;
    const std::size_t count = last - first + 1;
    ids += count;
    ranges.push_back({first, count});
    if (comma + 1 == text.size()) return std::nullopt;  // a comma at the end
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return ranges;
}

Response wrong_ids() {
  return error_response(400, fmt::format("ids is no list like 0-9,12 of at most {} numbers", kMaxIds));
}

}  // namespace mmash
