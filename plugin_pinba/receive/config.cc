#include "plugin_pinba/receive/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/failure.h"
#include "base/host_port.h"
#include "collect/settings.h"
#include "format/dimensions.h"
#include "pinba/sender.h"
#include "plugin_pinba/daemon/config_text.h"

namespace mmstats::receive {
namespace {

using daemon::Mistakes;
using daemon::TomlSection;

constexpr std::size_t kMostThreads = 64;
constexpr std::size_t kMostRows = 100'000;
constexpr std::size_t kMostReports = 100;
// Bytes, as mmstats::ModelOptions takes a prefix of labels.
constexpr std::size_t kMostReportLabel = 1024;
constexpr std::size_t kMostPrefix = 1000;
constexpr std::string_view kKeyWords =
    R"(keys are "~script", "~server", "~host", "~status", "~schema", "+TAG" of requests and "@TAG" of timers)";

// What a report counts: as the kinds of Pinba2's reports.
enum class ReportKind : std::uint8_t { kPacket, kRequest, kTimer };
constexpr std::array<Word<ReportKind>, 3> kKinds{
    {{"packet", ReportKind::kPacket}, {"request", ReportKind::kRequest}, {"timer", ReportKind::kTimer}}};

std::string in_quotes(std::string_view text) { return fmt::format("\"{}\"", printable(text)); }

Expected<double> read_seconds(const SettingValue& value) {
  const auto* seconds = std::get_if<double>(&value);
  if (seconds == nullptr || !std::isfinite(*seconds) || *seconds < 0)
    return takes("a number of seconds, from 0");
  return *seconds;
}

void read_count(TomlSection& section, std::string_view key, std::size_t least, std::size_t most,
                std::size_t& into) {
  const auto read = [&](const SettingValue& value) { return read_whole(value, least, most); };
  into = section.value(key, read).value_or(into);
}

void read_flag(TomlSection& section, std::string_view key, bool& into) {
  into =
      section.value(key, [](const SettingValue& value) { return mmstats::read_flag(value); }).value_or(into);
}

// A folder from the root.
void read_folder(TomlSection& section, std::string_view key, std::string& into) {
  std::optional<std::string> folder;
  section.text(key, folder);
  if (!folder) return;
  if (!folder->starts_with('/')) return section.refuse(key, "it takes the path of a folder, from the root");
  into = *folder;
}

// Files have such a label as it is.
bool is_label(const std::string& text) { return printable(text) == text; }

// Whether a report of that name would be one of those that the server makes, or what it says of itself.
bool is_of_server(std::string_view name) {
  const auto first = name.substr(0, name.find('.'));
  return first == kTimerReports || first == kStatsOfServer;
}

std::string dimension_of(const KeyPlace& place, std::string_view written) {
  return receive::dimension_of(place.tag.empty() ? written.substr(1) : std::string_view(place.tag));
}

class ReportReader {
 public:
  ReportReader(const toml::table& table, std::string place, const std::string& path, Mistakes& mistakes)
      : section_(table, std::move(place), path, mistakes) {}

  // `defaults`: what holds for all reports.
  ReportSpec read(const ReportsOptions& defaults) {
    ReportSpec report{
        .label = {}, .counted = Counted::kRequests, .keys = {}, .filter = {}, .max_rows = defaults.max_rows};
    std::optional<std::string> name;
    section_.text("name", name);
    if (!section_.has("name")) section_.mistake("name", "is missing: a report needs one");
    if (name && is_of_server(*name))
      section_.refuse("name", "it takes another one: this one is the server's own");
    report.label = fmt::format("{}.{}", defaults.prefix, name.value_or(""));
    if (name && (!is_label(*name) || report.label.size() > kMostReportLabel)) {
      section_.refuse(
          "name", fmt::format("it takes printable text, with the prefix up to {} bytes", kMostReportLabel));
    }
    section_.word("kind", kKinds, kind_);
    if (!section_.has("kind")) section_.mistake("kind", R"(is missing: "packet", "request" or "timer")");
    report.counted = kind_ == ReportKind::kTimer ? Counted::kTimers : Counted::kRequests;
    read_keys(report);
    read_filter(report.filter);
    read_count(section_, "max_rows", 1, kMostRows, report.max_rows);
    section_.finish();
    return report;
  }

 private:
  // None: the text is no key, or not one of this kind, which is told.
  std::optional<KeyPlace> read_place(std::string_view key, const std::string& text) {
    auto place = parse_key(text);
    if (!place) {
      section_.mistake(key, fmt::format("{} is not possible: {}", in_quotes(text), kKeyWords));
    } else if (place->source == KeySource::kTimerTag && kind_ != ReportKind::kTimer) {
      section_.mistake(key, fmt::format(R"({} is of timers, which needs kind = "timer")", in_quotes(text)));
      place.reset();
    }
    return place;
  }

