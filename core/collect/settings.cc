#include "collect/settings.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "collect/label_pattern.h"
#include "format/dimensions.h"
#include "format/glob_braces.h"

namespace mmstats {
namespace {

constexpr std::size_t kMaxCount = 1'000'000'000;
constexpr std::size_t kMaxFileSize = std::size_t{1} << 30U;  // a file is read into memory as a whole

constexpr std::size_t kMostPercentiles = 20;

constexpr std::size_t kLeastMemory = std::size_t{1} << 20U;
constexpr std::size_t kMaxMemory = std::size_t{1} << 40U;

constexpr std::array<Word<Stale>, 2> kStaleWords{{{"keep", Stale::kKeep}, {"remove", Stale::kRemove}}};
constexpr std::array<Word<Kind>, 5> kKindWords{{{"counter", Kind::kCounter},
                                                {"gauge", Kind::kGauge},
                                                {"timestamp", Kind::kTimestamp},
                                                {"state", Kind::kState},
                                                {"property", Kind::kProperty}}};

std::optional<std::size_t> whole(double number, std::size_t least, std::size_t most) {
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most))) return std::nullopt;
  if (std::floor(number) != number) return std::nullopt;
  return static_cast<std::size_t>(number);
}

// What one letter after a number stands for; 0: nothing.
double unit(char letter) {
  switch (letter) {
    case 'k':
      return 1U << 10U;
    case 'm':
      return 1U << 20U;
    case 'g':
      return 1U << 30U;
    default:
      return 0;
  }
}

// Bytes, as a number or as text like "16M".
std::optional<std::size_t> read_bytes(const SettingValue& value, std::size_t least, std::size_t most) {
  std::optional<std::size_t> bytes;
  if (const auto* number = std::get_if<double>(&value)) bytes = whole(*number, least, most);
  const std::string text = lower_text(value);
  std::uint64_t digits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), digits);
  const std::string_view letter(end, text.data() + text.size());
  if (error == std::errc{} && letter.size() <= 1) {
    bytes = whole(static_cast<double>(digits) * (letter.empty() ? 1 : unit(letter[0])), least, most);
  }
  return bytes;
}

Expected<std::size_t> read_file_size(const SettingValue& value) {
  const auto bytes = read_bytes(value, 1, kMaxFileSize);
  if (!bytes) return takes(R"(bytes, as a number or as text like "16M", up to "1G")");
  return *bytes;
}

Expected<std::size_t> read_memory(const SettingValue& value) {
  const auto bytes = read_bytes(value, kLeastMemory, kMaxMemory);
  if (!bytes) return takes(R"(bytes, as a number or as text like "256M", from "1M" to "1024G")");
  return *bytes;
}

Expected<double> read_scale(const SettingValue& value) {
  const auto* number = std::get_if<double>(&value);
  if (number == nullptr || !(*number > 0) || !std::isfinite(*number)) return takes("a number above 0");
  return *number;
}

Expected<std::string> read_prefix(const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return takes("one label prefix in quotes");
  return *text;
}

template <class Into, class T>
Expected<void> assign(Into& into, Expected<T> value) {
  return std::move(value).map([&](T&& good) { into = std::move(good); });
}

constexpr std::array<Setting<FilesSettings>, 7> kFilesSettings{{
    {"strip_prefix",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.strip_prefix, read_prefix(value));
     }},
    {"aggregate",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.aggregate, read_word(value, kAggregateWords));
     }},
    {"max_file_size",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.watch.fold.max_file_size, read_file_size(value));
     }},
    {"max_files",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.watch.discovery.max_files, read_whole(value, 1, kMaxCount));
     }},
    {"max_series",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.watch.fold.max_series, read_whole(value, 1, kMaxCount));
     }},
    {"max_memory",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.watch.fold.max_memory, read_memory(value));
     }},
    {"stale",
     [](FilesSettings& files, const SettingValue& value) {
       return assign(files.watch.stale, read_word(value, kStaleWords));
     }},
}};

constexpr std::array<Setting<Rule>, 4> kRuleSettings{{
    {"kind",
     [](Rule& rule, const SettingValue& value) { return assign(rule.kind, read_word(value, kKindWords)); }},
    {"aggregate",
     [](Rule& rule, const SettingValue& value) {
       return assign(rule.aggregate, read_word(value, kAggregateWords));
     }},
    {"scale", [](Rule& rule, const SettingValue& value) { return assign(rule.scale, read_scale(value)); }},
    {"ignore", [](Rule& rule, const SettingValue& value) { return assign(rule.ignore, read_flag(value)); }},
}};

Expected<void> add_names(std::optional<std::vector<std::string>>& into,
                         std::span<const SettingValue> values) {
  return read_dimensions(values).map([&](std::vector<std::string>&& names) {
    if (!into) into.emplace();
    into->insert(into->end(), names.begin(), names.end());
  });
}

// `keep` and `drop` of both.
template <class Target>
constexpr std::array<ListSetting<Target>, 2> kListSettings{{
    {"keep",
     [](Target& target, std::span<const SettingValue> values) { return add_names(target.keep, values); }},
    {"drop",
     [](Target& target, std::span<const SettingValue> values) { return add_names(target.drop, values); }},
}};

}  // namespace

tl::unexpected<Error> takes(std::string_view what) {
  return tl::unexpected(failure(ErrorKind::kInvalid, {}, fmt::format("it takes {}", what)));
}

