#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config.h"
#include "mmstats/format.h"
#include "mmstats/parse.h"

using mmstats::Aggregate;
using mmstats::BlockConfig;
using mmstats::ConfigItem;
using mmstats::Configuration;
using mmstats::ConfigValue;
using mmstats::DataSource;
using mmstats::HostType;
using mmstats::Kind;
using mmstats::Message;
using mmstats::Stale;

namespace {

using Items = std::vector<ConfigItem>;

const std::vector<std::string> kDefaultGlobs{"/default/*.mmstats"};
constexpr std::size_t kMaxName = 127;

ConfigItem item(std::string key, std::vector<ConfigValue> values, Items children = {}) {
  return {std::move(key), std::move(values), std::move(children)};
}
ConfigValue text(const char* value) { return std::string(value); }
ConfigItem files(const char* name, Items children) {
  return item("Files", {text(name)}, std::move(children));
}
ConfigItem metric(const char* pattern, Items children) {
  return item("Metric", {text(pattern)}, std::move(children));
}

Configuration read(const std::vector<Items>& sections) {
  Items all;
  for (const auto& children : sections) all.push_back(item("Plugin", {text("mmstats")}, children));
  return mmstats::read_config(all, kDefaultGlobs, kMaxName);
}

std::vector<std::string> texts(const std::vector<Message>& messages) {
  std::vector<std::string> all;
  for (const auto& message : messages) all.push_back(message.text);
  return all;
}

// What the rules of a block make of a buffered `Q`, a counter by convention.
mmstats::Binding bind(const BlockConfig& block, std::string_view label, std::string_view type = "Q") {
  mmstats::Field field;
  field.label = label;
  field.type_text = type;
  field.type = mmstats::parse_type(type).value();
  field.buffered = true;
  return block.rules.bind(label, field, "");
}

std::optional<HostType> host_type(const std::string& name) {
  if (name == "derive" || name == "http_requests") return HostType{DataSource::kDerive, 1};
  if (name == "gauge" || name == "latency") return HostType{DataSource::kGauge, 1};
  if (name == "counter") return HostType{DataSource::kCounter, 1};
  if (name == "absolute") return HostType{DataSource::kAbsolute, 1};
  if (name == "if_octets") return HostType{DataSource::kDerive, 2};
  return std::nullopt;
}

}  // namespace

TEST_CASE("without any section there is one block without a name that reads the default globs") {
  for (const auto& sections : {std::vector<Items>{}, std::vector<Items>{{}}, std::vector<Items>{{}, {}}}) {
    const auto config = read(sections);
    CHECK(config.messages.empty());
    REQUIRE(config.blocks.size() == 1);
    const auto& block = config.blocks[0];
    CHECK(block.instance.empty());
    CHECK_FALSE(block.interval);
    CHECK(block.watch.globs == kDefaultGlobs);
    CHECK(block.watch.stale == Stale::kKeep);
    CHECK(block.watch.fold.max_file_size == mmstats::kDefaultMaxFileSize);
    CHECK_FALSE(block.report_self);
    CHECK_FALSE(block.names.slots);
    CHECK(block.names.max_bytes == kMaxName);
  }
}

TEST_CASE("every option of a block reaches what it configures") {
  const auto config = read(
      {{files("web", {
                         item("Interval", {2.5}),
                         item("Path", {text("/a/*.mmstats"), text("/b/*.mmstats")}),
                         item("Path", {text("/c/x")}),
                         item("StripPrefix", {text("com.example")}),
                         item("Include", {text("http.*"), text("db.*")}),
                         item("Include", {text("jobs")}),
                         item("Ignore", {text("http.debug.*")}),
                         item("Aggregate", {text("max")}),
                         item("MaxFileSize", {text("2M")}),
                         item("MaxFiles", {100.0}),
                         item("MaxSeries", {200.0}),
                         item("Stale", {text("remove")}),
                         item("ReportSelf", {true}),
                         metric("http[.]([0-9]+)",
                                {item("Kind", {text("counter")}), item("Type", {text("http_requests")}),
                                 item("TypeInstance", {text("status-\\1")})}),
                         metric("db.size", {item("Scale", {1024.0}), item("Aggregate", {text("nonzero-min")}),
                                            item("Kind", {text("gauge")})}),
                         metric("db.secret", {item("Ignore", {true})}),
                     })}});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 1);
  const auto& block = config.blocks[0];
  CHECK(block.instance == "web");
  CHECK(block.interval == 2.5);
  CHECK(block.watch.globs == std::vector<std::string>{"/a/*.mmstats", "/b/*.mmstats", "/c/x"});
  CHECK(block.watch.fold.max_file_size == 2U << 20U);
  CHECK(block.watch.discovery.max_files == 100);
  CHECK(block.watch.fold.max_series == 200);
  CHECK(block.watch.stale == Stale::kRemove);
  CHECK(block.report_self);
  CHECK_FALSE(block.names.slots);

  const auto status = bind(block, "com.example.http.404");
  CHECK(status.used);
  CHECK(status.kind == Kind::kCounter);
  CHECK(status.sink_type == "http_requests");
  CHECK(status.name == "status-404");
  const auto size = bind(block, "db.size");
  CHECK(size.scale == 1024.0);
  CHECK(size.aggregate == Aggregate::kNonzeroMin);
  CHECK(bind(block, "db.load", "d").aggregate == Aggregate::kMax);
  CHECK(bind(block, "com.example.jobs").used);
  CHECK_FALSE(bind(block, "mail.sent").used);
  CHECK_FALSE(bind(block, "http.debug.x").used);
  CHECK_FALSE(bind(block, "db.secret").used);
  REQUIRE(block.types.size() == 1);
  CHECK(block.types[0].type == "http_requests");
}

