#include "plugin_pinba/forward/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "collect/label_pattern.h"

namespace mmstats::forward {
namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{4} << 20U;
constexpr std::int64_t kMaxCount = 1'000'000'000;
constexpr std::int64_t kMaxFileSize = std::int64_t{1} << 30U;
constexpr std::int64_t kMaxStatus = 65'535;  // what the classic engine holds
constexpr std::size_t kMaxTags = 16;         // of one timer or request, so that they fit in any datagram
constexpr std::size_t kMaxTagName = 64;      // bytes

template <class T>
struct Word {
  std::string_view text;
  T value;
};

constexpr std::array<Word<ServerKind>, 3> kServerKinds{{{"pinba2", ServerKind::kPinba2},
                                                        {"classic", ServerKind::kClassic},
                                                        {"collectd", ServerKind::kCollectd}}};
constexpr std::array<Word<pinba::SenderOptions::Spread>, 2> kSpreads{
    {{"all", pinba::SenderOptions::Spread::kAll}, {"by-script", pinba::SenderOptions::Spread::kByScript}}};
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
constexpr std::array<Word<Stale>, 2> kStale{{{"keep", Stale::kKeep}, {"remove", Stale::kRemove}}};
constexpr std::array<Word<Kind>, 4> kKinds{{{"counter", Kind::kCounter},
                                            {"gauge", Kind::kGauge},
                                            {"timestamp", Kind::kTimestamp},
                                            {"state", Kind::kState}}};
constexpr std::array<Word<Aggregate>, 8> kAggregates{{{"default", Aggregate::kByKind},
                                                      {"sum", Aggregate::kSum},
                                                      {"avg", Aggregate::kAvg},
                                                      {"min", Aggregate::kMin},
                                                      {"max", Aggregate::kMax},
                                                      {"nonzero-avg", Aggregate::kNonzeroAvg},
                                                      {"nonzero-min", Aggregate::kNonzeroMin},
                                                      {"none", Aggregate::kNone}}};

std::string show(const toml::node& node) {
  if (const auto* text = node.as_string()) return fmt::format("\"{}\"", printable(text->get()));
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_array()) return "an array";
  return node.is_table() ? "a table" : "a date or time";
}

