#include "plugin_pinba/forward/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "collect/label_pattern.h"
#include "collect/put_values.h"
#include "collect/settings.h"
#include "pinba/wire.h"
#include "plugin_pinba/daemon/config_text.h"
#include "plugin_pinba/forward/outbox.h"

namespace mmstats::forward {
namespace {

using daemon::TomlSection;
using Spread = pinba::SenderOptions::Spread;

constexpr std::array<Word<ServerKind>, 4> kServerKinds{{{"pinba2", ServerKind::kPinba2},
                                                        {"classic", ServerKind::kClassic},
                                                        {"original-classic", ServerKind::kOriginalClassic},
                                                        {"collectd", ServerKind::kCollectd}}};
constexpr std::array<Word<Spread>, 2> kSpreads{{{"all", Spread::kAll}, {"by-script", Spread::kByScript}}};
constexpr std::array<Word<As>, 3> kAs{
    {{"timer", As::kTimer}, {"request_field", As::kRequestField}, {"ignore", As::kIgnore}}};
constexpr std::array<Word<RequestField>, kRequestFields> kFields{{
    {"document_size", RequestField::kDocumentSize},
    {"memory_peak", RequestField::kMemoryPeak},
    {"memory_footprint", RequestField::kMemoryFootprint},
    {"request_time", RequestField::kRequestTime},
    {"ru_utime", RequestField::kRuUtime},
    {"ru_stime", RequestField::kRuStime},
}};

// What a metric's labels match.
struct Matched {
  const re2::RE2& pattern;
  bool of_family;
};

// A metric's texts may ask for groups of its pattern, and for dimensions; a group of files has none.
void check_text(TomlSection& section, const Matched* matched, std::string_view key, const std::string& text) {
  if (matched == nullptr) return;
  if (const auto fits = check_values(matched->pattern, matched->of_family, text); !fits) {
    section.mistake(key, fmt::format(R"("{}" is not possible with this pattern: {})", printable(text),
                                     fits.error().message));
  }
}

Expected<std::string> read_status(const SettingValue& value, bool with_groups) {
  if (const auto number = read_whole(value, 0, pinba::wire::kMaxStatus)) return fmt::to_string(*number);
  const auto* text = std::get_if<std::string>(&value);
  if (with_groups && text != nullptr && !text->empty()) return *text;
  return takes(fmt::format(
      "a whole number from 0 to {}{}", pinba::wire::kMaxStatus,
      with_groups ? R"(, or a text like "\\1" for a group of the pattern or "%{code}" for a dimension)"
                  : ""));
}

Naming read_naming(TomlSection& section, const Matched* matched) {
  Naming naming;
  const auto read_text = [&](std::string_view key, std::optional<std::string>& into) {
    section.text(key, into);
    if (into) check_text(section, matched, key, *into);
  };
  read_text("hostname", naming.hostname);
  read_text("server_name", naming.server_name);
  read_text("script_name", naming.script_name);
  read_text("schema", naming.schema);
  naming.status = section.value(
      "status", [&](const SettingValue& value) { return read_status(value, matched != nullptr); });
  if (naming.status) check_text(section, matched, "status", *naming.status);
  section.tags("request_tags", naming.request_tags, false);
  for (const auto& [name, value] : naming.request_tags) check_text(section, matched, "request_tags", value);
  return naming;
}

// What any text of the metric asks for.
void set_asked(const MetricConfig& metric, Rule& rule) {
  const auto add_to = [](auto& all, auto&& more) {
    for (auto& one : more) {
      if (std::ranges::find(all, one) == all.end()) all.push_back(std::move(one));
    }
  };
  const auto add = [&](const std::string& text) {
    add_to(rule.asks, asked_dimensions(text));
    add_to(rule.asks_groups, asked_groups(text));
  };
  const Naming& request = metric.request;
  for (const auto* text :
       {&request.hostname, &request.server_name, &request.script_name, &request.schema, &request.status}) {
    if (*text) add(**text);
  }
  for (const auto* tags : {&request.request_tags, &metric.tags}) {
    for (const auto& [name, text] : *tags) add(text);
  }
  add(metric.hits);
}

class GroupReader {
 public:
  GroupReader(const toml::table& table, std::string place, const std::string& path, Mistakes& mistakes)
      : table_(table), path_(path), mistakes_(mistakes), place_(std::move(place)) {}

