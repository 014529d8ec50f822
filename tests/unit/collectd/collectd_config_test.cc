#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "collectd/config_text.h"
#include "collectd/host_types.h"
#include "mmstats/format.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"
#include "plugin_collectd/config.h"
#include "plugin_collectd/first_look.h"

using mmstats::Aggregate;
using mmstats::Kind;
using mmstats::Stale;
using mmstats::collectd::BlockConfig;
using mmstats::collectd::Configuration;
using mmstats::collectd::DataSource;
using mmstats::collectd::HostType;
using mmstats::collectd::Message;

namespace {

const std::vector<std::string> kDefaultGlobs{"/default/*.mmstats"};
constexpr std::size_t kMaxName = 127;

// Each text is one <Plugin mmstats> section.
Configuration read(const std::vector<std::string>& sections) {
  std::vector<mmstats::collectd::ConfigItem> items;
  for (const auto& text : sections) items.push_back(config_text::section(text));
  return mmstats::collectd::read_config(items, kDefaultGlobs, kMaxName);
}

std::vector<std::string> texts(const std::vector<Message>& messages) {
  std::vector<std::string> all;
  for (const auto& message : messages) all.push_back(message.text);
  return all;
}

// What the rules of a block make of a buffered field: `Q` is a counter by convention.
mmstats::Binding bind(const BlockConfig& block, std::string_view label, std::string_view type = "Q") {
  mmstats::Field field;
  field.label = label;
  field.type_text = type;
  field.type = mmstats::parse_type(type).value();
  field.buffered = true;
  return block.rules.bind(label, field, {});
}

// The same of a field of the family `sent`.
mmstats::Binding bind_sent(const BlockConfig& block, std::string_view label) {
  mmstats::Field field;
  field.label = label;
  field.type_text = "Q";
  field.type = mmstats::parse_type("Q").value();
  field.buffered = true;
  return block.rules.bind(label, field,
                          mmstats::find_metadata("web.sent\tcounter\t\t\t\tmethod status\n", label));
}

}  // namespace

