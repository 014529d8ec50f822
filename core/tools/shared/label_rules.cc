#include "tools/shared/label_rules.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/failure.h"
#include "collect/label_pattern.h"

namespace mmstats {

void add_labels_option(CLI::App& app, std::vector<std::string>& patterns) {
  app.add_option("--labels", patterns,
                 "Dimensions for labels that have none: the named groups of this RE2 pattern, as in\n"
                 "'web\\.status\\.(?P<status>[0-9]+)'; again for others")
      ->take_all()
      ->allow_extra_args(false)
      ->option_text("PATTERN");
}

Expected<void> add_label_rules(const std::vector<std::string>& patterns,
                               const std::vector<DimensionPattern>& where, Rules& rules) {
  for (const auto& pattern : patterns) {
    const auto refuse = [&](std::string_view why) {
      return tl::unexpected(failure(ErrorKind::kInvalid, {},
                                    fmt::format("--labels \"{}\": {}", printable(pattern), printable(why))));
    };
    auto compiled = compile_label_pattern(pattern);
    if (!compiled) return refuse(compiled.error().message);
    if (named_groups(**compiled).empty())
      return refuse("it has no named group that gives a dimension, as in (?P<status>[0-9]+)");
    if (auto added = rules.add({.pattern = pattern, .where = where}, std::move(*compiled)); !added)
      return refuse(added.error().message);
  }
  return {};
}

}  // namespace mmstats