std::string join(std::span<const std::string_view> words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

// One table of the file. Asking for a key makes it known; finish() names those that nobody asked for.
class Section {
 public:
  Section(const toml::table& table, std::string place, const std::string& path, Mistakes& mistakes)
      : table_(table), place_(std::move(place)), path_(path), mistakes_(mistakes) {}
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  const toml::node* find(std::string_view key) {
    known_.push_back(key);
    return table_.get(key);
  }

  // What is wrong with the value of `key`, or with the section where `key` is missing.
  void mistake(std::string_view key, std::string_view text) {
    const toml::node* node = table_.get(key);
    const auto line = (node != nullptr ? node->source() : table_.source()).begin.line;
    mistakes_.push_back(fmt::format("{}:{}: {}{}: {}", printable(path_), line, place_, key, text));
  }
  void takes(std::string_view key, std::string_view allowed) {
    mistake(key, fmt::format("{} is not possible, it takes {}", show(*table_.get(key)), allowed));
  }

  void text(std::string_view key, std::optional<std::string>& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_string();
    if (value == nullptr || !is_text(value->get())) return takes(key, kTextAllowed);
    into = value->get();
  }

  // One text or an array of them.
  bool texts(std::string_view key, std::vector<std::string>& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return false;
    std::vector<std::string> values;
    bool good = true;
    const auto take = [&](const toml::node& one) {
      const auto* value = one.as_string();
      good = good && value != nullptr && is_text(value->get());
      if (good) values.push_back(value->get());
    };
    if (const auto* array = node->as_array()) {
      good = !array->empty();
      for (const auto& one : *array) take(one);
    } else {
      take(*node);
    }
    if (!good) {
      takes(key, "a text, or an array of texts, that are not empty");
      return false;
    }
    into = std::move(values);
    return true;
  }

  void tags(std::string_view key, TagTexts& into, bool empty_allowed) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* table = node->as_table();
    const std::string allowed = fmt::format(
        "a table like {{ name = \"value\" }} of {} tags at most, names of {} bytes", kMaxTags, kMaxTagName);
    if (table == nullptr || table->size() > kMaxTags) return takes(key, allowed);
    for (const auto& [name, value] : *table) {
      const auto* text = value.as_string();
      const bool empty = text != nullptr && text->get().empty() && empty_allowed;
      if (!is_text(name.str()) || name.str().size() > kMaxTagName || text == nullptr ||
          !(empty || is_text(text->get()))) {
        mistake(key, fmt::format("{} = {} is not possible, it takes {}", printable(name.str()), show(value),
                                 allowed));
        continue;
      }
      into.emplace_back(name.str(), text->get());
    }
  }

  template <class T, std::size_t kSize>
  void word(std::string_view key, const std::array<Word<T>, kSize>& words, auto&& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_string();
    std::string allowed;
    for (const auto& word : words) {
      if (value != nullptr && value->get() == word.text) {
        into = word.value;
        return;
      }
      allowed += fmt::format("{}\"{}\"", allowed.empty() ? "one of " : ", ", word.text);
    }
    takes(key, allowed);
  }

  void whole(std::string_view key, std::int64_t least, std::int64_t most, auto&& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* value = node->as_integer();
    if (value == nullptr || value->get() < least || value->get() > most) {
      return takes(key, fmt::format("a whole number from {} to {}", least, most));
    }
    into = static_cast<std::size_t>(value->get());
  }

  std::optional<double> number(std::string_view key, std::string_view allowed, auto&& good) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    const auto value = node->value<double>();  // of whole numbers, too
    if (!node->is_number() || !value || !good(*value)) {
      takes(key, allowed);
      return std::nullopt;
    }
    return value;
  }

  // [[PLACE.key]]: each table in turn.
  void each(std::string_view key, auto&& visit) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* array = node->as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>()) {
      return takes(key, fmt::format("sections, each headed [[{}]]", key));
    }
    for (const auto& one : *array) visit(*one.as_table());
  }

  void finish() {
    std::ranges::sort(known_);
    for (const auto& [key, value] : table_) {
      if (std::ranges::binary_search(known_, key.str())) continue;
      mistakes_.push_back(fmt::format("{}:{}: {}{}: there is no such key here; there are {}",
                                      printable(path_), key.source().begin.line, place_, printable(key.str()),
                                      join(known_)));
    }
  }

 private:
  static constexpr std::string_view kTextAllowed = "a text that is not empty";
  static bool is_text(std::string_view text) {
    return !text.empty() && text.find('\0') == std::string_view::npos;
  }

  const toml::table& table_;
  std::string place_;
  const std::string& path_;
  Mistakes& mistakes_;
  std::vector<std::string_view> known_;
};

// What `pattern`, of a metric, allows of texts with captures; without a pattern there are none.
class Templates {
 public:
  explicit Templates(const re2::RE2* pattern) : pattern_(pattern) {}
  // What is wrong with the text, if anything.
  [[nodiscard]] std::string problem(const std::string& text) const {
    std::string why;
    if (pattern_ == nullptr || pattern_->CheckRewriteString(text, &why)) return {};
    return fmt::format(R"("{}" is not possible with this pattern: {})", printable(text), why);
  }

 private:
  const re2::RE2* pattern_;
};

void read_status(Section& section, const re2::RE2* pattern, Naming& naming) {
  const toml::node* node = section.find("status");
  if (node == nullptr) return;
  const auto* whole = node->as_integer();
  if (whole != nullptr && whole->get() >= 0 && whole->get() <= kMaxStatus) {
    naming.status = fmt::to_string(whole->get());
    return;
  }
  const auto* text = node->as_string();
  if (pattern != nullptr && text != nullptr && !text->get().empty()) {
    naming.status = text->get();
    return;
  }
  section.takes("status", fmt::format("a whole number from 0 to {}{}", kMaxStatus,
                                      pattern == nullptr ? "" : R"(, or a text like "\\1" for a capture)"));
}

