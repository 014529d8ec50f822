#include "collect/pattern_use.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "base/keyed_hash.h"

namespace mmstats {
namespace {

bool matches(const re2::RE2* pattern, std::string_view text) {
  return pattern == nullptr || matches_whole(*pattern, text);
}

}  // namespace

void PatternUse::watch_include(const LabelPattern& pattern) { includes_.push_back(pattern.get()); }
void PatternUse::watch_rule(const LabelPattern& pattern, const LabelPattern& family) {
  rules_.push_back({.pattern = pattern.get(), .family = family.get()});
}
void PatternUse::watch_prefix(const std::string& prefix) { found_.prefix = prefix; }

void PatternUse::watch_dimensions(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::ranges::find(found_.dimensions, name) == found_.dimensions.end())
      found_.dimensions.push_back(name);
  }
}

void PatternUse::meet(std::span<const Dimension> dimensions) {
  const std::lock_guard lock(mutex_);
  if (!is_on()) return;
  std::erase_if(found_.dimensions, [&](const std::string& name) {
    return std::ranges::find(dimensions, name, &Dimension::name) != dimensions.end();
  });
}

void PatternUse::meet(std::string_view label, std::string_view without_prefix, std::string_view family) {
  const std::lock_guard lock(mutex_);
  if (!is_on()) return;
  const std::uint64_t hash = keyed_hash(label);
  if (met_.size() >= kMaxLabels) {
    found_.more_labels = found_.more_labels || !met_.contains(hash);
    return;
  }
  if (!met_.insert(hash).second) return;
  ++found_.labels;
  // The library's own labels are no good examples.
  if (found_.example.empty() || found_.example.find("sys.") != std::string::npos) found_.example = label;
  if (label.size() != without_prefix.size()) found_.prefix.clear();
  std::erase_if(includes_, [&](const re2::RE2* pattern) { return matches_whole(*pattern, without_prefix); });
  std::erase_if(rules_, [&](const WatchedRule& rule) {
    const bool of_family = rule.family == nullptr || (!family.empty() && matches(rule.family, family));
    return of_family && matches(rule.pattern, without_prefix);
  });
}

std::optional<UnusedPatterns> PatternUse::take() {
  const std::lock_guard lock(mutex_);
  if (!is_on() || found_.labels == 0) return std::nullopt;
  on_ = false;
  met_.clear();
  for (const auto* pattern : std::exchange(includes_, {})) found_.includes.push_back(pattern->pattern());
  for (const auto& [pattern, family] : std::exchange(rules_, {})) {
    if (pattern != nullptr) {
      found_.rules.push_back(pattern->pattern());
    } else {
      found_.families.push_back(family->pattern());
    }
  }
  return std::move(found_);
}

}  // namespace mmstats