  void read_keys(ReportSpec& report) {
    std::vector<std::string> keys;
    section_.texts("keys", keys);
    if (kind_ == ReportKind::kPacket && section_.has("keys"))
      return section_.mistake("keys", R"(a report with kind = "packet" is one row, and has none)");
    if (kind_ != ReportKind::kPacket && !section_.has("keys"))
      return section_.mistake("keys", fmt::format("is missing: {}", kKeyWords));
    if (keys.size() > kMaxDimensions)
      return section_.mistake("keys", fmt::format("there may be {} of them at most", kMaxDimensions));
    for (const std::string& text : keys) {
      auto place = read_place("keys", text);
      if (!place) continue;
      std::string dimension = dimension_of(*place, text);
      const auto taken = [&](const Key& key) { return key.dimension == dimension; };
      // A field of the request and a tag may have one name.
      if (std::ranges::any_of(report.keys, taken) && !place->tag.empty()) dimension.insert(0, "tag_");
      if (std::ranges::any_of(report.keys, taken)) {
        section_.mistake("keys",
                         fmt::format("{} would be the dimension {} once more", in_quotes(text), dimension));
        continue;
      }
      report.keys.push_back({std::move(*place), std::move(dimension)});
    }
    const auto of_timers = [](const std::string& key) { return key.starts_with('@'); };
    if (kind_ == ReportKind::kTimer && !keys.empty() && std::ranges::none_of(keys, of_timers))
      section_.mistake("keys", R"(one "@TAG" at least is needed with kind = "timer")");
  }

  void read_filter(Filter& filter) {
    section_.pairs("where", R"("~host" = "web.*")",
                   [&](const std::string& key, const SettingValue& value) -> Expected<void> {
                     auto place = parse_key(key);
                     if (!place) return takes(fmt::format("a pattern for a key: {}", kKeyWords));
                     if (place->source == KeySource::kTimerTag && kind_ != ReportKind::kTimer)
                       return takes(R"(keys of timers only with kind = "timer")");
                     const auto* pattern = std::get_if<std::string>(&value);
                     if (pattern == nullptr) return takes("a regular expression, as a text");
                     return filter.require(std::move(*place), *pattern);
                   });
    filter.min_time = section_.value("min_time", read_seconds);
    filter.max_time = section_.value("max_time", read_seconds);
    if (filter.min_time && filter.max_time && *filter.min_time > *filter.max_time)
      section_.mistake("max_time", "is less than min_time: no request would count");
  }

