#include "plugin_collectd/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace mmstats::collectd {
namespace {

constexpr double kMinInterval = 0.001;  // seconds: less would only keep a processor busy
constexpr double kMaxInterval = 1e9;    // seconds
constexpr double kMaxCount = 1e9;
constexpr double kMaxFileSize = 1U << 30U;  // bytes: a file is read into memory as a whole

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string text) {
  for (char& c : text) c = lower(c);
  return text;
}

// Option names, as everywhere in collectd, are the same in upper and lower case.
bool same_key(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string show(const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return fmt::format("\"{}\"", *text);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return std::get<bool>(value) ? "true" : "false";
}

std::string show(const ConfigItem& option) {
  std::string text = option.key;
  for (const auto& value : option.values) text += " " + show(value);
  return text;
}

// The option's value, if it has exactly one and it is a T.
template <class T>
std::optional<T> only(const ConfigItem& option) {
  if (option.values.size() != 1) return std::nullopt;
  const T* value = std::get_if<T>(&option.values.front());
  return value ? std::optional<T>(*value) : std::nullopt;
}

std::optional<std::size_t> whole_number(std::optional<double> number, double max) {
  if (!number || !(*number >= 1 && *number <= max) || std::floor(*number) != *number) return std::nullopt;
  return static_cast<std::size_t>(*number);
}

// Bytes, as a number or as text like "16M".
std::optional<std::size_t> file_size(const ConfigItem& option) {
  if (const auto number = only<double>(option)) return whole_number(number, kMaxFileSize);
  const auto text = only<std::string>(option);
  constexpr std::size_t kMaxDigits = 10;
  if (!text) return std::nullopt;
  const std::size_t digits = std::min(text->find_first_not_of("0123456789"), text->size());
  if (digits == 0 || digits > kMaxDigits || text->size() - digits > 1) return std::nullopt;
  double unit = 1;
  if (digits < text->size()) {
    switch (lower((*text)[digits])) {
      case 'k':
        unit = 1U << 10U;
        break;
      case 'm':
        unit = 1U << 20U;
        break;
      case 'g':
        unit = 1U << 30U;
        break;
      default:
        return std::nullopt;
    }
  }
  return whole_number(unit * static_cast<double>(std::stoull(text->substr(0, digits))), kMaxFileSize);
}

// Messages about one place of the configuration.
class Notes {
 public:
  Notes(std::vector<Message>& messages, std::string place) : messages_(&messages), place_(std::move(place)) {}

  void error(std::string_view text) { add(Message::Severity::kError, text); }
  void warning(std::string_view text) { add(Message::Severity::kWarning, text); }
  void left_out(const std::string& what, std::string_view why) {
    error(fmt::format("{} is left out: {}", what, why));
  }
  void takes(const ConfigItem& option, std::string_view accepted) {
    left_out(show(option), fmt::format("it takes {}", accepted));
  }

  [[nodiscard]] Notes at(const std::string& inner) const { return {*messages_, place_ + ", " + inner}; }

 private:
  void add(Message::Severity severity, std::string_view text) {
    messages_->push_back({severity, fmt::format("{}: {}", place_, text)});
  }
  std::vector<Message>* messages_;
  std::string place_;
};

// An option's name, and the member of Reader that takes it in.
template <class Reader>
struct Option {
  std::string_view key;
  void (Reader::*read)(const ConfigItem&);
};

template <class Options>
auto find_option(const Options& options, std::string_view key) {
  return std::find_if(options.begin(), options.end(), [&](const auto& o) { return same_key(o.key, key); });
}

// Hands `item` to the option of its name, or says that there is none.
template <class Reader>
void read_option(Reader& reader, Notes& notes, const ConfigItem& item) {
  const auto option = find_option(Reader::kOptions, item.key);
  if (option != Reader::kOptions.end()) return (reader.*option->read)(item);
  std::string known;
  for (const auto& o : Reader::kOptions) known += (known.empty() ? "" : ", ") + std::string(o.key);
  notes.left_out(show(item), "there is no such option here; there are " + known);
}

constexpr std::string_view kAggregateWords =
    R"(one of "default", "sum", "avg", "min", "max", "nonzero-avg", "nonzero-min", "none")";

std::optional<Aggregate> read_aggregate(const ConfigItem& option) {
  const auto word = only<std::string>(option);
  return word ? parse_aggregate(lower(*word)) : std::nullopt;
}

class MetricReader {
 public:
  MetricReader(std::string pattern, Notes notes) : notes_(std::move(notes)) {
    rule_.pattern = std::move(pattern);
  }

  void kind(const ConfigItem& option) {
    const auto word = only<std::string>(option);
    const auto kind = word ? parse_kind(lower(*word)) : std::nullopt;
    if (!kind) {
      return notes_.takes(option, R"(one of "counter", "gauge", "timestamp", "state", "property")");
    }
    rule_.kind = kind;
  }
  void type(const ConfigItem& option) {
    const auto type = only<std::string>(option);
    if (!type || type->empty()) return notes_.takes(option, "the name of one type of types.db, in quotes");
    rule_.sink_type = *type;
  }
  void type_instance(const ConfigItem& option) {
    const auto name = only<std::string>(option);
    if (!name || name->empty()) {
      return notes_.takes(option,
                          R"(one name in quotes, in which \\1 to \\9 are what the pattern's groups found)");
    }
    rule_.name = *name;
  }
  void aggregate(const ConfigItem& option) {
    const auto aggregate = read_aggregate(option);
    if (!aggregate) return notes_.takes(option, kAggregateWords);
    rule_.aggregate = aggregate;
  }
  void scale(const ConfigItem& option) {
    const auto scale = only<double>(option);
    if (!scale || !(*scale > 0) || !std::isfinite(*scale)) return notes_.takes(option, "one number above 0");
    rule_.scale = *scale;
  }
  void ignore(const ConfigItem& option) {
    const auto ignore = only<bool>(option);
    if (!ignore) return notes_.takes(option, "true or false, without quotes");
    rule_.ignore = *ignore;
  }

  static constexpr std::array<Option<MetricReader>, 6> kOptions{{
      {"Kind", &MetricReader::kind},
      {"Type", &MetricReader::type},
      {"TypeInstance", &MetricReader::type_instance},
      {"Aggregate", &MetricReader::aggregate},
      {"Scale", &MetricReader::scale},
      {"Ignore", &MetricReader::ignore},
  }};

  Rule read(const ConfigItem& item) {
    for (const auto& option : item.children) read_option(*this, notes_, option);
    // collectd takes one backslash of each pair away, so that "\1" arrives as "1": every series that
    // matches would get the same name.
    const auto group = rule_.pattern.find('(');
    const bool captures = group != std::string::npos && rule_.pattern.compare(group, 3, "(?:") != 0;
    if (captures && rule_.name.find_first_of("0123456789") != std::string::npos &&
        rule_.name.find('\\') == std::string::npos) {
      notes_.warning(
          fmt::format(R"(TypeInstance "{}" uses no group of the pattern; if it was meant to, write \\1, )"
                      R"(as collectd removes one backslash, else write the group as (?:...))",
                      rule_.name));
    }
    return std::move(rule_);
  }

 private:
  Rule rule_;
  Notes notes_;
};

class BlockReader {
 public:
  BlockReader(std::string instance, std::size_t max_name_bytes, Notes notes) : notes_(std::move(notes)) {
    block_.instance = std::move(instance);
    block_.names.max_bytes = max_name_bytes;
  }

  void interval(const ConfigItem& option) {
    const auto seconds = only<double>(option);
    if (!seconds || !(*seconds >= kMinInterval && *seconds <= kMaxInterval)) {
      return notes_.takes(option,
                          fmt::format("one number of seconds, {} or more, without quotes", kMinInterval));
    }
    block_.interval = seconds;
  }
  void path(const ConfigItem& option) {
    path_given_ = true;
    for (const auto& value : option.values) {
      const auto* glob = std::get_if<std::string>(&value);
      if (glob != nullptr && glob->starts_with('/')) {
        block_.watch.globs.push_back(*glob);
      } else {
        // collectd's working folder is not what somebody has in mind who writes a relative path.
        notes_.left_out("Path " + show(value), "it takes patterns of files in quotes that begin with \"/\"");
      }
    }
  }
  void strip_prefix(const ConfigItem& option) {
    const auto prefix = only<std::string>(option);
    if (!prefix) return notes_.takes(option, "one label prefix in quotes");
    block_.rules.strip_prefix(*prefix);
  }
  void include(const ConfigItem& option) {
    include_given_ = true;
    patterns(option, [&](const std::string& pattern) {
      auto added = block_.rules.include(pattern);
      include_usable_ = include_usable_ || added;
      return added;
    });
  }
  void ignore(const ConfigItem& option) {
    patterns(option, [&](const std::string& pattern) { return block_.rules.ignore(pattern); });
  }
  void aggregate(const ConfigItem& option) {
    const auto aggregate = read_aggregate(option);
    if (!aggregate) return notes_.takes(option, kAggregateWords);
    block_.rules.aggregate(*aggregate);
    aggregate_none_ = *aggregate == Aggregate::kNone;
  }
  void metric(const ConfigItem& option) {
    const auto pattern = only<std::string>(option);
    if (!pattern) return notes_.takes(option, "one pattern of labels in quotes");
    auto notes = notes_.at(fmt::format("<Metric \"{}\">", *pattern));
    Rule rule = MetricReader(*pattern, notes).read(option);
    if (const auto usable = Rules().add(only_pattern(rule)); !usable) {
      return notes.left_out("the block", usable.error().message);
    }
    leave_out_unfit(rule, notes);
    metric_none_ = metric_none_ || rule.aggregate == Aggregate::kNone;
    if (!rule.sink_type.empty()) block_.types.push_back({rule.pattern, rule.sink_type, rule.kind});
    if (const auto added = block_.rules.add(std::move(rule)); !added) notes.error(added.error().message);
  }
  void max_file_size(const ConfigItem& option) {
    const auto bytes = file_size(option);
    if (!bytes) return notes_.takes(option, R"(bytes, as a number or as text like "16M", up to "1G")");
    block_.watch.fold.max_file_size = *bytes;
  }
  void max_files(const ConfigItem& option) { count(option, block_.watch.discovery.max_files); }
  void max_series(const ConfigItem& option) { count(option, block_.watch.fold.max_series); }
  void stale(const ConfigItem& option) {
    const auto word = lower(only<std::string>(option).value_or(""));
    if (word == "keep") {
      block_.watch.stale = Stale::kKeep;
    } else if (word == "remove") {
      block_.watch.stale = Stale::kRemove;
    } else {
      notes_.takes(option, R"(one of "keep", "remove")");
    }
  }
  void report_self(const ConfigItem& option) {
    const auto report = only<bool>(option);
    if (!report) return notes_.takes(option, "true or false, without quotes");
    block_.report_self = *report;
  }

  static constexpr std::array<Option<BlockReader>, 12> kOptions{{
      {"Interval", &BlockReader::interval},
      {"Path", &BlockReader::path},
      {"StripPrefix", &BlockReader::strip_prefix},
      {"Include", &BlockReader::include},
      {"Ignore", &BlockReader::ignore},
      {"Aggregate", &BlockReader::aggregate},
      {"Metric", &BlockReader::metric},
      {"MaxFileSize", &BlockReader::max_file_size},
      {"MaxFiles", &BlockReader::max_files},
      {"MaxSeries", &BlockReader::max_series},
      {"Stale", &BlockReader::stale},
      {"ReportSelf", &BlockReader::report_self},
  }};

  // None: the block cannot be used; it was said why.
  std::optional<BlockConfig> read(std::span<const ConfigItem> options,
                                  const std::vector<std::string>& default_globs) {
    for (const auto& option : options) read_option(*this, notes_, option);
    if (include_given_ && !include_usable_) {
      notes_.left_out("the block", "no Include of it can be used, and without one it would send everything");
      return std::nullopt;
    }
    if (block_.watch.globs.empty()) {
      if (path_given_) {
        notes_.left_out("the block", "no Path of it can be used");
        return std::nullopt;
      }
      block_.watch.globs = default_globs;
    }
    block_.names.slots = aggregate_none_ || metric_none_;
    return std::move(block_);
  }

 private:
  static Rule only_pattern(const Rule& rule) {
    Rule bare;
    bare.pattern = rule.pattern;
    return bare;
  }

  // Takes from a rule with a good pattern what the pattern or the kind do not allow.
  static void leave_out_unfit(Rule& rule, Notes& notes) {
    auto named = only_pattern(rule);
    named.name = rule.name;
    if (const auto usable = Rules().add(named); !usable) {
      notes.left_out(fmt::format("TypeInstance \"{}\"", rule.name), usable.error().message);
      rule.name.clear();
    }
    auto aggregated = only_pattern(rule);
    aggregated.kind = rule.kind;
    aggregated.aggregate = rule.aggregate;
    if (const auto usable = Rules().add(aggregated); !usable) {
      notes.left_out(fmt::format("Aggregate \"{}\"", to_string(*rule.aggregate)), usable.error().message);
      rule.aggregate.reset();
    }
  }

  template <class Add>
  void patterns(const ConfigItem& option, const Add& add) {
    for (const auto& value : option.values) {
      const auto what = option.key + " " + show(value);
      const auto* pattern = std::get_if<std::string>(&value);
      if (pattern == nullptr) {
        notes_.left_out(what, "it takes patterns of labels in quotes");
      } else if (const auto added = add(*pattern); !added) {
        notes_.left_out(what, added.error().message);
      }
    }
  }
  void count(const ConfigItem& option, std::size_t& into) {
    const auto number = whole_number(only<double>(option), kMaxCount);
    if (!number)
      return notes_.takes(option,
                          fmt::format("one whole number from 1 to {:.0f}, without quotes", kMaxCount));
    into = *number;
  }

  BlockConfig block_;
  Notes notes_;
  bool path_given_ = false;
  bool include_given_ = false;
  bool include_usable_ = false;
  bool aggregate_none_ = false;
  bool metric_none_ = false;
};

bool is_files(const ConfigItem& item) { return same_key(item.key, "Files"); }

constexpr std::string_view kUnnamed = "<Plugin mmstats>";

}  // namespace