std::string lower_text(const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  std::string lower = text != nullptr ? *text : std::string();
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

Expected<std::size_t> read_whole(const SettingValue& value, std::size_t least, std::size_t most) {
  const auto* number = std::get_if<double>(&value);
  const auto good = number != nullptr ? whole(*number, least, most) : std::nullopt;
  if (!good) return takes(fmt::format("a whole number from {} to {}, without quotes", least, most));
  return *good;
}

Expected<bool> read_flag(const SettingValue& value) {
  const auto* flag = std::get_if<bool>(&value);
  if (flag == nullptr) return takes("true or false, without quotes");
  return *flag;
}

Expected<double> read_interval(const SettingValue& value) {
  const auto* seconds = std::get_if<double>(&value);
  if (seconds == nullptr || !(*seconds >= kMinInterval && *seconds <= kMaxInterval)) {
    return takes(fmt::format("one number of seconds, {} or more, without quotes", kMinInterval));
  }
  return *seconds;
}

Expected<std::vector<std::string>> read_globs(const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return takes("patterns of files in quotes that begin with \"/\"");
  auto globs = expand_braces(*text);
  if (!globs) return globs;
  for (const std::string& glob : *globs) {
    // An agent's working folder is not what somebody has in mind who writes a relative path.
    if (!glob.starts_with('/')) return takes("patterns of files in quotes that begin with \"/\"");
    struct stat info{};
    if (glob.ends_with('/') || (::stat(glob.c_str(), &info) == 0 && S_ISDIR(info.st_mode))) {
      return tl::unexpected(failure(ErrorKind::kInvalid, {},
                                    fmt::format("it is a folder; for the files in it write \"{}{}*.mmstats\"",
                                                glob, glob.ends_with('/') ? "" : "/")));
    }
  }
  return globs;
}

Expected<std::string> read_pattern(const SettingValue& value) {
  const auto* pattern = std::get_if<std::string>(&value);
  if (pattern == nullptr) return takes("patterns of labels in quotes");
  return *pattern;
}

Expected<std::vector<Percentile>> read_percentiles(std::span<const SettingValue> values) {
  if (values.empty() || values.size() > kMostPercentiles)
    return takes(fmt::format("1 to {} numbers above 0 and below 100", kMostPercentiles));
  std::vector<Percentile> all;
  for (const SettingValue& value : values) {
    std::string text = lower_text(value);
    // Not in binary: 99.9 is "99.9".
    if (const auto* number = std::get_if<double>(&value)) text = fmt::format("{:.9g}", *number);
    auto one = parse_percentile(text);
    if (!one) return tl::unexpected(std::move(one.error()));
    if (std::find(all.begin(), all.end(), *one) != all.end())
      return tl::unexpected(failure(ErrorKind::kInvalid, {}, fmt::format("{} is there twice", text)));
    all.push_back(std::move(*one));
  }
  return all;
}

Expected<BucketRange> read_buckets(std::span<const SettingValue> values) {
  if (values.size() == 1) {
    if (const auto* flag = std::get_if<bool>(&values.front())) return *flag ? kUsualBuckets : BucketRange{};
  }
  const auto* least = values.size() == 2 ? std::get_if<double>(&values.front()) : nullptr;
  const auto* most = values.size() == 2 ? std::get_if<double>(&values.back()) : nullptr;
  if (least == nullptr || most == nullptr || !(*least >= buckets::lower(0, 0)) || !(*least < *most) ||
      !(*most <= buckets::lower(buckets::kPowers, 0))) {
    return takes("true, false, or two numbers, from 2^-30 to 2^50, of which the second is the larger");
  }
  const std::uint32_t last = buckets::of(*most, 0);
  return BucketRange{.first = buckets::of(*least, 0),
                     .end = *most > buckets::lower(last, 0) ? last + 1 : last};
}

Expected<std::vector<std::string>> read_dimensions(std::span<const SettingValue> values) {
  constexpr std::string_view kTakes = "names of dimensions in quotes, or false for none";
  std::vector<std::string> names;
  if (values.size() == 1) {
    const auto* flag = std::get_if<bool>(&values.front());
    if (flag != nullptr && !*flag) return names;
  }
  for (const SettingValue& value : values) {
    const auto* name = std::get_if<std::string>(&value);
    if (name == nullptr) return takes(kTakes);
    if (const auto wrong = wrong_dimension_name(*name); !wrong.empty())
      return takes(fmt::format("{}; \"{}\" is no such name: {}", kTakes, printable(*name), wrong));
    names.push_back(*name);
  }
  return names;
}

Expected<DimensionPattern> read_where(const SettingValue& dimension, const SettingValue& pattern) {
  constexpr std::string_view kTakes = "the name of a dimension and a pattern of its values, in quotes";
  const auto* name = std::get_if<std::string>(&dimension);
  const auto* text = std::get_if<std::string>(&pattern);
  if (name == nullptr || text == nullptr) return takes(kTakes);
  if (const auto wrong = wrong_dimension_name(*name); !wrong.empty())
    return takes(fmt::format("{}; \"{}\" is no such name: {}", kTakes, printable(*name), wrong));
  if (const auto compiled = compile_label_pattern(*text); !compiled)
    return takes(
        fmt::format("{}; \"{}\" is no pattern: {}", kTakes, printable(*text), compiled.error().message));
  return DimensionPattern{.dimension = *name, .pattern = *text};
}

void set_rules(Rules& rules, const FilesSettings& files) {
  rules.strip_prefix(files.strip_prefix);
  rules.aggregate(files.aggregate);
  if (files.keep) rules.keep_dimensions(*files.keep);
  if (files.drop) rules.drop_dimensions(*files.drop);
}

std::span<const ListSetting<FilesSettings>> files_lists() { return kListSettings<FilesSettings>; }
std::span<const ListSetting<Rule>> rule_lists() { return kListSettings<Rule>; }
std::span<const Setting<FilesSettings>> files_settings() { return kFilesSettings; }
std::span<const Setting<Rule>> rule_settings() { return kRuleSettings; }

}  // namespace mmstats