  TomlSection section_;
  ReportKind kind_ = ReportKind::kRequest;
};

void read_rewrite(TomlSection& section, Rewrites& rewrites) {
  std::optional<std::string> key;
  std::optional<std::string> match;
  section.text("key", key);
  section.text("match", match);
  auto to = section.value("to", [](const SettingValue& value) -> Expected<std::string> {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr ? Expected<std::string>(*text) : takes("a text, which may be empty");
  });
  for (const auto* name : {"key", "match", "to"}) {
    if (!section.has(name)) section.mistake(name, "is missing");
  }
  section.finish();
  if (!key || !match || !to) return;
  auto place = parse_key(*key);
  if (!place)
    return section.mistake("key", fmt::format("{} is not possible: {}", in_quotes(*key), kKeyWords));
  if (const auto added = rewrites.add(std::move(*place), *match, std::move(*to)); !added)
    section.mistake("match", added.error().message);
}

void read_networks(TomlSection& section, Networks& allowed) {
  std::vector<std::string> networks;
  section.texts("allow", networks);
  for (const std::string& network : networks) {
    if (const auto added = allowed.add(network); !added)
      section.mistake("allow",
                      fmt::format("{} is not possible, {}", in_quotes(network), added.error().message));
  }
}

void read_forward(TomlSection& section, std::vector<std::string>& forward) {
  std::vector<std::string> lists;
  section.texts("forward", lists, true);
  for (const auto& list : lists) {
    const auto servers = pinba::split_servers(list);
    forward.insert(forward.end(), servers.begin(), servers.end());
  }
  if (forward.empty()) return;
  const auto nowhere = [](const std::string&, const std::string&) { return std::vector<pinba::Address>(); };
  if (const auto tried = pinba::Sender::make({.servers = forward, .resolve = nowhere}); !tried)
    section.mistake("forward", tried.error().message);
}

bool has_label(const std::vector<ReportSpec>& reports, std::string_view label) {
  return std::ranges::any_of(reports, [&](const ReportSpec& report) { return report.label == label; });
}

void read_listen(TomlSection& section, std::vector<std::string>& listen) {
  section.texts("listen", listen);
  for (const std::string& where : listen) {
    if (const auto wrong = wrong_listen(where); !wrong.empty()) section.mistake("listen", wrong);
  }
}

void read_fixed(TomlSection& section, FixedConfig& fixed) {
  read_listen(section, fixed.listen);
  read_count(section, "threads", 1, kMostThreads, fixed.threads);
  read_count(section, "receive_buffer", 4096, std::numeric_limits<int>::max() / 2, fixed.receive_buffer);
  read_folder(section, "path", fixed.path);
  read_folder(section, "state_folder", fixed.state_folder);
  read_count(section, "slow_bytes", 65'536, std::size_t{1} << 30U, fixed.slow_bytes);
  std::optional<std::string> prefix;
  section.text("prefix", prefix);
  fixed.prefix = prefix.value_or(fixed.prefix);
  if (!is_label(fixed.prefix) || fixed.prefix.size() > kMostPrefix)
    section.refuse("prefix", fmt::format("it takes up to {} bytes of printable text", kMostPrefix));
}

}  // namespace

std::string wrong_listen(const std::string& where) {
  const auto place = parse_listen(where, pinba::kDefaultPort);
  return place ? std::string() : place.error().message;
}

std::string forwards_to_itself(const Config& config) {
  constexpr std::array<std::string_view, 3> kAnywhere{"", "0.0.0.0", "::"};
  constexpr std::array<std::string_view, 3> kLoopback{"127.0.0.1", "::1", "localhost"};
  const auto is_one_of = [](const auto& hosts, std::string_view host) {
    return std::ranges::find(hosts, host) != hosts.end();
  };
  const auto meets = [&](const std::string& listen, const std::string& server) {
    const auto here = parse_host_port(listen);
    const auto there = parse_host_port(server);
    return here && there &&
           here->port.value_or(pinba::kDefaultPort) == there->port.value_or(pinba::kDefaultPort) &&
           (here->host == there->host ||
            (is_one_of(kAnywhere, here->host) && is_one_of(kLoopback, there->host)));
  };
  for (const std::string& server : config.forward) {
    const auto is_it = [&](const std::string& listen) { return meets(listen, server); };
    if (std::ranges::any_of(config.fixed.listen, is_it)) return server;
  }
  return {};
}

tl::expected<Config, Mistakes> read_config(std::string_view toml, const std::string& path) {
  const auto table = daemon::parse_toml(toml, path);
  if (!table) return tl::unexpected(table.error());
  Mistakes mistakes;
  Config config;
  TomlSection section(*table, "", path, mistakes);
  read_fixed(section, config.fixed);
  read_networks(section, config.allowed);
  read_forward(section, config.forward);
  ReportsOptions& reports = config.reports;
  reports.prefix = config.fixed.prefix;
  read_count(section, "max_rows", 1, kMostRows, reports.max_rows);
  read_count(section, "max_all_rows", 1, kMostRows, reports.max_all_rows);
  read_count(section, "max_tag_sets", 0, 1000, reports.max_tag_sets);
  read_flag(section, "timers_by_tags", reports.timers_by_tags);
  bool defaults = true;
  read_flag(section, "default_reports", defaults);
  auto expire = static_cast<std::size_t>(config.expire.count());
  read_count(section, "expire", 2, std::size_t{100} * 365 * 86'400, expire);
  config.expire = std::chrono::seconds(expire);
  config.slow = section.value("slow", read_seconds);
  section.each("rewrite", [&](const toml::table& rewrite) {
    TomlSection one(rewrite, "[[rewrite]], ", path, mistakes);
    read_rewrite(one, config.rewrites);
  });
  section.each("report", [&](const toml::table& table_of_report) {
    const auto* name = table_of_report.get_as<std::string>("name");
    const std::string place =
        name != nullptr ? fmt::format("[[report]] {}, ", in_quotes(name->get())) : "[[report]], ";
    auto report = ReportReader(table_of_report, place, path, mistakes).read(reports);
    // Those without a name are not the same.
    if (name != nullptr && has_label(reports.reports, report.label)) {
      mistakes.push_back(fmt::format("{}:{}: {}name: there is another report with this name", printable(path),
                                     table_of_report.source().begin.line, place));
    }
    reports.reports.push_back(std::move(report));
  });
  if (reports.reports.size() > kMostReports)
    section.mistake("report", fmt::format("there may be {} of them at most", kMostReports));
  // One of the configuration takes the place of a default one with its name.
  if (defaults) {
    for (ReportSpec& report : default_reports(reports.prefix, reports.max_rows)) {
      if (!has_label(reports.reports, report.label)) reports.reports.push_back(std::move(report));
    }
  }
  section.finish();
  if (!mistakes.empty()) return tl::unexpected(std::move(mistakes));
  return config;
}

tl::expected<Config, Mistakes> load_config(const std::string& path) {
  const auto text = daemon::read_config_text(path);
  if (!text) return tl::unexpected(text.error());
  return read_config(*text, path);
}

}  // namespace mmstats::receive
