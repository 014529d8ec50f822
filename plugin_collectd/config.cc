#include "plugin_collectd/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "collect/label_pattern.h"
#include "collect/put_values.h"
#include "collect/settings.h"
#include "plugin_collectd/lost_backslash.h"

namespace mmstats::collectd {
namespace {

constexpr std::string_view kUnnamed = "<Plugin mmstats>";

// An option that only this sink has, and the member of Reader that takes it in.
template <class Reader>
struct Option {
  std::string_view key;
  void (Reader::*read)(const ConfigItem&);
};

// Hands `item` to the option of its name: the reader's own, or one that all sinks have.
template <class Reader, class Target>
void read_option(Reader& reader, std::span<const Setting<Target>> settings,
                 std::span<const ListSetting<Target>> lists, Target& target, Notes& notes,
                 const ConfigItem& item) {
  std::vector<std::string> known;
  for (const auto& option : Reader::kOptions) {
    if (same_key(option.key, item.key)) return (reader.*option.read)(item);
    known.emplace_back(option.key);
  }
  for (const auto& setting : settings) {
    known.push_back(option_name(setting.name));
    if (!same_key(known.back(), item.key)) continue;
    if (const auto set = setting.set(target, only_value(item)); !set) notes.left_out(item, set.error());
    return;
  }
  for (const auto& setting : lists) {
    known.push_back(option_name(setting.name));
    if (!same_key(known.back(), item.key)) continue;
    if (const auto set = setting.set(target, item.values); !set) notes.left_out(item, set.error());
    return;
  }
  std::sort(known.begin(), known.end());
  notes.left_out(show(item),
                 fmt::format("there is no such option here; there are {}", fmt::join(known, ", ")));
}

void warn_of_lost_class(Notes& notes, std::string_view where, std::string_view pattern) {
  const char letter = lost_class(pattern);
  if (letter == '\0') return;
  notes.warning(
      fmt::format(R"({}: "{}" stands for the letter itself; if it was meant as the class \{}, write \\{}, )"
                  R"(as collectd removes one backslash)",
                  where, letter, letter, letter));
}

class MetricReader {
 public:
  // `of_family`: the pattern is one of families.
  MetricReader(std::string pattern, bool of_family, Notes& notes) : of_family_(of_family), notes_(notes) {
    (of_family ? rule_.family : rule_.pattern) = std::move(pattern);
  }

  void type(const ConfigItem& option) {
    const auto type = only_text(option);
    if (type.empty()) {
      return notes_.left_out(show(option), "it takes the name of one type of types.db, in quotes");
    }
    rule_.sink_type = type;
  }
  void type_instance(const ConfigItem& option) {
    // An empty one is a series without a type instance.
    const bool is_text = option.values.size() == 1 && std::holds_alternative<std::string>(option.values[0]);
    if (!is_text) {
      return notes_.left_out(
          show(option),
          R"(it takes one name in quotes, in which \\1 to \\9 are what the pattern's groups found, and )"
          R"(%{NAME} the value of that dimension)");
    }
    rule_.name = only_text(option);
  }

  void percentiles(const ConfigItem& option) {
    auto wanted = read_percentiles(option.values);
    if (!wanted) return notes_.left_out(option, wanted.error());
    rule_.percentiles = std::move(*wanted);
  }
  void buckets(const ConfigItem& option) {
    const auto range = read_buckets(option.values);
    if (!range) return notes_.left_out(option, range.error());
    rule_.buckets = *range;
  }

  void where(const ConfigItem& option) {
    const bool two = option.values.size() == 2;
    auto where = two ? read_where(option.values[0], option.values[1]) : read_where({}, {});
    if (!where) {
      // Without it the block would be for more than was meant.
      is_usable_ = false;
      return notes_.left_out("the block",
                             fmt::format("{} is not possible: {}", show(option), where.error().message));
    }
    warn_of_lost_class(notes_, show(option), where->pattern);
    rule_.where.push_back(std::move(*where));
  }

  static constexpr std::array<Option<MetricReader>, 5> kOptions{{
      {"Buckets", &MetricReader::buckets},
      {"Percentiles", &MetricReader::percentiles},
      {"Type", &MetricReader::type},
      {"TypeInstance", &MetricReader::type_instance},
      {"Where", &MetricReader::where},
  }};

