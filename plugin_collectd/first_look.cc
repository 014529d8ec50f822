#include "plugin_collectd/first_look.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace mmstats::collectd {
namespace {

constexpr std::size_t kMaxGlobs = 5;  // named in one line

}  // namespace

std::string no_file_matches(std::span<const std::string> globs) {
  const auto named = globs.first(std::min(globs.size(), kMaxGlobs));
  const std::size_t more = globs.size() - named.size();
  return fmt::format("0 files match now: Path \"{}\"{}", fmt::join(named, "\", \""),
                     more == 0 ? "" : fmt::format(" and {} more", more));
}

std::vector<std::string> no_label_matches(const UnusedPatterns& patterns) {
  std::vector<std::string> lines;
  const auto told = [&](std::string_view option) {
    lines.push_back(fmt::format("{} matched no label of {}{}, such as \"{}\"", option,
                                patterns.more_labels ? "the first " : "", patterns.labels, patterns.example));
  };
  for (const auto& dimension : patterns.dimensions) {
    lines.push_back(
        fmt::format("no label of {} has the dimension \"{}\", which a Where, Keep, Drop or TypeInstance "
                    "names",
                    patterns.labels, dimension));
  }
  if (!patterns.prefix.empty()) told(fmt::format("StripPrefix \"{}\"", patterns.prefix));
  for (const auto& include : patterns.includes) told(fmt::format("Include \"{}\"", include));
  for (const auto& rule : patterns.rules) told(fmt::format("<Metric \"{}\">", rule));
  for (const auto& family : patterns.families) told(fmt::format("<Family \"{}\">", family));
  return lines;
}

}  // namespace mmstats::collectd