TEST_CASE("options and words are the same in upper and lower case") {
  const auto config = read({{item("fILES", {text("web")},
                                  {item("interval", {1.0}), item("AGGREGATE", {text("Avg")}),
                                   item("stale", {text("REMOVE")}), item("maxfilesize", {text("3k")})})}});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].interval == 1.0);
  CHECK(config.blocks[0].watch.stale == Stale::kRemove);
  CHECK(config.blocks[0].watch.fold.max_file_size == 3072);
}

TEST_CASE("the later of two values counts") {
  const auto config = read({{files("web", {item("Interval", {1.0}), item("Interval", {5.0})})}});
  CHECK(config.blocks.at(0).interval == 5.0);
}

TEST_CASE("a file size is taken in bytes or with a unit") {
  struct Row {
    ConfigValue value;
    std::uint64_t want;  // 0: refused
  };
  for (const auto& row : std::vector<Row>{
           {4096.0, 4096},
           {text("4096"), 4096},
           {text("1k"), 1U << 10U},
           {text("16M"), 16U << 20U},
           {text("1G"), 1U << 30U},
           {text("2G"), 0},
           {text("99999999999999999999999"), 0},
           {text("9999999999G"), 0},
           {text("16MB"), 0},
           {text("M"), 0},
           {text(""), 0},
           {text("-1"), 0},
           {text("1.5M"), 0},
           {text("16 M"), 0},
           {0.0, 0},
           {-5.0, 0},
           {1.5, 0},
           {1e300, 0},
           {true, 0},
       }) {
    const auto config = read({{item("MaxFileSize", {row.value})}});
    CAPTURE(texts(config.messages));
    CHECK(config.messages.size() == (row.want == 0 ? 1 : 0));
    REQUIRE(config.blocks.size() == 1);
    CHECK(config.blocks[0].watch.fold.max_file_size ==
          (row.want == 0 ? mmstats::kDefaultMaxFileSize : row.want));
  }
}