  // A rule that fits `pattern`: what it does not allow is left out. None: so is the block.
  std::optional<Rule> read(const ConfigItem& item, const re2::RE2& pattern) {
    for (const auto& option : item.children)
      read_option(*this, rule_settings(), rule_lists(), rule_, notes_, option);
    warn_of_lost_backslash();
    if (const auto fits = check_values(pattern, of_family_, rule_.name.value_or("")); !fits) {
      notes_.left_out(fmt::format("TypeInstance \"{}\"", *rule_.name), fits.error().message);
      rule_.name.reset();
    }
    if (const auto fits = check_aggregate(rule_); !fits) {
      notes_.left_out(fmt::format("Aggregate \"{}\"", to_string(*rule_.aggregate)), fits.error().message);
      rule_.aggregate.reset();
    }
    return is_usable_ ? std::optional(std::move(rule_)) : std::nullopt;
  }

 private:
  // collectd takes one backslash of each pair away, so that "\1" arrives as "1": every series that
  // matches would get the same name.
  void warn_of_lost_backslash() {
    if (!rule_.name) return;
    const std::string& pattern = of_family_ ? rule_.family : rule_.pattern;
    const auto group = pattern.find('(');
    const bool captures = group != std::string::npos && pattern.compare(group, 3, "(?:") != 0;
    if (captures && rule_.name->find("%{") == std::string::npos &&
        rule_.name->find_first_of("0123456789") != std::string::npos &&
        rule_.name->find('\\') == std::string::npos) {
      notes_.warning(
          fmt::format(R"(TypeInstance "{}" uses no group of the pattern; if it was meant to, write \\1, )"
                      R"(as collectd removes one backslash, else write the group as (?:...))",
                      *rule_.name));
    }
  }

  Rule rule_;
  bool of_family_;
  bool is_usable_ = true;
  Notes& notes_;
};

class BlockReader {
 public:
  BlockReader(std::string instance, std::size_t max_name_bytes, Notes notes) : notes_(std::move(notes)) {
    block_.instance = std::move(instance);
    block_.names.max_bytes = max_name_bytes;
  }

  void interval(const ConfigItem& option) {
    const auto seconds = read_interval(only_value(option));
    if (!seconds) return notes_.left_out(option, seconds.error());
    block_.interval = *seconds;
  }
  void path(const ConfigItem& option) {
    path_given_ = true;
    each_value(option, [&](const ConfigValue& value) {
      return read_globs(value).map([&](const std::vector<std::string>& globs) {
        globs_.insert(globs_.end(), globs.begin(), globs.end());
      });
    });
  }
  void include(const ConfigItem& option) {
    include_given_ = true;
    each_value(option, [&](const ConfigValue& value) {
      return read_pattern(value)
          .and_then([&](const std::string& pattern) {
            warn_of_lost_class(notes_, fmt::format("Include \"{}\"", pattern), pattern);
            return block_.rules.include(pattern);
          })
          .map([&] { include_usable_ = true; });
    });
  }
  void ignore(const ConfigItem& option) {
    each_value(option, [&](const ConfigValue& value) {
      return read_pattern(value).and_then([&](const std::string& pattern) {
        warn_of_lost_class(notes_, fmt::format("Ignore \"{}\"", pattern), pattern);
        return block_.rules.ignore(pattern);
      });
    });
  }
  void metric(const ConfigItem& option) { add_rule(option, false); }
  void family(const ConfigItem& option) { add_rule(option, true); }
  void add_rule(const ConfigItem& option, bool of_family) {
    const auto text = read_pattern(only_value(option));
    const std::string_view kind = of_family ? "Family" : "Metric";
    if (!text || (of_family && text->empty())) {
      return notes_.left_out(show(option), of_family ? "it takes one pattern of families' labels in quotes"
                                                     : "it takes one pattern of labels in quotes");
    }
    const std::string block = fmt::format("<{} \"{}\">", kind, *text);
    auto notes = notes_.at(block);
    warn_of_lost_class(notes, "the pattern", *text);
    auto pattern = compile_label_pattern(*text);
    if (!pattern) return notes.left_out("the block", pattern.error().message);
    if (!of_family) {
      for (const auto& why : no_dimensions(**pattern)) notes.warning(why);
    }
    auto rule = MetricReader(*text, of_family, notes).read(option, **pattern);
    if (!rule) return;
    block_.names.slots = block_.names.slots || rule->aggregate == Aggregate::kNone;
    const auto number = static_cast<std::int32_t>(block_.names.types.size());
    if (rule->name) block_.names.naming.insert(number);
    if (rule->scale) block_.names.scaled.insert(number);
    block_.names.types.push_back(rule->sink_type);
    if (!rule->sink_type.empty()) block_.types.push_back({block, rule->sink_type, rule->kind});
    // It fits its pattern, so nothing can be wrong with it.
    static_cast<void>(block_.rules.add(std::move(*rule), std::move(*pattern)));
  }
  void report_self(const ConfigItem& option) {
    const auto report = read_flag(only_value(option));
    if (!report) return notes_.left_out(option, report.error());
    block_.report_self = *report;
  }