  GroupConfig read(const std::vector<std::string>& default_globs) {
    TomlSection section(table_, place_ + ", ", path_, mistakes_);
    std::optional<std::string> name;
    section.text("name", name);
    if (!section.has("name")) section.mistake("name", "is missing: a group needs one");
    group_.name = name.value_or("");

    FilesSettings files;
    section.settings(files_settings(), files);
    section.settings(files_lists(), files);
    std::vector<std::string> globs;
    section.texts("files", globs);
    files.watch.tell_missing_folders = !globs.empty();
    for (const auto& glob : globs) {
      if (const auto good = read_globs(glob)) {
        files.watch.globs.insert(files.watch.globs.end(), good->begin(), good->end());
      } else {
        section.mistake("files",
                        fmt::format("\"{}\" is not possible, {}", printable(glob), good.error().message));
      }
    }
    if (globs.empty()) files.watch.globs = default_globs;
    note("{} {} {} {} {} {}\n", fmt::join(files.watch.globs, "\n"), static_cast<int>(files.watch.stale),
         files.watch.discovery.max_files, files.watch.fold.max_file_size, files.watch.fold.max_series,
         files.watch.fold.max_memory);
    note("{} {}\n", files.strip_prefix, to_string(files.aggregate));
    note_dimensions(files.keep, files.drop);
    drops_ = files.keep || files.drop;
    set_rules(group_.rules, files);
    group_.watch = std::move(files.watch);
    read_patterns(section, "include", &Rules::include);
    read_patterns(section, "ignore", &Rules::ignore);

    section.tags("tags", group_.tags, false);
    group_.request = read_naming(section, nullptr);
    section.each("metric", [&](const toml::table& metric) { read_metric(metric); });
    section.finish();
    return std::move(group_);
  }

 private:
  template <class... Parts>
  void note(fmt::format_string<Parts...> format, Parts&&... parts) {
    fmt::format_to(std::back_inserter(group_.ledger), format, std::forward<Parts>(parts)...);
  }

  void read_patterns(TomlSection& section, std::string_view key,
                     Expected<void> (Rules::*add)(const std::string&)) {
    std::vector<std::string> patterns;
    section.texts(key, patterns);
    for (const auto& pattern : patterns) {
      if (const auto added = (group_.rules.*add)(pattern); !added)
        section.mistake(key, added.error().message);
    }
    note("{} {}\n", key, patterns);
  }

  void note_dimensions(const std::optional<std::vector<std::string>>& keep,
                       const std::optional<std::vector<std::string>>& drop) {
    if (keep) note("keep {}\n", *keep);
    if (drop) note("drop {}\n", *drop);
  }

  void read_metric(const toml::table& table) {
    const bool of_family = table.contains("family");
    const std::string_view key = of_family ? "family" : "match";
    const auto* match = table.get_as<std::string>(key);
    const std::string shown = match != nullptr ? fmt::format(" \"{}\"", printable(match->get())) : "";
    TomlSection section(table, fmt::format("{}, [[group.metric]]{}, ", place_, shown), path_, mistakes_);
    std::optional<std::string> text;
    section.text("match", text);
    if (of_family && section.has("match"))
      return section.mistake("family", "takes the place of match: give one of the two");
    section.text("family", text);
    if (!section.has(key)) section.mistake("match", "is missing: which labels is this for?");
    if (!text) return;
    auto pattern = compile_label_pattern(*text);
    if (!pattern) {
      return section.mistake(
          key, fmt::format("\"{}\" is not possible: {}", printable(*text), pattern.error().message));
    }
    if (!of_family) {
      for (const auto& why : no_dimensions(**pattern)) group_.warnings.push_back(section.line(key, why));
    }
    Rule rule;
    (of_family ? rule.family : rule.pattern) = *text;
    rule.keep_groups = true;
    section.settings(rule_settings(), rule);
    section.settings(rule_lists(), rule);
    section.pairs("where", R"(method = "GET|HEAD")", [&](std::string name, const SettingValue& value) {
      return read_where(std::move(name), value).map([&](DimensionPattern&& where) {
        rule.where.push_back(std::move(where));
      });
    });
    if (const auto fits = check_aggregate(rule); !fits) section.mistake("aggregate", fits.error().message);
    MetricConfig metric;
    section.word("as", kAs, metric.as);
    metric.as_given = section.has("as");
    rule.ignore = rule.ignore || metric.as == As::kIgnore;
    read_field(section, metric);
    const Matched matched{.pattern = **pattern, .of_family = of_family};
    read_timer(section, matched, metric);
    metric.request = read_naming(section, &matched);
    section.finish();
    note("{} {} {} {} {}\n", rule.pattern, rule.kind ? to_string(*rule.kind) : "",
         rule.aggregate ? to_string(*rule.aggregate) : "", rule.scale.value_or(1.0), rule.ignore);
    if (of_family) note("family {}\n", rule.family);
    for (const auto& [dimension, where] : rule.where) note("where {} {}\n", dimension, where);
    note_dimensions(rule.keep, rule.drop);
    set_asked(metric, rule);
    if (drops_ || rule.keep || rule.drop) note("asks {} {}\n", rule.asks, rule.asks_groups);
    // What may be wrong with it was said above.
    static_cast<void>(group_.rules.add(std::move(rule), std::move(*pattern)));
    group_.metrics.push_back(std::move(metric));
  }

  static void read_field(TomlSection& section, MetricConfig& metric) {
    section.word("field", kFields, metric.field);
    if (metric.as == As::kRequestField && !section.has("field")) {
      section.mistake("field", R"(is missing: as = "request_field" needs one)");
    } else if (metric.as != As::kRequestField && section.has("field")) {
      section.mistake("field", R"(is for as = "request_field")");
    }
  }