TEST_CASE("a mistake costs the option that it is in, and its message names block and option") {
  struct Row {
    ConfigItem option;
    std::vector<std::string> message;  // parts of it
  };
  const auto in_metric = [](ConfigItem option) { return metric("a.*", {std::move(option)}); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const char* const aggregates = "\"nonzero-avg\"";
  for (const auto& row : std::vector<Row>{
           {item("Intervall", {1.0}),
            {"Intervall 1 is left out", "no such option", "Interval, Path, StripPrefix"}},
           {item("Files", {text("inner")}, {item("Interval", {1.0})}), {"Files \"inner\"", "no such option"}},
           {item("Interval", {text("10")}),
            {"Interval \"10\" is left out", "one number of seconds", "without quotes"}},
           {item("Interval", {0.0}), {"Interval 0 is left out"}},
           {item("Interval", {-1.0}), {"Interval -1 is left out"}},
           {item("Interval", {nan}), {"Interval nan is left out"}},
           {item("Interval", {inf}), {"Interval inf is left out"}},
           {item("Interval", {1e-9}), {"0.001 or more"}},
           {item("Interval", {1.0, 2.0}), {"Interval 1 2 is left out"}},
           {item("Interval", {}), {"Interval is left out"}},
           {item("Path", {text("relative/*.mmstats")}), {"Path \"relative/*.mmstats\"", "begin with \"/\""}},
           {item("Path", {5.0}), {"Path 5 is left out"}},
           {item("StripPrefix", {true}), {"StripPrefix true is left out"}},
           {item("Ignore", {text("(")}), {"Ignore \"(\" is left out", "missing )"}},
           {item("Ignore", {3.0}), {"Ignore 3 is left out", "patterns"}},
           {item("Aggregate", {text("median")}), {"Aggregate \"median\" is left out", aggregates}},
           {item("Aggregate", {1.0}), {"Aggregate 1 is left out", aggregates}},
           {item("MaxFileSize", {text("huge")}), {"MaxFileSize \"huge\" is left out", "16M"}},
           {item("MaxFiles", {0.0}), {"MaxFiles 0 is left out", "whole number"}},
           {item("MaxFiles", {1.5}), {"MaxFiles 1.5 is left out"}},
           {item("MaxFiles", {1e18}), {"MaxFiles 1e+18 is left out"}},
           {item("MaxSeries", {nan}), {"MaxSeries nan is left out"}},
           {item("MaxSeries", {text("many")}), {"MaxSeries \"many\" is left out"}},
           {item("Stale", {text("delete")}), {"Stale \"delete\" is left out", "\"keep\", \"remove\""}},
           {item("Stale", {false}), {"Stale false is left out"}},
           {item("ReportSelf", {text("true")}), {"ReportSelf \"true\" is left out", "without quotes"}},
           {item("ReportSelf", {1.0}), {"ReportSelf 1 is left out"}},
           {item("Metric", {}, {item("Scale", {2.0})}), {"Metric is left out", "pattern"}},
           {item("Metric", {1.0}, {item("Scale", {2.0})}), {"Metric 1 is left out", "in quotes"}},
           {metric("a[", {item("Scale", {2.0})}), {"<Metric \"a[\">", "the block is left out", "missing ]"}},
           {in_metric(item("TypeInstance", {text("\\2")})),
            {"TypeInstance \"\\2\" is left out", "subexpressions"}},
           {metric("a", {item("Kind", {text("counter")}), item("Aggregate", {text("avg")})}),
            {"<Metric \"a\">: Aggregate \"avg\" is left out", "a counter can be"}},
           {in_metric(item("Kindd", {text("gauge")})),
            {"<Metric \"a.*\">: Kindd", "Kind, Type, TypeInstance"}},
           {in_metric(item("Kind", {text("histogram")})), {"Kind \"histogram\"", "\"counter\", \"gauge\""}},
           {in_metric(item("Kind", {1.0})), {"Kind 1 is left out"}},
           {in_metric(item("Type", {text("")})), {"Type \"\" is left out", "types.db"}},
           {in_metric(item("Type", {1.0})), {"Type 1 is left out"}},
           {in_metric(item("TypeInstance", {text("")})), {"TypeInstance \"\" is left out"}},
           {in_metric(item("TypeInstance", {1.0})), {"TypeInstance 1 is left out"}},
           {in_metric(item("Aggregate", {text("p99")})), {"Aggregate \"p99\"", aggregates}},
           {in_metric(item("Scale", {0.0})), {"Scale 0 is left out", "above 0"}},
           {in_metric(item("Scale", {-1.0})), {"Scale -1 is left out"}},
           {in_metric(item("Scale", {inf})), {"Scale inf is left out"}},
           {in_metric(item("Scale", {nan})), {"Scale nan is left out"}},
           {in_metric(item("Scale", {text("2")})), {"Scale \"2\" is left out"}},
           {in_metric(item("Ignore", {text("yes")})), {"Ignore \"yes\" is left out", "true or false"}},
       }) {
    const auto config = read({{
        files("web", {item("Path", {text("/good/*")}), row.option, item("ReportSelf", {true})}),
        files("other", {item("Interval", {7.0})}),
    }});
    REQUIRE(config.messages.size() == 1);
    const auto& message = config.messages[0];
    CAPTURE(message.text);
    CHECK(message.severity == Message::Severity::kError);
    CHECK(message.text.starts_with("<Files \"web\">"));
    for (const auto& part : row.message) {
      CAPTURE(part);
      CHECK(message.text.find(part) != std::string::npos);
    }
    REQUIRE(config.blocks.size() == 2);
    CHECK(config.blocks[0].watch.globs == std::vector<std::string>{"/good/*"});
    CHECK(config.blocks[0].report_self);
    CHECK(config.blocks[1].interval == 7.0);
  }
}

TEST_CASE("a bad option of a <Metric> leaves the others in force") {
  const auto config = read(
      {{metric("a", {item("Scale", {text("x")}), item("Type", {text("latency")}), item("Wrong", {1.0})})}});
  CHECK(config.messages.size() == 2);
  const auto binding = bind(config.blocks.at(0), "a");
  CHECK(binding.sink_type == "latency");
  CHECK(binding.scale == 1.0);

  const auto unfit =
      read({{metric("a", {item("TypeInstance", {text("b\\1")}), item("Type", {text("latency")})}),
             metric("c", {item("Kind", {text("counter")}), item("Aggregate", {text("max")}),
                          item("TypeInstance", {text("d")})})}});
  CHECK(unfit.messages.size() == 2);
  CHECK(bind(unfit.blocks.at(0), "a").name == "a");
  CHECK(bind(unfit.blocks.at(0), "a").sink_type == "latency");
  CHECK(bind(unfit.blocks.at(0), "c").name == "d");
  CHECK(bind(unfit.blocks.at(0), "c").aggregate == Aggregate::kSum);
}

TEST_CASE("the first <Metric> that matches decides") {
  const auto config = read(
      {{metric("a[.].*", {item("Type", {text("first")})}), metric(".*", {item("Type", {text("second")})})}});
  CHECK(bind(config.blocks.at(0), "a.b").sink_type == "first");
  CHECK(bind(config.blocks.at(0), "b").sink_type == "second");
}

TEST_CASE("a block whose Paths are all unusable is left out, and never replaced by the default") {
  const auto config = read({{files("web", {item("Path", {text("x")}), item("Path", {1.0, text("y")})}),
                             files("good", {item("Path", {text("x"), text("/y")})})}});
  CHECK(config.messages.size() == 5);
  CHECK(config.messages[3].text == "<Files \"web\">: the block is left out: no Path of it can be used");
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "good");
  CHECK(config.blocks[0].watch.globs == std::vector<std::string>{"/y"});

  CHECK(read({{item("Path", {text("x")})}}).blocks.empty());
}