  void percentiles(const ConfigItem& option) {
    auto wanted = read_percentiles(option.values);
    if (!wanted) return notes_.left_out(option, wanted.error());
    block_.rules.percentiles(std::move(*wanted));
  }
  void buckets(const ConfigItem& option) {
    const auto range = read_buckets(option.values);
    if (!range) return notes_.left_out(option, range.error());
    block_.rules.buckets(*range);
  }

  static constexpr std::array<Option<BlockReader>, 9> kOptions{{
      {"Buckets", &BlockReader::buckets},
      {"Family", &BlockReader::family},
      {"Percentiles", &BlockReader::percentiles},
      {"Interval", &BlockReader::interval},
      {"Path", &BlockReader::path},
      {"Include", &BlockReader::include},
      {"Ignore", &BlockReader::ignore},
      {"Metric", &BlockReader::metric},
      {"ReportSelf", &BlockReader::report_self},
  }};

  // None: the block cannot be used; it was said why.
  std::optional<BlockConfig> read(std::span<const ConfigItem> options,
                                  const std::vector<std::string>& default_globs) {
    FilesSettings files;
    for (const auto& option : options)
      read_option(*this, files_settings(), files_lists(), files, notes_, option);
    if (include_given_ && !include_usable_) {
      notes_.left_out("the block",
                      "none of its Includes can be used, and without one it would send everything");
      return std::nullopt;
    }
    if (globs_.empty() && path_given_) {
      notes_.left_out("the block", "none of its Paths can be used");
      return std::nullopt;
    }
    block_.watch = std::move(files.watch);
    block_.watch.tell_missing_folders = path_given_;
    block_.watch.fold.reuse_series = true;
    if (globs_.empty()) globs_ = default_globs;
    block_.watch.globs = std::move(globs_);
    set_rules(block_.rules, files);
    block_.rules.tell_by_names();
    block_.names.slots = block_.names.slots || files.aggregate == Aggregate::kNone;
    return std::move(block_);
  }

 private:
  // One bad value of an option costs that value alone.
  template <class Take>
  void each_value(const ConfigItem& option, const Take& take) {
    for (const auto& value : option.values) {
      if (const auto taken = take(value); !taken) {
        notes_.left_out(option.key + " " + show(value), taken.error().message);
      }
    }
  }

  BlockConfig block_;
  Notes notes_;
  std::vector<std::string> globs_;
  bool path_given_ = false;
  bool include_given_ = false;
  bool include_usable_ = false;
};

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
      if (!same_key(item.key, "Files")) {
        outside.push_back(item);
        continue;
      }
      any_files = true;
      const auto instance = only_text(item);
      const auto name = "<" + show(item) + ">";
      if (!is_plain_name(instance) || instance.size() > max_name_bytes) {
        notes.left_out(
            name, fmt::format("it needs one name in quotes, of letters, digits and \"_-.@\", without empty "
                              "parts between dots, and of {} bytes at most",
                              max_name_bytes));
        continue;
      }
      if (std::find(instances.begin(), instances.end(), instance) != instances.end()) {
        notes.left_out("the second " + name, "each block needs a name of its own");
        continue;
      }
      instances.push_back(instance);
      BlockReader reader(instance, max_name_bytes, Notes(result.messages, block_name(instance)));
      if (auto block = reader.read(item.children, default_globs)) result.blocks.push_back(std::move(*block));
    }
  }

  const auto is_path = [](const ConfigItem& item) { return same_key(item.key, "Path"); };
  if (any_files && std::none_of(outside.begin(), outside.end(), is_path)) {
    if (outside.empty()) return result;
    // The default folders are hardly meant to be read a second time, beside the blocks.
    std::vector<std::string> keys;
    keys.reserve(outside.size());
    for (const auto& item : outside) {
      if (std::ranges::find(keys, item.key) == keys.end()) keys.push_back(item.key);
    }
    notes.left_out(
        keys,
        "options outside of <Files> make a block of their own, which beside <Files> blocks needs a "
        "Path; options for a <Files> block belong inside it");
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
    Notes(messages, fmt::format("{}, {}", block_name(block.instance), use.block))
        .left_out(fmt::format("Type \"{}\"", use.type), problem + "; the default type is used");
  }
  return messages;
}

}  // namespace mmstats::collectd
