// What a configuration may say of a set of files and of the labels in it: one table for every sink, so that
// the same words take the same values everywhere. A sink reads a syntax of its own, hands over names and
// values, and adds the words that it alone has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/failure.h"
#include "collect/rules.h"
#include "collect/watch.h"
#include "mmstats/error.h"

namespace mmstats {

// A value as it was written; monostate: something that is no single text, number or bool.
using SettingValue = std::variant<std::monostate, std::string, double, bool>;

// ---- Values. Each returns what the value says. Error: kInvalid; its message is "it takes ...".

template <class T>
using Word = std::pair<std::string_view, T>;

// "It takes ...", as an error.
tl::unexpected<Error> takes(std::string_view what);

// The text in lower case; empty: it is no text.
std::string lower_text(const SettingValue& value);

template <class T, std::size_t kSize>
Expected<T> read_word(const SettingValue& value, const std::array<Word<T>, kSize>& words) {
  const std::string text = lower_text(value);
  std::string known;
  for (const auto& [word, meaning] : words) {
    if (word == text) return meaning;
    known.append(known.empty() ? "one of \"" : ", \"").append(word).append("\"");
  }
  return takes(known);
}

Expected<std::size_t> read_whole(const SettingValue& value, std::size_t least, std::size_t most);
Expected<bool> read_flag(const SettingValue& value);
Expected<double> read_interval(const SettingValue& value);  // seconds
// Paths from the root: several where there are braces. Error also if one is a folder now.
Expected<std::vector<std::string>> read_globs(const SettingValue& value);
Expected<std::string> read_pattern(const SettingValue& value);  // of labels; not yet compiled
// From 1 to 20, none twice; as texts or as numbers.
Expected<std::vector<Percentile>> read_percentiles(std::span<const SettingValue> values);
// True: kUsualBuckets; false: none; or two numbers: all between them.
Expected<BucketRange> read_buckets(std::span<const SettingValue> values);

// Names of dimensions; false, or nothing: none of them.
Expected<std::vector<std::string>> read_dimensions(std::span<const SettingValue> values);
// A dimension, and an RE2 for its values. Error also if it is none.
Expected<DimensionPattern> read_where(const SettingValue& dimension, const SettingValue& pattern);

inline constexpr double kMinInterval = 0.001;  // seconds: less would only keep a processor busy
inline constexpr double kMaxInterval = 1e9;

// ---- The table.

template <class Target>
struct Setting {
  std::string_view name;  // like "max_files"; a sink may write it in another way, as in MaxFiles
  // Error: as of a value; `target` is as it was.
  Expected<void> (*set)(Target& target, const SettingValue& value);
};

// The same of several values: in collectd one behind the other, in TOML in an array. What is given twice adds
// up.
template <class Target>
struct ListSetting {
  std::string_view name;
  Expected<void> (*set)(Target& target, std::span<const SettingValue> values);
};

// What may be said of a set of files, beside which they are and which labels count.
struct FilesSettings {
  WatchOptions watch;
  std::string strip_prefix;
  Aggregate aggregate = Aggregate::kByKind;
  std::optional<std::vector<std::string>> keep;  // dimensions
  std::optional<std::vector<std::string>> drop;
};

std::span<const Setting<FilesSettings>> files_settings();
std::span<const Setting<Rule>> rule_settings();
std::span<const ListSetting<FilesSettings>> files_lists();
std::span<const ListSetting<Rule>> rule_lists();

// What they say of labels, but for patterns.
void set_rules(Rules& rules, const FilesSettings& files);

}  // namespace mmstats