std::string block_name(const std::string& instance) {
  return instance.empty() ? std::string(kUnnamed) : fmt::format("<Files \"{}\">", instance);
}

Configuration read_config(std::span<const ConfigItem> sections, const std::vector<std::string>& default_globs,
                          std::size_t max_name_bytes) {
  Configuration result;
  Notes notes(result.messages, std::string(kUnnamed));
  std::vector<ConfigItem> outside;  // options outside of any <Files>
  std::vector<std::string> instances;
  bool any_files = false;

  for (const auto& section : sections) {
    for (const auto& item : section.children) {
      if (!is_files(item)) {
        outside.push_back(item);
        continue;
      }
      any_files = true;
      const auto instance = only<std::string>(item);
      const auto name = "<" + show(item) + ">";
      if (!instance || !is_plain_name(*instance) || instance->size() > max_name_bytes) {
        notes.left_out(
            name, fmt::format("it needs one name in quotes, of letters, digits and \"_-.@\", without empty "
                              "parts between dots, and of {} bytes at most",
                              max_name_bytes));
        continue;
      }
      if (std::find(instances.begin(), instances.end(), *instance) != instances.end()) {
        notes.left_out("the second " + name, "each block needs a name of its own");
        continue;
      }
      instances.push_back(*instance);
      BlockReader reader(*instance, max_name_bytes, Notes(result.messages, block_name(*instance)));
      if (auto block = reader.read(item.children, default_globs)) result.blocks.push_back(std::move(*block));
    }
  }

  const auto is_path = [](const ConfigItem& item) { return same_key(item.key, "Path"); };
  if (any_files && std::none_of(outside.begin(), outside.end(), is_path)) {
    if (outside.empty()) return result;
    // A second look at the default folders, beside the blocks, is hardly what was meant.
    std::string keys;
    for (const auto& item : outside) keys += (keys.empty() ? "" : ", ") + item.key;
    notes.left_out(
        keys,
        "options outside of <Files> make a block of their own, which beside <Files> blocks needs a "
        "Path; options for a <Files> block belong into it");
    return result;
  }
  BlockReader reader("", max_name_bytes, notes);
  if (auto block = reader.read(outside, default_globs)) result.blocks.push_back(std::move(*block));
  return result;
}

std::vector<Message> check_types(const BlockConfig& block, const TypeLookup& types) {
  std::vector<Message> messages;
  for (const auto& use : block.types) {
    const auto problem = type_problem(use.type, use.kind, types);
    if (problem.empty()) continue;
    Notes(messages, fmt::format("{}, <Metric \"{}\">", block_name(block.instance), use.pattern))
        .left_out(fmt::format("Type \"{}\"", use.type), problem + "; the default type is used");
  }
  return messages;
}

}  // namespace mmstats::collectd
