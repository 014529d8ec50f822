#include "tools/mmash/where.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/failure.h"

namespace mmash {

using mmstats::Dimension;

mmstats::Expected<void> Where::add(std::string_view text) {
  const auto end = text.find_first_of("=:");
  if (end == std::string_view::npos) {
    return tl::unexpected(
        mmstats::failure(mmstats::ErrorKind::kInvalid, {},
                         fmt::format("where={}: it takes DIMENSION=VALUE", mmstats::printable(text))));
  }
  auto& values = values_[std::string(text.substr(0, end))];
  auto value = std::string(text.substr(end + 1));
  values.insert(std::ranges::upper_bound(values, value), std::move(value));
  return {};
}

bool Where::fits(const std::vector<Dimension>& dimensions) const {
  return std::ranges::all_of(values_, [&](const auto& one) {
    return std::ranges::find(dimensions, one.first, &Dimension::name) != dimensions.end();
  });
}

bool Where::matches(const std::vector<Dimension>& dimensions) const {
  return std::ranges::all_of(values_, [&](const auto& one) {
    const auto found = std::ranges::find(dimensions, one.first, &Dimension::name);
    return found != dimensions.end() && std::ranges::binary_search(one.second, found->value);
  });
}

}  // namespace mmash
