#include "tools/pollstats/unknown_dimensions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "collect/label_pattern.h"
#include "format/dimensions.h"
#include "format/metadata_index.h"

namespace pollstats {

UnknownDimensions::UnknownDimensions(const Grouping& grouping) {
  for (const auto& [name, pattern] : grouping.where) {
    if (std::ranges::find(names_, name) == names_.end()) names_.push_back(name);
  }
  for (const auto& pattern : grouping.labels) {
    const auto compiled = mmstats::compile_label_pattern(pattern);
    if (!compiled) continue;
    for (const auto& group : mmstats::named_groups(**compiled)) know(group.name);
  }
}

void UnknownDimensions::know(std::string_view name) { std::erase(names_, name); }

void UnknownDimensions::meet(const mmstats::ParsedFile& content) {
  if (names_.empty()) return;
  const mmstats::MetadataIndex metadata(content);
  std::string_view before;
  for (const auto& field : content.fields) {
    const auto list = metadata.find(field.label).dimensions;
    if (list.data() == before.data()) continue;
    before = list;
    for (const auto name : mmstats::dimension_names(list)) know(name);
  }
}

std::string text_of(const UnknownDimensions& unknown) {
  if (unknown.names().empty()) return {};
  return fmt::format("no file has the dimension{} {}", unknown.names().size() > 1 ? "s" : "",
                     fmt::join(unknown.names(), ", "));
}

}  // namespace pollstats