TEST_CASE("a block whose Includes are all unusable is left out rather than to send everything") {
  const auto config = read({{files("web", {item("Include", {text("*")})}),
                             files("good", {item("Include", {text("*"), text("a")})})}});
  REQUIRE(config.messages.size() == 3);
  CHECK(config.messages[1].text.find("would send everything") != std::string::npos);
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "good");
  CHECK(bind(config.blocks[0], "a").used);
  CHECK_FALSE(bind(config.blocks[0], "b").used);
}

TEST_CASE("names of blocks fit collectd and Graphite, and are given once") {
  struct Row {
    ConfigItem block;
    const char* message;  // nullptr: accepted
  };
  const std::string longest(kMaxName, 'x');
  for (const auto& row : std::vector<Row>{
           {files("web-1_a.b@c", {}), nullptr},
           {files("app-0123456789ab", {}), nullptr},  // as containers are called
           {files(longest.c_str(), {}), nullptr},
           {files((longest + "x").c_str(), {}), "127 bytes at most"},
           {files("", {}), "it needs one name"},
           {files("a/b", {}), "<Files \"a/b\"> is left out"},
           {files("a b", {}), "letters, digits"},
           {files("a.", {}), "empty parts"},
           {files("..", {}), "empty parts"},
           {item("Files", {}, {item("Interval", {1.0})}), "<Files> is left out"},
           {item("Files", {1.0}), "<Files 1> is left out"},
           {item("Files", {text("a"), text("b")}), "<Files \"a\" \"b\"> is left out"},
           {files("first", {}),
            "the second <Files \"first\"> is left out: each block needs a name of its own"},
       }) {
    const auto config = read({{files("first", {item("Interval", {1.0})})}, {row.block}});
    CAPTURE(texts(config.messages));
    REQUIRE(config.blocks.size() == (row.message == nullptr ? 2 : 1));
    CHECK(config.blocks[0].interval == 1.0);
    REQUIRE(config.messages.size() == (row.message == nullptr ? 0 : 1));
    if (row.message != nullptr) CHECK(config.messages[0].text.find(row.message) != std::string::npos);
  }
}