  static void read_timer(TomlSection& section, const Matched& matched, MetricConfig& metric) {
    std::optional<std::string> hits;
    section.text("hits", hits);
    metric.hits = hits.value_or("");
    section.tags("tags", metric.tags, true);
    for (const auto* key : {"hits", "tags"}) {
      if (metric.as != As::kTimer && section.has(key)) section.mistake(key, R"(is for as = "timer")");
    }
    check_text(section, &matched, "hits", metric.hits);
    for (const auto& [name, value] : metric.tags) check_text(section, &matched, "tags", value);
  }

  const toml::table& table_;
  const std::string& path_;
  Mistakes& mistakes_;
  std::string place_;
  GroupConfig group_;
  bool drops_ = false;  // dimensions, unless a metric says otherwise
};

void read_server(TomlSection& section, Config& config) {
  std::vector<std::string> lists;
  section.texts("server", lists);
  if (!lists.empty()) config.servers.clear();
  for (const auto& list : lists) {
    const auto servers = pinba::split_servers(list);
    config.servers.insert(config.servers.end(), servers.begin(), servers.end());
  }
  section.word("server_kind", kServerKinds, config.server_kind);
  section.word("spread", kSpreads, config.spread);
  const auto read_datagram = [](const SettingValue& value) {
    return read_whole(value, pinba::kMinDatagram, pinba::kMaxDatagram);
  };
  config.max_datagram = section.value("max_datagram", read_datagram).value_or(config.max_datagram);
  section.text("hostname", config.hostname);
  if (const auto seconds = section.value("interval", read_interval)) config.interval = interval_of(*seconds);
  if (const auto problem = server_problem(config.servers); !problem.empty())
    section.mistake("server", problem);
}

}  // namespace

std::string server_problem(const std::vector<std::string>& servers) {
  const auto nowhere = [](const std::string&, const std::string&) { return std::vector<pinba::Address>(); };
  const auto tried = pinba::Sender::make({.servers = servers, .resolve = nowhere});
  return tried ? "" : tried.error().message;
}

std::chrono::milliseconds interval_of(double seconds) {
  return std::chrono::milliseconds(std::llround(seconds * 1000));
}

tl::expected<Config, Mistakes> read_config(std::string_view toml, const std::string& path,
                                           const std::vector<std::string>& default_globs) {
  const auto table = daemon::parse_toml(toml, path);
  if (!table) return tl::unexpected(table.error());
  Mistakes mistakes;
  Config config;
  TomlSection section(*table, "", path, mistakes);
  read_server(section, config);
  section.each("group", [&](const toml::table& group) {
    const auto* name = group.get_as<std::string>("name");
    const std::string place =
        name != nullptr ? fmt::format("[[group]] \"{}\"", printable(name->get())) : "[[group]]";
    auto read = GroupReader(group, place, path, mistakes).read(default_globs);
    const bool twice = std::ranges::any_of(config.groups, [&](const GroupConfig& other) {
      return !read.name.empty() && other.name == read.name;
    });
    if (twice) {
      mistakes.push_back(fmt::format("{}:{}: {}, name: there is another group with this name",
                                     printable(path), group.source().begin.line, place));
    }
    config.groups.push_back(std::move(read));
  });
  section.finish();
  if (!mistakes.empty()) return tl::unexpected(std::move(mistakes));
  if (config.groups.empty()) {
    // What a Pinba server publishes on this machine would come back to it as timers, which it publishes, too:
    // its reports would grow with each interval.
    const toml::table all{{"name", kDefaultGroup}, {"ignore", R"(pinba[.].*)"}};
    config.groups.push_back(GroupReader(all, "", path, mistakes).read(default_globs));
  }
  return config;
}

tl::expected<Config, Mistakes> load_config(const std::string& path,
                                           const std::vector<std::string>& default_globs) {
  const auto text = daemon::read_config_text(path);
  if (!text) return tl::unexpected(text.error());
  return read_config(*text, path, default_globs);
}

pinba::EncodeOptions encode_options(const Config& config) {
  // collectd counts datagrams as requests and reads no timers: there a request is one datagram.
  return {.max_bytes = config.max_datagram,
          .continue_timers = config.server_kind != ServerKind::kCollectd,
          .classic = config.server_kind == ServerKind::kClassic           ? pinba::ClassicEngine::kMaintained
                     : config.server_kind == ServerKind::kOriginalClassic ? pinba::ClassicEngine::kOriginal
                                                                          : pinba::ClassicEngine::kNone,
          .drop_unused_texts = true};
}

pinba::SenderOptions sender_options(const Config& config) {
  // The outbox sends in bursts, of which two may come close together. What waited for a name comes at once.
  return {.servers = config.servers, .spread = config.spread, .burst_packets = 2 * Outbox::kBurst};
}

}  // namespace mmstats::forward
