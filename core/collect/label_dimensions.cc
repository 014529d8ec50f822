#include "collect/label_dimensions.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace mmstats {
namespace {

// The label without the ranges, which are sorted.
std::string without(std::string_view label, const std::vector<std::pair<std::size_t, std::size_t>>& ranges) {
  std::string left;
  std::size_t at = 0;
  for (auto [begin, end] : ranges) {
    begin = std::max(begin, at);  // a group may lie in another one
    if (end <= begin) continue;
    left += label.substr(at, begin - at);
    at = end;
    if (!left.empty()) {
      if (left.back() == '.') left.pop_back();
    } else if (at < label.size() && label[at] == '.') {
      ++at;
    }
  }
  return left += label.substr(at);
}

}  // namespace

std::string_view LabelDimensions::value(std::string_view name) const {
  const auto known = std::ranges::find(all, name, &Dimension::name);
  return known == all.end() ? std::string_view() : known->value;
}

std::string LabelDimensions::label_with(std::string_view family) const {
  std::string label(family);
  for (const std::string& part : parts) label.append(1, '.').append(part);
  return label += ending;
}

std::string LabelDimensions::label_of(const WantsDimension& wanted) const {
  std::string label = base;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!wanted(all[i].name)) continue;
    if (!label.empty()) label += '.';
    label += parts[i];
  }
  return label += ending;
}

LabelDimensions dimensions_of_family(std::string_view label, std::string_view family,
                                     const FieldMetadata& known) {
  LabelDimensions found;
  found.base = family;
  const std::size_t end = known.family.size() + 1 + known.values.size();
  found.ending = label.substr(std::min(end, label.size()));
  auto values = known.values;
  for (const auto name : dimension_names(known.dimensions)) {
    const auto part = values.substr(0, values.find('.'));
    values.remove_prefix(std::min(values.size(), part.size() + 1));
    found.all.push_back({.name = std::string(name), .value = unescape_value(part)});
    // Not as the file has it: any byte may stand there with an escape, or without one.
    found.parts.push_back(escape_value(found.all.back().value));
  }
  return found;
}

LabelDimensions dimensions_of_groups(std::string_view label, std::span<const NamedGroup> named,
                                     std::span<const std::string_view> found) {
  LabelDimensions result;
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (std::size_t i = 0; i < named.size(); ++i) {
    result.all.push_back({.name = named[i].name, .value = std::string(found[i])});
    result.parts.push_back(escape_value(found[i]));
    if (found[i].empty()) continue;
    const auto begin = static_cast<std::size_t>(found[i].data() - label.data());
    ranges.emplace_back(begin, begin + found[i].size());
  }
  std::ranges::sort(ranges);
  result.base = without(label, ranges);
  return result;
}

}  // namespace mmstats
