#include "collect/pattern_use.h"

#include <re2/re2.h>

#include <utility>

#include "base/keyed_hash.h"

namespace mmstats {
namespace {

std::vector<std::string> texts(const std::vector<const re2::RE2*>& patterns) {
  std::vector<std::string> all;
  all.reserve(patterns.size());
  for (const auto* pattern : patterns) all.push_back(pattern->pattern());
  return all;
}

}  // namespace

void PatternUse::watch_include(const LabelPattern& pattern) { includes_.push_back(pattern.get()); }
void PatternUse::watch_rule(const LabelPattern& pattern) { rules_.push_back(pattern.get()); }
void PatternUse::watch_prefix(const std::string& prefix) { found_.prefix = prefix; }

void PatternUse::meet(std::string_view label, std::string_view without_prefix) {
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
  for (auto* patterns : {&includes_, &rules_}) {
    std::erase_if(*patterns,
                  [&](const re2::RE2* pattern) { return matches_whole(*pattern, without_prefix); });
  }
}

std::optional<UnusedPatterns> PatternUse::take() {
  const std::lock_guard lock(mutex_);
  if (!is_on() || found_.labels == 0) return std::nullopt;
  on_ = false;
  met_.clear();
  found_.includes = texts(std::exchange(includes_, {}));
  found_.rules = texts(std::exchange(rules_, {}));
  return std::move(found_);
}

}  // namespace mmstats