Naming read_naming(Section& section, const re2::RE2* pattern) {
  Naming naming;
  section.text("hostname", naming.hostname);
  section.text("server_name", naming.server_name);
  section.text("script_name", naming.script_name);
  section.text("schema", naming.schema);
  read_status(section, pattern, naming);
  section.tags("request_tags", naming.request_tags, false);

  const Templates templates(pattern);
  const auto check = [&](std::string_view key, const std::optional<std::string>& text) {
    if (!text) return;
    if (const auto problem = templates.problem(*text); !problem.empty()) section.mistake(key, problem);
  };
  check("hostname", naming.hostname);
  check("server_name", naming.server_name);
  check("script_name", naming.script_name);
  check("schema", naming.schema);
  check("status", naming.status);
  for (const auto& [name, value] : naming.request_tags) check("request_tags", value);
  return naming;
}

class GroupReader {
 public:
  GroupReader(const toml::table& table, std::string place, const std::string& path, Mistakes& mistakes)
      : table_(table), path_(path), mistakes_(mistakes), place_(std::move(place)) {}

  GroupConfig read(const std::vector<std::string>& default_globs) {
    Section section(table_, place_ + ", ", path_, mistakes_);
    std::optional<std::string> name;
    section.text("name", name);
    if (!name && table_.get("name") == nullptr) section.mistake("name", "is missing: a group needs one");
    group_.name = name.value_or("");

    auto& watch = group_.watch;
    watch.globs = default_globs;
    section.texts("files", watch.globs);
    for (const auto& glob : watch.globs) {
      if (glob.empty() || glob[0] != '/') {
        section.mistake("files",
                        fmt::format("\"{}\" is not possible, a path begins with /", printable(glob)));
      }
    }
    section.word("stale", kStale, watch.stale);
    section.whole("max_files", 1, kMaxCount, watch.discovery.max_files);
    section.whole("max_file_size", 1, kMaxFileSize, watch.fold.max_file_size);
    section.whole("max_series", 1, kMaxCount, watch.fold.max_series);
    note("{} {} {} {} {}\n", fmt::join(watch.globs, "\n"), static_cast<int>(watch.stale),
         watch.discovery.max_files, watch.fold.max_file_size, watch.fold.max_series);

    std::optional<std::string> prefix;
    section.text("strip_prefix", prefix);
    if (prefix) group_.rules.strip_prefix(*prefix);
    Aggregate aggregate = Aggregate::kByKind;
    section.word("aggregate", kAggregates, aggregate);
    group_.rules.aggregate(aggregate);
    note("{} {}\n", prefix.value_or(""), to_string(aggregate));
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

  void read_patterns(Section& section, std::string_view key,
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
    Section section(table, fmt::format("{}, [[group.metric]]{}, ", place_, shown), path_, mistakes_);
    std::optional<std::string> text;
    section.text("match", text);
    if (!text) {
      if (table.get("match") == nullptr) section.mistake("match", "is missing: which labels is this for?");
      return;
    }
    MetricConfig metric;
    auto pattern = compile_label_pattern(*text);
    if (!pattern) {
      return section.mistake(
          "match", fmt::format("\"{}\" is not possible: {}", printable(*text), pattern.error().message));
    }
    metric.pattern = std::move(*pattern);
    Rule rule;
    rule.pattern = *text;
    rule.sink_type = fmt::to_string(group_.metrics.size());
    section.word("kind", kKinds, rule.kind);
    section.word("aggregate", kAggregates, rule.aggregate);
    const auto scale =
        section.number("scale", "a number above 0", [](double n) { return std::isfinite(n) && n > 0; });
    rule.scale = scale.value_or(1);
    section.word("as", kAs, metric.as);
    rule.ignore = metric.as == As::kIgnore;
    note("{} {} {} {} {}\n", rule.pattern, rule.kind ? to_string(*rule.kind) : "",
         rule.aggregate ? to_string(*rule.aggregate) : "", rule.scale, rule.ignore);
    if (const auto added = group_.rules.add(std::move(rule)); !added) {
      section.mistake("aggregate", added.error().message);
    }
    read_field(section, table, metric);
    read_timer(section, table, metric);
    metric.request = read_naming(section, metric.pattern.get());
    section.finish();
    group_.metrics.push_back(std::move(metric));
  }

  static void read_field(Section& section, const toml::table& table, MetricConfig& metric) {
    section.word("field", kFields, metric.field);
    const bool given = table.get("field") != nullptr;
    if (metric.as == As::kRequestField && !given) {
      section.mistake("field", R"(is missing: as = "request_field" needs one)");
    } else if (metric.as != As::kRequestField && given) {
      section.mistake("field", R"(is for as = "request_field")");
    }
  }

  static void read_timer(Section& section, const toml::table& table, MetricConfig& metric) {
    std::optional<std::string> hits;
    section.text("hits", hits);
    metric.hits = hits.value_or("");
    section.tags("tags", metric.tags, true);
    if (metric.as != As::kTimer) {
      for (const auto* key : {"hits", "tags"}) {
        if (table.get(key) != nullptr) section.mistake(key, R"(is for as = "timer")");
      }
    }
    const Templates templates(metric.pattern.get());
    if (const auto problem = templates.problem(metric.hits); !problem.empty())
      section.mistake("hits", problem);
    for (const auto& [name, value] : metric.tags) {
      if (const auto problem = templates.problem(value); !problem.empty()) section.mistake("tags", problem);
    }
  }

  const toml::table& table_;
  const std::string& path_;
  Mistakes& mistakes_;
  std::string place_;
  GroupConfig group_;
};

void read_server(Section& section, Config& config) {
  section.texts("server", config.servers);
  section.word("server_kind", kServerKinds, config.server_kind);
  section.word("spread", kSpreads, config.spread);
  section.whole("max_datagram", pinba::kMinDatagram, pinba::kMaxDatagram, config.max_datagram);
  section.text("hostname", config.hostname);
  const auto interval =
      section.number("interval", fmt::format("seconds, a number from {} to {}", kMinInterval, kMaxInterval),
                     [](double n) { return n >= kMinInterval && n <= kMaxInterval; });
  if (interval) config.interval = std::chrono::milliseconds(std::llround(*interval * 1000));
  // Only whether the names can be read: nothing is looked up.
  const auto nowhere = [](const std::string&, const std::string&) { return std::vector<pinba::Address>(); };
  if (const auto tried = pinba::Sender::make({.servers = config.servers, .resolve = nowhere}); !tried) {
    section.mistake("server", tried.error().message + R"(; it takes "HOST", "HOST:PORT", "[IPV6]:PORT")");
  }
}

}  // namespace

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
  Section section(table, "", path, mistakes);
  read_server(section, config);
  section.each("group", [&](const toml::table& group) {
    const auto* name = group.get_as<std::string>("name");
    const std::string place =
        name != nullptr ? fmt::format("[[group]] \"{}\"", printable(name->get())) : "[[group]]";
    GroupReader reader(group, place, path, mistakes);
    auto read = reader.read(default_globs);
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

tl::expected<Config, Mistakes> load_config(const std::string& path,
                                           const std::vector<std::string>& default_globs) {
  const auto refuse = [&](std::string_view why) {
    return tl::unexpected(Mistakes{fmt::format("{}: {}", printable(path), why)});
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return refuse(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat about {};
  std::string content;
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(fd);
    return refuse("is no file");
  }
  std::array<char, 16384> chunk{};
  ssize_t got = 0;
  while (content.size() <= kMaxConfigBytes && (got = ::read(fd, chunk.data(), chunk.size())) > 0) {
    content.append(chunk.data(), static_cast<std::size_t>(got));
  }
  const int failed = got < 0 ? errno : 0;
  ::close(fd);
  if (failed != 0) return refuse(std::string("cannot be read: ") + std::strerror(failed));
  if (content.size() > kMaxConfigBytes)
    return refuse(fmt::format("is larger than {} bytes", kMaxConfigBytes));
  return read_config(content, path, default_globs);
}

pinba::EncodeOptions encode_options(const Config& config) {
  // collectd counts datagrams as requests and reads no timers: there a request is one datagram.
  return {.max_bytes = config.max_datagram,
          .continue_timers = config.server_kind != ServerKind::kCollectd,
          .classic = config.server_kind == ServerKind::kClassic};
}

pinba::SenderOptions sender_options(const Config& config) {
  return {.servers = config.servers, .spread = config.spread};
}

}  // namespace mmstats::forward