TEST_CASE("several sections add up") {
  const auto config =
      read({{files("a", {}), item("Path", {text("/p")})}, {files("b", {}), item("Interval", {3.0})}});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 3);
  CHECK(config.blocks[0].instance == "a");
  CHECK(config.blocks[1].instance == "b");
  CHECK(config.blocks[2].instance.empty());
  CHECK(config.blocks[2].watch.globs == std::vector<std::string>{"/p"});
  CHECK(config.blocks[2].interval == 3.0);
}

TEST_CASE("options outside of <Files> do not make a second look at the default folders") {
  const auto config = read({{item("Interval", {3.0}), item("Stale", {text("remove")}), files("a", {})}});
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "a");
  CHECK_FALSE(config.blocks[0].interval);
  REQUIRE(config.messages.size() == 1);
  CHECK(config.messages[0].text.starts_with("<Plugin mmstats>: Interval, Stale is left out"));

  const auto alone = read({{item("Interval", {3.0})}});
  REQUIRE(alone.blocks.size() == 1);
  CHECK(alone.blocks[0].interval == 3.0);
  CHECK(alone.blocks[0].watch.globs == kDefaultGlobs);
}

TEST_CASE("no block is left if all that were configured are unusable") {
  const auto config = read({{files("a/b", {}), files("c", {item("Path", {text("x")})})}});
  CHECK(config.blocks.empty());
  CHECK(config.messages.size() == 3);
}

TEST_CASE("a block knows whether some of its series carry worker slots") {
  CHECK(read({{item("Aggregate", {text("none")})}}).blocks.at(0).names.slots);
  CHECK(read({{metric("a", {item("Aggregate", {text("none")})})}}).blocks.at(0).names.slots);
  CHECK_FALSE(read({{metric("a", {item("Aggregate", {text("sum")})})}}).blocks.at(0).names.slots);
  CHECK_FALSE(
      read({{item("Aggregate", {text("none")}), item("Aggregate", {text("sum")})}}).blocks.at(0).names.slots);
}

TEST_CASE("a capture that lost its backslash is noticed") {
  const auto type_instance = [](const char* pattern, const char* name) {
    return read({{metric(pattern, {item("TypeInstance", {text(name)})})}});
  };
  const auto lost = type_instance("a-(.*)", "1");
  REQUIRE(lost.messages.size() == 1);
  CHECK(lost.messages[0].severity == Message::Severity::kWarning);
  CHECK(lost.messages[0].text.find("write \\\\1") != std::string::npos);
  CHECK(lost.blocks.size() == 1);
  CHECK(type_instance("a-(.*)", "\\1").messages.empty());
  CHECK(type_instance("a-(?:.*)", "1").messages.empty());
  CHECK(type_instance("a-(.*)", "all").messages.empty());
  CHECK(type_instance("a-.*", "1").messages.empty());
}

TEST_CASE("types are checked against those that the host knows") {
  struct Row {
    const char* type;
    const char* kind;     // nullptr: not given
    const char* problem;  // nullptr: none
  };
  for (const auto& row : std::vector<Row>{
           {"http_requests", nullptr, nullptr},
           {"http_requests", "counter", nullptr},
           {"counter", "counter", nullptr},
           {"latency", nullptr, nullptr},
           {"latency", "gauge", nullptr},
           {"latency", "timestamp", nullptr},
           {"latency", "state", nullptr},
           {"latency", "property", nullptr},
           {"latency", "counter", "needs DERIVE or COUNTER"},
           {"http_requests", "gauge", "a gauge needs GAUGE"},
           {"counter", "state", "a state needs GAUGE"},
           {"absolute", nullptr, "ABSOLUTE"},
           {"absolute", "counter", "ABSOLUTE"},
           {"if_octets", nullptr, "2 data sources"},
           {"nonsense", nullptr, "no types.db"},
           {"Latency", nullptr, "no types.db"},
       }) {
    Items options{item("Type", {text(row.type)})};
    if (row.kind != nullptr) options.push_back(item("Kind", {text(row.kind)}));
    const auto config = read({{files("web", {metric("a.*", options)})}});
    REQUIRE(config.blocks.size() == 1);
    const auto messages = mmstats::check_types(config.blocks[0], host_type);
    CAPTURE(row.type);
    CAPTURE(texts(messages));
    REQUIRE(messages.size() == (row.problem == nullptr ? 0 : 1));
    if (row.problem == nullptr) continue;
    CHECK(messages[0].text.starts_with("<Files \"web\">, <Metric \"a.*\">: Type \"" + std::string(row.type)));
    CHECK(messages[0].text.find(row.problem) != std::string::npos);
  }
}
