// Which patterns of a configuration match nothing of what is there: likely mistakes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "collect/label_pattern.h"
#include "format/dimensions.h"

namespace mmstats {

struct UnusedPatterns {
  std::vector<std::string> includes;
  std::vector<std::string> rules;
  std::vector<std::string> families;  // of rules without a pattern of labels
  // That are asked for, kept, dropped, or looked at by values: no label has them.
  std::vector<std::string> dimensions = {};
  std::string prefix;        // empty: there is none, or some label begins with it
  std::size_t labels = 0;    // different ones that were looked at
  bool more_labels = false;  // than were looked at
  std::string example;       // one of them
};

// Looks at labels until take(). Any thread.
class PatternUse {
 public:
  static constexpr std::size_t kMaxLabels = 10'000;

  // Before the first label. The patterns must live as long as labels are met.
  void watch_include(const LabelPattern& pattern);
  void watch_rule(const LabelPattern& pattern, const LabelPattern& family);  // null: not asked for
  void watch_prefix(const std::string& prefix);
  void watch_dimensions(const std::vector<std::string>& names);

  // False: there is nothing to do any more.
  [[nodiscard]] bool is_on() const { return on_.load(std::memory_order_relaxed); }

  // A label is there, with and without the prefix; `family`: its family's, without the prefix, if it is of
  // one. Each counts once.
  void meet(std::string_view label, std::string_view without_prefix, std::string_view family);
  // It has these.
  void meet(std::span<const Dimension> dimensions);

  // What no label matched: once, after labels were met. Ends the looking.
  std::optional<UnusedPatterns> take();

 private:
  std::atomic<bool> on_{true};
  std::mutex mutex_;
  std::unordered_set<std::uint64_t> met_;  // by hash
  std::vector<const re2::RE2*> includes_;
  struct WatchedRule {
    const re2::RE2* pattern;
    const re2::RE2* family;
  };
  std::vector<WatchedRule> rules_;
  UnusedPatterns found_;
};

}  // namespace mmstats
