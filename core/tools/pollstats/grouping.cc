#include "tools/pollstats/grouping.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/failure.h"
#include "format/dimensions.h"
#include "tools/pollstats/field_pattern.h"
#include "tools/shared/label_rules.h"

namespace pollstats {
namespace {

tl::unexpected<mmstats::Error> invalid(std::string message) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
}

// Empty: nothing is wrong with the name.
std::string wrong_name(std::string_view option, std::string_view name) {
  const auto why = mmstats::wrong_dimension_name(name);
  return why.empty()
             ? why
             : fmt::format("{}: \"{}\" is no dimension's name: {}", option, mmstats::printable(name), why);
}

}  // namespace

mmstats::Expected<By> parse_by(std::string_view text) {
  By by;
  while (!text.empty()) {
    const auto name = text.substr(0, text.find(','));
    if (auto why = wrong_name("--by", name); !why.empty()) return invalid(std::move(why));
    if (std::ranges::find(by, name) != by.end()) return invalid(fmt::format("--by: {} is there twice", name));
    by.emplace_back(name);
    if (name.size() + 1 == text.size()) return invalid("--by: an empty name");
    text.remove_prefix(std::min(text.size(), name.size() + 1));
  }
  return by;
}

mmstats::Expected<std::pair<std::string, std::string>> parse_where(std::string_view text) {
  const auto name = text.substr(0, text.find('='));
  if (name.size() == text.size()) return invalid("--where: it takes DIMENSION=PATTERN");
  if (auto why = wrong_name("--where", name); !why.empty()) return invalid(std::move(why));
  return std::pair(std::string(name), std::string(text.substr(name.size() + 1)));
}

mmstats::Expected<void> add_rules(const Grouping& grouping, mmstats::Rules& rules) {
  if (grouping.by) rules.keep_dimensions(*grouping.by);
  std::vector<mmstats::DimensionPattern> where;
  for (const auto& [dimension, text] : grouping.where) {
    const auto pattern = FieldPattern::compile(text);
    if (!pattern) return tl::unexpected(pattern.error());
    where.push_back({dimension, pattern->re2()});
    // What has no such dimension has an empty value, which no pattern but an empty one is for.
    if (!text.empty()) where.push_back({dimension, "(?s).+"});
  }
  if (auto added = mmstats::add_label_rules(grouping.labels, where, rules); !added) return added;
  if (where.empty()) return {};
  // What does not fit is left out.
  if (auto added = rules.add({.pattern = ".*", .where = where}); !added) return added;
  return rules.add({.pattern = ".*", .ignore = true});
}

bool are_one_combination(const mmstats::Series& one, const mmstats::Series& other) {
  return one.dimensions() == other.dimensions() &&
         (one.dimensions().empty() || one.family() == other.family());
}

std::string text_of(const By& by) { return fmt::format("{}", fmt::join(by, ",")); }

std::string text_of(const std::vector<std::pair<std::string, std::string>>& where) {
  std::string text;
  for (const auto& [name, pattern] : where)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, pattern);
  return text;
}

}  // namespace pollstats
