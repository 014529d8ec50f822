#include "plugin_pinba/forward/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "collect/label_pattern.h"
#include "collect/settings.h"
#include "pinba/wire.h"
#include "plugin_pinba/forward/outbox.h"
#include "plugin_pinba/forward/toml_section.h"

namespace mmstats::forward {
namespace {

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

// A metric's texts may ask for groups of its pattern; a group of files has none.
void check_text(TomlSection& section, const re2::RE2* pattern, std::string_view key,
                const std::string& text) {
  if (pattern == nullptr) return;
  if (const auto fits = check_groups(*pattern, text); !fits) {
    section.mistake(key, fmt::format(R"("{}" is not possible with this pattern: {})", printable(text),
                                     fits.error().message));
  }
}

Expected<std::string> read_status(const SettingValue& value, bool with_groups) {
  if (const auto number = read_whole(value, 0, pinba::wire::kMaxStatus)) return fmt::to_string(*number);
  const auto* text = std::get_if<std::string>(&value);
  if (with_groups && text != nullptr && !text->empty()) return *text;
  return takes(fmt::format("a whole number from 0 to {}{}", pinba::wire::kMaxStatus,
                           with_groups ? R"(, or a text like "\\1" for a group of the pattern)" : ""));
}

Naming read_naming(TomlSection& section, const re2::RE2* pattern) {
  Naming naming;
  const auto read_text = [&](std::string_view key, std::optional<std::string>& into) {
    section.text(key, into);
    if (into) check_text(section, pattern, key, *into);
  };
  read_text("hostname", naming.hostname);
  read_text("server_name", naming.server_name);
  read_text("script_name", naming.script_name);
  read_text("schema", naming.schema);
  naming.status = section.value(
      "status", [&](const SettingValue& value) { return read_status(value, pattern != nullptr); });
  if (naming.status) check_text(section, pattern, "status", *naming.status);
  section.tags("request_tags", naming.request_tags, false);
  for (const auto& [name, value] : naming.request_tags) check_text(section, pattern, "request_tags", value);
  return naming;
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
    group_.watch = std::move(files.watch);
    group_.rules.strip_prefix(std::move(files.strip_prefix));
    group_.rules.aggregate(files.aggregate);
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

  void read_metric(const toml::table& table) {
    const auto* match = table.get_as<std::string>("match");
    const std::string shown = match != nullptr ? fmt::format(" \"{}\"", printable(match->get())) : "";
    TomlSection section(table, fmt::format("{}, [[group.metric]]{}, ", place_, shown), path_, mistakes_);
    std::optional<std::string> text;
    section.text("match", text);
    if (!section.has("match")) section.mistake("match", "is missing: which labels is this for?");
    if (!text) return;
    auto pattern = compile_label_pattern(*text);
    if (!pattern) {
      return section.mistake(
          "match", fmt::format("\"{}\" is not possible: {}", printable(*text), pattern.error().message));
    }
    Rule rule;
    rule.pattern = *text;
    rule.keep_groups = true;
    section.settings(rule_settings(), rule);
    if (const auto fits = check_aggregate(rule); !fits) section.mistake("aggregate", fits.error().message);
    MetricConfig metric;
    section.word("as", kAs, metric.as);
    metric.as_given = section.has("as");
    rule.ignore = rule.ignore || metric.as == As::kIgnore;
    read_field(section, metric);
    read_timer(section, **pattern, metric);
    metric.request = read_naming(section, pattern->get());
    section.finish();
    note("{} {} {} {} {}\n", rule.pattern, rule.kind ? to_string(*rule.kind) : "",
         rule.aggregate ? to_string(*rule.aggregate) : "", rule.scale, rule.ignore);
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

  static void read_timer(TomlSection& section, const re2::RE2& pattern, MetricConfig& metric) {
    std::optional<std::string> hits;
    section.text("hits", hits);
    metric.hits = hits.value_or("");
    section.tags("tags", metric.tags, true);
    for (const auto* key : {"hits", "tags"}) {
      if (metric.as != As::kTimer && section.has(key)) section.mistake(key, R"(is for as = "timer")");
    }
    check_text(section, &pattern, "hits", metric.hits);
    for (const auto& [name, value] : metric.tags) check_text(section, &pattern, "tags", value);
  }

  const toml::table& table_;
  const std::string& path_;
  Mistakes& mistakes_;
  std::string place_;
  GroupConfig group_;
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
  Mistakes mistakes;
  toml::table table;
  try {
    table = toml::parse(toml, std::string_view(path));
  } catch (const toml::parse_error& error) {
    mistakes.push_back(fmt::format("{}:{}: this is not TOML: {}", printable(path), error.source().begin.line,
                                   printable(error.description())));
    return tl::unexpected(std::move(mistakes));
  }
  Config config;
  TomlSection section(table, "", path, mistakes);
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
    const toml::table all{{"name", kDefaultGroup}};
    config.groups.push_back(GroupReader(all, "", path, mistakes).read(default_globs));
  }
  return config;
}

pinba::EncodeOptions encode_options(const Config& config) {
  // collectd counts datagrams as requests and reads no timers: there a request is one datagram.
  return {.max_bytes = config.max_datagram,
          .continue_timers = config.server_kind != ServerKind::kCollectd,
          .classic = config.server_kind == ServerKind::kClassic           ? pinba::ClassicEngine::kMaintained
                     : config.server_kind == ServerKind::kOriginalClassic ? pinba::ClassicEngine::kOriginal
                                                                          : pinba::ClassicEngine::kNone};
}

pinba::SenderOptions sender_options(const Config& config) {
  // The outbox sends in bursts, of which two may come close together. What waited for a name comes at once.
  return {.servers = config.servers, .spread = config.spread, .burst_packets = 2 * Outbox::kBurst};
}

}  // namespace mmstats::forward