TEST_CASE("without any section there is one block without a name that reads the default globs") {
  for (const auto& sections : {std::vector<std::string>{}, std::vector<std::string>{""}, {"", ""}}) {
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
  const auto config = read({R"conf(
    <Files "web">
      Interval 2.5
      Path "/a/*.mmstats" "/b/*.mmstats"
      Path "/c/x"
      StripPrefix "com.example"
      Include "http.*" "db.*"
      Include "jobs"
      Ignore "http.debug.*"
      Aggregate "max"
      MaxFileSize "2M"
      MaxFiles 100
      MaxSeries 200
      Stale "remove"
      ReportSelf true
      <Metric "http[.]([0-9]+)">
        Kind "counter"
        Type "http_requests"
        TypeInstance "status-\1"
      </Metric>
      <Metric "db.size">
        Scale 1024
        Aggregate "nonzero-min"
        Kind "gauge"
      </Metric>
      <Metric "db.secret">
        Ignore true
      </Metric>
    </Files>)conf"});
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
  const auto config = read({R"conf(
    <fILES "web">
      interval 1
      AGGREGATE "Avg"
      stale "REMOVE"
      maxfilesize "3k"
    </fILES>
    <Files "loud">
      MAXFILESIZE "4K"
      STRIPPREFIX "com"
      AGGREGATE "NONZERO-AVG"
    </Files>
    pATH "/z/*"
    interval 2)conf"});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 3);
  CHECK(config.blocks[0].interval == 1.0);
  CHECK(config.blocks[0].watch.stale == Stale::kRemove);
  CHECK(config.blocks[0].watch.fold.max_file_size == 3072);
  CHECK(config.blocks[1].watch.fold.max_file_size == 4096);
  CHECK(bind(config.blocks[1], "com.load", "d").name == "load");
  CHECK(bind(config.blocks[1], "com.load", "d").aggregate == Aggregate::kNonzeroAvg);
  CHECK(config.blocks[2].watch.globs == std::vector<std::string>{"/z/*"});
  CHECK(config.blocks[2].interval == 2.0);
}

TEST_CASE("the later of two values counts") {
  const auto config = read({"Interval 1\nInterval 5"});
  CHECK(config.blocks.at(0).interval == 5.0);
}

TEST_CASE("a file size is taken in bytes or with a unit") {
  struct Row {
    const char* value;
    std::uint64_t want;  // 0: refused
  };
  constexpr Row kRows[] = {
      {"4096", 4096},
      {"\"4096\"", 4096},
      {"\"1k\"", 1U << 10U},
      {"16M", 16U << 20U},
      {"\"16M\"", 16U << 20U},
      {"\"1G\"", 1U << 30U},
      {"\"2G\"", 0},
      {"\"99999999999999999999999\"", 0},
      {"\"9999999999G\"", 0},
      {"\"16MB\"", 0},
      {"\"M\"", 0},
      {"\"\"", 0},
      {"\"-1\"", 0},
      {"\"1.5M\"", 0},
      {"\"16 M\"", 0},
      {"0", 0},
      {"-5", 0},
      {"1.5", 0},
      {"1e300", 0},
      {"true", 0},
      {"1 2", 0},
  };
  for (const auto& row : kRows) {
    const auto config = read({std::string("MaxFileSize ") + row.value});
    CAPTURE(texts(config.messages));
    CHECK(config.messages.size() == (row.want == 0 ? 1 : 0));
    REQUIRE(config.blocks.size() == 1);
    CHECK(config.blocks[0].watch.fold.max_file_size ==
          (row.want == 0 ? mmstats::kDefaultMaxFileSize : row.want));
  }
}

TEST_CASE("a mistake costs the option that it is in, and its message names block and option") {
  struct Row {
    std::string_view mistake;     // in a block
    std::string_view message[2];  // parts of it
  };
  constexpr std::string_view kAggregates = R"("nonzero-avg")";
  constexpr Row kRows[] = {
      {"Intervall 1",
       {"Intervall 1 is left out",
        "no such option here; there are Aggregate, Buckets, Drop, Family, Ignore, Include"}},
      {"<Files \"inner\">\nInterval 1\n</Files>", {"Files \"inner\" is left out", "no such option"}},
      {"Interval \"10\"",
       {"Interval \"10\" is left out", "one number of seconds, 0.001 or more, without quotes"}},
      {"Interval 0", {"Interval 0 is left out"}},
      {"Interval -1", {"Interval -1 is left out"}},
      {"Interval nan", {"Interval nan is left out"}},
      {"Interval inf", {"Interval inf is left out"}},
      {"Interval 1e-9", {"0.001 or more"}},
      {"Interval 1 2", {"Interval 1 2 is left out"}},
      {"Interval", {"Interval is left out"}},
      {"Path \"relative/*.mmstats\"", {"Path \"relative/*.mmstats\" is left out", "begin with \"/\""}},
      {"Path 5", {"Path 5 is left out"}},
      {"StripPrefix true", {"StripPrefix true is left out"}},
      {"Ignore \"(\"", {"Ignore \"(\" is left out", "missing )"}},
      {"Ignore 3", {"Ignore 3 is left out", "patterns"}},
      {"Aggregate \"median\"", {"Aggregate \"median\" is left out", kAggregates}},
      {"Aggregate 1", {"Aggregate 1 is left out", kAggregates}},
      {"MaxFileSize \"huge\"", {"MaxFileSize \"huge\" is left out", "16M"}},
      {"MaxFiles 0", {"MaxFiles 0 is left out", "whole number"}},
      {"MaxFiles 1.5", {"MaxFiles 1.5 is left out"}},
      {"MaxFiles 1e18", {"MaxFiles 1e+18 is left out"}},
      {"MaxSeries nan", {"MaxSeries nan is left out"}},
      {"MaxSeries \"many\"", {"MaxSeries \"many\" is left out"}},
      {"Stale \"delete\"", {"Stale \"delete\" is left out", "\"keep\", \"remove\""}},
      {"Stale false", {"Stale false is left out"}},
      {"ReportSelf \"true\"", {"ReportSelf \"true\" is left out", "without quotes"}},
      {"ReportSelf 1", {"ReportSelf 1 is left out"}},
      {"<Metric>\nScale 2\n</Metric>", {"Metric is left out", "pattern"}},
      {"<Metric 1>\nScale 2\n</Metric>", {"Metric 1 is left out", "in quotes"}},
      {"<Metric \"a[\">\nScale 2\n</Metric>", {"<Metric \"a[\">: the block is left out", "missing ]"}},
      {"<Metric \"a\">\nKindd \"gauge\"\n</Metric>",
       {"<Metric \"a\">: Kindd", "Aggregate, Buckets, Drop, Ignore, Keep, Kind"}},
      {"<Metric \"a\">\nKind \"histogram\"\n</Metric>", {"Kind \"histogram\"", "\"counter\", \"gauge\""}},
      {"<Metric \"a\">\nKind 1\n</Metric>", {"Kind 1 is left out"}},
      {"<Metric \"a\">\nType \"\"\n</Metric>", {"Type \"\" is left out", "types.db"}},
      {"<Metric \"a\">\nType 1\n</Metric>", {"Type 1 is left out"}},
      {"<Metric \"a\">\nTypeInstance\n</Metric>", {"TypeInstance is left out"}},
      {"<Metric \"a\">\nTypeInstance \"b\" \"c\"\n</Metric>",
       {"TypeInstance \"b\" \"c\" is left out", "one name"}},
      {"<Metric \"a\">\nTypeInstance 1\n</Metric>", {"TypeInstance 1 is left out"}},
      {"<Metric \"a\">\nTypeInstance \"\\2\"\n</Metric>",
       {"TypeInstance \"\\2\" is left out", "subexpressions"}},
      {"<Metric \"a\">\nAggregate \"p99\"\n</Metric>", {"Aggregate \"p99\"", kAggregates}},
      {"<Metric \"a\">\nKind \"counter\"\nAggregate \"avg\"\n</Metric>",
       {"<Metric \"a\">: Aggregate \"avg\" is left out", "a counter can be"}},
      {"<Metric \"a\">\nScale 0\n</Metric>", {"Scale 0 is left out", "above 0"}},
      {"<Metric \"a\">\nScale -1\n</Metric>", {"Scale -1 is left out"}},
      {"<Metric \"a\">\nScale inf\n</Metric>", {"Scale inf is left out"}},
      {"<Metric \"a\">\nScale nan\n</Metric>", {"Scale nan is left out"}},
      {"<Metric \"a\">\nScale \"2\"\n</Metric>", {"Scale \"2\" is left out"}},
      {"<Metric \"a\">\nIgnore \"yes\"\n</Metric>", {"Ignore \"yes\" is left out", "true or false"}},
  };
  for (const auto& row : kRows) {
    const auto config = read({"<Files \"web\">\nPath \"/good/*\"\n" + std::string(row.mistake) +
                              "\nReportSelf true\n</Files>\n<Files \"other\">\nInterval 7\n</Files>"});
    CAPTURE(std::string(row.mistake));
    REQUIRE(config.messages.size() == 1);
    const auto& message = config.messages[0];
    CAPTURE(message.text);
    CHECK(message.severity == Message::Severity::kError);
    CHECK(message.text.starts_with("<Files \"web\">"));
    for (const auto part : row.message) CHECK(message.text.find(part) != std::string::npos);
    REQUIRE(config.blocks.size() == 2);
    CHECK(config.blocks[0].watch.globs == std::vector<std::string>{"/good/*"});
    CHECK(config.blocks[0].report_self);
    CHECK(config.blocks[1].interval == 7.0);
  }
}

TEST_CASE("a bad option of a <Metric> leaves the others in force") {
  const auto config = read({R"conf(
    <Metric "a">
      Scale "x"
      Type "latency"
      Wrong 1
    </Metric>
    <Metric "b">
      TypeInstance "b\1"
      Type "latency"
    </Metric>
    <Metric "c">
      Kind "counter"
      Aggregate "max"
      TypeInstance "d"
    </Metric>)conf"});
  CHECK(config.messages.size() == 4);
  const auto& block = config.blocks.at(0);
  CHECK(bind(block, "a").sink_type == "latency");
  CHECK(bind(block, "a").scale == 1.0);
  CHECK(bind(block, "b").name == "b");
  CHECK(bind(block, "b").sink_type == "latency");
  CHECK(bind(block, "c").name == "d");
  CHECK(bind(block, "c").aggregate == Aggregate::kSum);
}

TEST_CASE("the first <Metric> that matches decides") {
  const auto config = read({R"conf(
    <Metric "a[.].*">
      Type "first"
    </Metric>
    <Metric ".*">
      Type "second"
    </Metric>)conf"});
  CHECK(bind(config.blocks.at(0), "a.b").sink_type == "first");
  CHECK(bind(config.blocks.at(0), "b").sink_type == "second");
}

TEST_CASE("a block whose Paths are all unusable is left out, and never replaced by the default") {
  const auto config = read({R"conf(
    <Files "web">
      Path "x"
      Path 1 "y"
    </Files>
    <Files "good">
      Path "x" "/y"
    </Files>)conf"});
  CHECK(config.messages.size() == 5);
  CHECK(config.messages[3].text == "<Files \"web\">: the block is left out: none of its Paths can be used");
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "good");
  CHECK(config.blocks[0].watch.globs == std::vector<std::string>{"/y"});

  CHECK(read({"Path \"x\""}).blocks.empty());
}

TEST_CASE("a block whose Includes are all unusable is left out rather than to send everything") {
  const auto config = read({R"conf(
    <Files "web">
      Include "*"
    </Files>
    <Files "good">
      Include "*" "a"
    </Files>)conf"});
  REQUIRE(config.messages.size() == 3);
  CHECK(config.messages[1].text.find("would send everything") != std::string::npos);
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "good");
  CHECK(bind(config.blocks[0], "a").used);
  CHECK_FALSE(bind(config.blocks[0], "b").used);
}

TEST_CASE("names of blocks fit collectd and Graphite, and are given once") {
  struct Row {
    std::string values;
    const char* message;  // nullptr: accepted
  };
  const std::string longest(kMaxName, 'x');
  for (const auto& row : std::vector<Row>{
           {"\"web-1_a.b@c\"", nullptr},
           {"\"app-0123456789ab\"", nullptr},  // as containers are called
           {"\"" + longest + "\"", nullptr},
           {"\"" + longest + "x\"", "127 bytes at most"},
           {"\"\"", "it needs one name"},
           {"\"a/b\"", "<Files \"a/b\"> is left out"},
           {"\"a b\"", "letters, digits"},
           {"\"a.\"", "empty parts"},
           {"\"..\"", "empty parts"},
           {"", "<Files> is left out"},
           {"1", "<Files 1> is left out"},
           {"\"a\" \"b\"", "<Files \"a\" \"b\"> is left out"},
           {"\"first\"", "the second <Files \"first\"> is left out: each block needs a name of its own"},
       }) {
    const auto config =
        read({"<Files \"first\">\nInterval 1\n</Files>", "<Files " + row.values + ">\nInterval 2\n</Files>"});
    CAPTURE(texts(config.messages));
    REQUIRE(config.blocks.size() == (row.message == nullptr ? 2 : 1));
    CHECK(config.blocks[0].interval == 1.0);
    REQUIRE(config.messages.size() == (row.message == nullptr ? 0 : 1));
    if (row.message != nullptr) CHECK(config.messages[0].text.find(row.message) != std::string::npos);
  }
}

TEST_CASE("several sections add up") {
  const auto config = read({"<Files \"a\">\n</Files>\nPath \"/p\"", "<Files \"b\">\n</Files>\nInterval 3"});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 3);
  CHECK(config.blocks[0].instance == "a");
  CHECK(config.blocks[1].instance == "b");
  CHECK(config.blocks[2].instance.empty());
  CHECK(config.blocks[2].watch.globs == std::vector<std::string>{"/p"});
  CHECK(config.blocks[2].interval == 3.0);
}

TEST_CASE("options outside of <Files> do not make a second look at the default folders") {
  const auto config = read({"Interval 3\nStale \"remove\"\n<Files \"a\">\n</Files>"});
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == "a");
  CHECK_FALSE(config.blocks[0].interval);
  REQUIRE(config.messages.size() == 1);
  CHECK(config.messages[0].text.starts_with("<Plugin mmstats>: Interval, Stale are left out"));

  const auto one = read({"Interval 3\n<Files \"a\">\n</Files>"});
  REQUIRE(one.messages.size() == 1);
  CHECK(one.messages[0].text.starts_with("<Plugin mmstats>: Interval is left out: "));

  const auto alone = read({"Interval 3"});
  REQUIRE(alone.blocks.size() == 1);
  CHECK(alone.blocks[0].interval == 3.0);
  CHECK(alone.blocks[0].watch.globs == kDefaultGlobs);
}

TEST_CASE("no block is left if all that were configured are unusable") {
  const auto config = read({"<Files \"a/b\">\n</Files>\n<Files \"c\">\nPath \"x\"\n</Files>"});
  CHECK(config.blocks.empty());
  CHECK(config.messages.size() == 3);
}

TEST_CASE("names of series and of blocks are as long as the host allows") {
  const std::string longest(63, 'n');
  const std::vector<mmstats::collectd::ConfigItem> items{config_text::section(
      "<Files \"" + longest + "\">\n</Files>\n<Files \"" + longest + "n\">\n</Files>\n")};
  const auto config = mmstats::collectd::read_config(items, kDefaultGlobs, longest.size());
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].instance == longest);
  CHECK(config.blocks[0].names.max_bytes == longest.size());
  CHECK(texts(config.messages).size() == 1);
}

TEST_CASE("a block knows whether some of its series carry worker slots") {
  const auto slots = [](const char* text) { return read({text}).blocks.at(0).names.slots; };
  CHECK(slots("Aggregate \"none\""));
  CHECK(slots("<Metric \"a\">\nAggregate \"none\"\n</Metric>"));
  CHECK_FALSE(slots("<Metric \"a\">\nAggregate \"sum\"\n</Metric>"));
  CHECK_FALSE(slots("Aggregate \"none\"\nAggregate \"sum\""));
  CHECK(
      slots("Aggregate \"sum\"\n<Metric \"a\">\nAggregate \"none\"\n</Metric>\n"
            "<Metric \"b\">\nAggregate \"sum\"\n</Metric>"));
  CHECK(slots("Aggregate \"none\"\n<Metric \"a\">\nAggregate \"sum\"\n</Metric>"));
}

TEST_CASE("the type of a rule has the rule's number, whether the rules before it ask for one or not") {
  const auto config = read({R"conf(
    <Metric "a">
      Scale 2
    </Metric>
    <Metric "broken[">
      Type "http_requests"
    </Metric>
    <Metric "b">
      Type "latency"
    </Metric>
    <Metric "c">
      Type ""
    </Metric>
    <Metric "d">
      Type "http_requests"
    </Metric>)conf"});
  CHECK(config.messages.size() == 2);
  const auto& block = config.blocks.at(0);
  CHECK(block.names.types == std::vector<std::string>{"", "latency", "", "http_requests"});
  for (const char* label : {"a", "b", "c", "d"}) {
    const auto binding = bind(block, label);
    CHECK(block.names.types.at(static_cast<std::size_t>(binding.rule)) == binding.sink_type);
  }
  CHECK(bind(block, "d").sink_type == "http_requests");
}

TEST_CASE("what rules say of names is known by their numbers") {
  const auto config = read({R"conf(
    <Metric "a">
      TypeInstance ""
    </Metric>
    <Metric "b">
      Type "latency"
    </Metric>
    <Metric "c">
      Scale 1
    </Metric>
    <Metric "d">
      TypeInstance "\9"
    </Metric>
    <Family "e">
      TypeInstance "all"
      Scale 1000
    </Family>)conf"});
  CHECK(config.messages.size() == 1);  // there is no group 9
  const auto& block = config.blocks.at(0);
  CHECK(block.names.naming == std::set<std::int32_t>{0, 4});
  CHECK(block.names.scaled == std::set<std::int32_t>{2, 4});
  CHECK(bind(block, "a").name.empty());
  CHECK(bind(block, "b").name == "b");
  CHECK(bind(block, "c").scale == 1);
  CHECK(bind(block, "d").name == "d");
}

TEST_CASE("a capture that lost its backslash is noticed") {
  const auto type_instance = [](const std::string& pattern, const std::string& name) {
    return read({"<Metric \"" + pattern + "\">\nTypeInstance \"" + name + "\"\n</Metric>"});
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
    const char* kind;     // empty: not given
    const char* problem;  // empty: none
  };
  constexpr Row kRows[] = {
      {"http_requests", "", ""},
      {"http_requests", "counter", ""},
      {"counter", "counter", ""},
      {"latency", "", ""},
      {"latency", "gauge", ""},
      {"latency", "timestamp", ""},
      {"latency", "state", ""},
      {"latency", "property", ""},
      {"latency", "counter", "needs DERIVE or COUNTER"},
      {"http_requests", "gauge", "a gauge needs GAUGE"},
      {"counter", "state", "a state needs GAUGE"},
      {"absolute", "", "ABSOLUTE"},
      {"absolute", "counter", "ABSOLUTE"},
      {"if_octets", "", "2 data sources"},
      {"nonsense", "", "no types.db"},
      {"Latency", "", "no types.db"},
  };
  for (const auto& row : kRows) {
    const std::string type = row.type;
    const std::string kind = row.kind;
    const std::string problem = row.problem;
    const auto config = read({"<Files \"web\">\n<Metric \"a.*\">\nType \"" + type + "\"\n" +
                              (kind.empty() ? "" : "Kind \"" + kind + "\"\n") + "</Metric>\n</Files>"});
    REQUIRE(config.blocks.size() == 1);
    const auto messages = mmstats::collectd::check_types(config.blocks[0], host_type);
    CAPTURE(type);
    CAPTURE(texts(messages));
    REQUIRE(messages.size() == (problem.empty() ? 0 : 1));
    if (problem.empty()) continue;
    CHECK(messages[0].text.starts_with("<Files \"web\">, <Metric \"a.*\">: Type \"" + type + "\""));
    CHECK(messages[0].text.find(problem) != std::string::npos);
  }
}

TEST_CASE("options that are left out together are told in one sentence, each once") {
  const auto config =
      read({"StripPrefix \"x\"\nFoo 1\n<Metric \"a\">\n</Metric>\n<Metric \"b\">\n</Metric>\n"
            "<Files \"a\">\n</Files>"});
  REQUIRE(config.messages.size() == 1);
  CHECK(config.messages[0].text.starts_with("<Plugin mmstats>: StripPrefix, Foo, Metric are left out: "));
  const auto alone = read({"Interval 3\nInterval 4\n<Files \"a\">\n</Files>"});
  REQUIRE(alone.messages.size() == 1);
  CHECK(alone.messages[0].text.starts_with("<Plugin mmstats>: Interval is left out: "));
}

TEST_CASE("braces in a Path are expanded as in a shell") {
  const auto config = read({R"(Path "/a/{web,db}-*.mmstats" "/b/*" "/{c,d}/x")"});
  CHECK(texts(config.messages).empty());
  REQUIRE(config.blocks.size() == 1);
  CHECK(config.blocks[0].watch.globs ==
        std::vector<std::string>{"/a/web-*.mmstats", "/a/db-*.mmstats", "/b/*", "/c/x", "/d/x"});
  CHECK(config.blocks[0].watch.tell_missing_folders);
  CHECK_FALSE(read({"Interval 1"}).blocks.at(0).watch.tell_missing_folders);
  std::string many = "/";
  for (int i = 0; i < 11; ++i) many += "{a,b}";
  const auto refused = read({"Path \"" + many + "\" \"/b/*\""});
  REQUIRE(refused.messages.size() == 1);
  CHECK(refused.messages[0].text.find("its braces make more than 1000 patterns") != std::string::npos);
  CHECK(refused.blocks.at(0).watch.globs == std::vector<std::string>{"/b/*"});
}

TEST_CASE("a Path that is a folder is told, with what to write") {
  const auto config = read({R"(Path "/usr" "/tmp/" "/no/such/folder/" "/no/such/file")"});
  REQUIRE(config.messages.size() == 3);
  CHECK(
      config.messages[0].text ==
      R"(<Plugin mmstats>: Path "/usr" is left out: it is a folder; for the files in it write "/usr/*.mmstats")");
  CHECK(config.messages[1].text.ends_with(R"(write "/tmp/*.mmstats")"));
  CHECK(config.messages[2].text.ends_with(R"(write "/no/such/folder/*.mmstats")"));
  CHECK(config.blocks.at(0).watch.globs == std::vector<std::string>{"/no/such/file"});
}

TEST_CASE("a letter that was probably a class of letters is noticed") {
  struct Row {
    std::string pattern;
    char letter;  // 0: nothing is told
  };
  // As they arrive: collectd has removed a backslash.
  for (const auto& row : std::vector<Row>{
           {"shop.status.d+", 'd'},
           {"status.(d)dd", 'd'},
           {"status.dd", 'd'},
           {"w+", 'w'},
           {".*.s*", 's'},
           {"a_(d+)_b", 'd'},
           {"(d)", 'd'},
           {"x[-]d{3}", 'd'},
           {"D+", 'D'},
           {"status[.][0-9]+", 0},
           {"status.\\d+", 0},
           {"requests?", 0},
           {"words+", 0},
           {"add.*", 0},
           {"ssd.reads", 0},
           {"www.requests", 0},
           {"disk.d.reads", 0},
           {"s", 0},
           {"sda[0-9]", 0},
           {"(?:a|b).*", 0},
           {"2dd+", 0},
           {"", 0},
       }) {
    CAPTURE(row.pattern);
    for (const std::string option : {"Include", "Ignore"}) {
      const auto config = read({option + " \"" + row.pattern + "\""});
      REQUIRE(config.messages.size() == (row.letter == 0 ? 0 : 1));
      if (row.letter == 0) continue;
      const std::string letter(1, row.letter);
      CHECK(config.messages[0].severity == Message::Severity::kWarning);
      CHECK(config.messages[0].text ==
            "<Plugin mmstats>: " + option + " \"" + row.pattern + "\": \"" + letter +
                "\" stands for the letter itself; if it was meant as the class \\" + letter + ", write \\\\" +
                letter + ", as collectd removes one backslash");
    }
    const auto metric = read({"<Metric \"" + row.pattern + "\">\nScale 2\n</Metric>"});
    CHECK(metric.messages.size() == (row.letter == 0 ? 0 : 1));
    CHECK(metric.blocks.size() == 1);
  }
}

TEST_CASE("blocks of families have the options of metrics, and their order counts") {
  const auto config = read({R"conf(
    <Files "web">
      StripPrefix "web"
      Drop "method"
      <Metric "sent[.]PUT[.].*">
        TypeInstance "puts"
      </Metric>
      <Family "s(.)nt">
        Where "status" "5.."
        Where "method" "GET|POST"
        TypeInstance "errors.%{status}.%{method}.\1"
        Type "http_requests"
        Keep "status" "method"
      </Family>
      <family "sent">
        where "status" "4.."
        keep false
      </family>
      <Metric "code[.](?P<code>[0-9]+)">
        TypeInstance "http.%{code}"
      </Metric>
    </Files>)conf"});
  CHECK(texts(config.messages) == std::vector<std::string>{});
  REQUIRE(config.blocks.size() == 1);
  const auto& block = config.blocks[0];
  using Dimensions = std::vector<mmstats::Dimension>;
  struct Row {
    const char* label;
    int rule;
    const char* name;
    Dimensions dimensions;
  };
  const Row rows[] = {
      {"web.sent.PUT.503", 0, "puts", {}},
      {"web.sent.GET.503", 1, "errors.503.GET.e", {}},
      {"web.sent.HEAD.503", -1, "sent.503", {{"status", "503"}}},
      {"web.sent.GET.404", 2, "sent", {}},
      {"web.sent.GET.200", -1, "sent.200", {{"status", "200"}}},
      {"web.code.404", 3, "http.404", {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    const auto binding = bind_sent(block, row.label);
    CHECK(binding.rule == row.rule);
    CHECK(binding.name == row.name);
    CHECK(binding.dimensions == row.dimensions);
  }
  CHECK(block.names.types == std::vector<std::string>{"", "http_requests", "", ""});
  REQUIRE(block.types.size() == 1);
  CHECK(block.types[0].block == "<Family \"s(.)nt\">");
}

TEST_CASE("a mistake about dimensions costs its option, and is named as others are") {
  struct Row {
    std::string options;
    std::vector<const char*> told;
  };
  const auto family = [](const std::string& option) {
    return "<Family \"sent\">\n" + option + "\n</Family>";
  };
  const Row rows[] = {
      {"Keep 1", {"<Plugin mmstats>: Keep 1 is left out", "names of dimensions"}},
      {"Drop \"a-b\"", {"Drop \"a-b\" is left out", "letters"}},
      {"<Family 1>\n</Family>", {"Family 1 is left out", "families"}},
      {"<Family \"\">\n</Family>", {"Family \"\" is left out", "families"}},
      {"<Family \"(\">\n</Family>", {"<Family \"(\">: the block is left out", "missing )"}},
      {"<Metric \"(?P<le>.)\">\n</Metric>", {"group \"le\" gives no dimension", "OpenMetrics"}},
      {family("Where \"status\""),
       {"<Family \"sent\">: the block is left out", "Where \"status\"", "in quotes"}},
      {family("Where \"status\" \"(\""), {"the block is left out", "Where \"status\" \"(\"", "missing )"}},
      {family("Where \"a.b\" \"x\""), {"the block is left out", "Where \"a.b\" \"x\"", "letters"}},
      {family("Drop true"), {"<Family \"sent\">: Drop true is left out", "names of dimensions"}},
      {family("TypeInstance \"%{a\""), {"TypeInstance \"%{a\" is left out", "}"}},
      {family("TypeInstance \"\\1\""), {"TypeInstance \"\\1\" is left out"}},
      {"<Metric \"a(?P<b>.)\">\nTypeInstance \"%{c}\"\n</Metric>",
       {"TypeInstance \"%{c}\" is left out", "%{c}"}},
      {"Where \"status\" \"5..\"", {"Where", "there is no such option here"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.options);
    const auto config = read({row.options});
    REQUIRE(config.messages.size() == 1);
    CAPTURE(config.messages[0].text);
    for (const char* part : row.told) CHECK(config.messages[0].text.find(part) != std::string::npos);
    CHECK(config.blocks.size() == 1);
  }
}

TEST_CASE("digits beside a dimension are no group that lost its backslash") {
  CHECK(read({"<Metric \"s[.](?P<code>.*)\">\nTypeInstance \"http2.%{code}\"\n</Metric>"}).messages.empty());
  CHECK(read({"<Metric \"s[.](?P<code>.*)\">\nTypeInstance \"http1\"\n</Metric>"}).messages.size() == 1);
  CHECK(read({"<Family \"s[.](.*)\">\nTypeInstance \"http1\"\n</Family>"}).messages.size() == 1);
}

TEST_CASE("families that match nothing are told as they are written") {
  const auto lines = mmstats::collectd::no_label_matches({.includes = {},
                                                          .rules = {"a.*"},
                                                          .families = {"snet"},
                                                          .prefix = {},
                                                          .labels = 7,
                                                          .example = "sent.GET"});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "<Metric \"a.*\"> matched no label of 7, such as \"sent.GET\"");
  CHECK(lines[1] == "<Family \"snet\"> matched no label of 7, such as \"sent.GET\"");
}

TEST_CASE("a class of letters that lost its backslash is noticed in values, too") {
  const auto config = read({"<Family \"sent\">\nWhere \"status\" \"d+\"\n</Family>"});
  REQUIRE(config.messages.size() == 1);
  CHECK(config.messages[0].severity == Message::Severity::kWarning);
  CHECK(config.messages[0].text.find("Where \"status\" \"d+\": \"d\" stands for") != std::string::npos);
}

TEST_CASE("a block whose Where cannot be is not for all values instead") {
  const auto config =
      read({"<Family \"sent\">\nWhere \"status\" \"(\"\nIgnore true\n</Family>\n"
            "<Family \"sent\">\nWhere \"status\" \"5..\"\nType \"http_requests\"\n</Family>"});
  REQUIRE(config.blocks.size() == 1);
  const BlockConfig& block = config.blocks[0];
  CHECK(bind_sent(block, "web.sent.GET.404").used);
  CHECK(bind_sent(block, "web.sent.GET.503").used);
  CHECK(block.names.types.size() == 1);
}

TEST_CASE("old groups whose names can be no dimensions are groups as before") {
  const auto config =
      read({"<Metric \"a[.](?P<le>.*)[.](?P<__x>.*)\">\nType \"http_requests\"\n"
            "TypeInstance \"\\1-\\2\"\n</Metric>"});
  CHECK(config.messages.size() == 2);
  for (const auto& message : config.messages) CHECK(message.severity == Message::Severity::kWarning);
  const auto binding = bind(config.blocks.at(0), "a.b.c");
  CHECK(binding.name == "b-c");
  CHECK(binding.dimensions.empty());
}

TEST_CASE("dimensions that no label has are told") {
  const auto lines = mmstats::collectd::no_label_matches({.includes = {},
                                                          .rules = {},
                                                          .families = {},
                                                          .dimensions = {"sttus"},
                                                          .prefix = {},
                                                          .labels = 7,
                                                          .example = "sent.GET"});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("no label of 7 has the dimension \"sttus\"") == 0);
}
