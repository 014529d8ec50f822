// Both configurations take the same words and values, and make the same of them.
#include "collect/settings.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "collectd/config_text.h"
#include "mmstats/format.h"
#include "mmstats/parse.h"
#include "plugin_collectd/config.h"
#include "plugin_pinba/forward/config.h"

using namespace mmstats;

namespace {

const std::vector<std::string> kGlobs{"/default/*.mmstats"};

// An option, and values as both TOML and collectd write them.
struct Row {
  std::string name;
  std::vector<const char*> taken;
  std::vector<const char*> refused;
};

const std::vector<const char*> kNoWords{"\"\"", "\"other\"", "1", "true", "\"sum,avg\""};
const std::vector<const char*> kCounts{"1", "20000", "1e6", "1000000000"};
const std::vector<const char*> kNoCounts{"0", "-1", "1.5", "1000000001", "nan", "inf", "\"10\"", "true"};
const std::vector<const char*> kAggregates{"\"default\"", "\"sum\"",         "\"avg\"",         "\"Min\"",
                                           "\"MAX\"",     "\"nonzero-avg\"", "\"NONZERO-Min\"", "\"none\""};

const std::vector<Row> kFilesRows{
    {"strip_prefix", {"\"web\"", "\"\"", "\"a b\""}, {"1", "false"}},
    {"aggregate", kAggregates, kNoWords},
    {"max_file_size",
     {"1", "65536", "\"4096\"", "\"16M\"", "\"64k\"", "\"1G\"", "1073741824"},
     {"0", "-1", "1.5", "1073741825", "\"2G\"", "\"16MB\"", "\"M\"", "\"\"", "\"-1\"", "\"1.5M\"", "\"1 M\"",
      "\"99999999999999999999\"", "nan", "true"}},
    {"max_files", kCounts, kNoCounts},
    {"max_series", kCounts, kNoCounts},
    {"max_memory",
     {"1048576", "\"1M\"", "\"256m\"", "\"3G\"", "\"1024G\""},
     {"0", "1048575", "\"1023k\"", "\"1025G\"", "\"256MB\"", "\"\"", "nan", "true", "-1"}},
    {"stale", {"\"keep\"", "\"remove\"", "\"Remove\""}, kNoWords},
};
const std::vector<Row> kRuleRows{
    {"kind",
     {"\"counter\"", "\"gauge\"", "\"timestamp\"", "\"state\"", "\"property\"", "\"Gauge\""},
     {"\"\"", "\"histogram\"", "1", "true"}},
    {"aggregate", kAggregates, kNoWords},
    {"scale", {"0.001", "2", "1e300"}, {"0", "-1", "inf", "nan", "\"2\"", "true"}},
    {"ignore", {"true", "false"}, {"\"true\"", "1", "0"}},
};
const Row kInterval{
    "interval", {"0.001", "10", "2.5", "1000000000"}, {"0", "-1", "0.0001", "1e10", "nan", "\"10\""}};
const Row kPatterns{"include", {"\"a.*\"", "\"web[.](x|y)\""}, {"\"(\"", "\"[\"", "1", "true"}};

std::string text(const Binding& binding) {
  if (!binding.used) return "nothing";
  return std::to_string(static_cast<int>(binding.kind)) + " " + std::string(to_string(binding.aggregate)) +
         " " + std::to_string(binding.scale) + " " + binding.name;
}

// What a set of files and its rules do, as text.
std::string effect(const WatchOptions& watch, const Rules& rules) {
  std::string all = std::to_string(watch.discovery.max_files) + " " +
                    std::to_string(watch.fold.max_file_size) + " " + std::to_string(watch.fold.max_series) +
                    " " + std::to_string(watch.fold.max_memory) + " " +
                    std::to_string(static_cast<int>(watch.stale));
  for (const char* label : {"web.hits", "web.x", "a b.c", "other"}) {
    for (const char* type : {"Q", "d", "i"}) {
      Field field;
      field.label = label;
      field.type_text = type;
      field.type = parse_type(type).value();
      field.buffered = true;
      all += "\n" + text(rules.bind(label, field, {}));
    }
  }
  return all;
}

// None: it was refused.
std::optional<std::string> of_collectd(const std::string& options) {
  const std::vector<collectd::ConfigItem> sections{config_text::section(options)};
  const auto read = collectd::read_config(sections, kGlobs, 127);
  if (!read.messages.empty()) return std::nullopt;
  const auto& block = read.blocks.at(0);
  return effect(block.watch, block.rules);
}

std::optional<std::string> of_forwarder(const std::string& keys) {
  const auto read = forward::read_config("[[group]]\nname = \"g\"\n" + keys, "file.toml", kGlobs);
  if (!read) return std::nullopt;
  return effect(read->groups.at(0).watch, read->groups.at(0).rules);
}

template <class Check>
void for_each_value(const Row& row, const Check& check) {
  for (const auto& [values, taken] : {std::pair(row.taken, true), std::pair(row.refused, false)}) {
    for (const char* value : values) {
      CAPTURE(row.name);
      CAPTURE(value);
      check(std::string(value), taken);
    }
  }
}

void check_same(const std::optional<std::string>& collectd, const std::optional<std::string>& forwarder,
                bool taken) {
  CHECK(collectd.has_value() == taken);
  CHECK(forwarder.has_value() == taken);
  CHECK(collectd == forwarder);
}

template <class Settings>
void check_complete(const std::vector<Row>& rows, const Settings& settings) {
  CHECK(rows.size() == settings.size());
  for (const auto& setting : settings) {
    CHECK(std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == setting.name; }));
  }
}

}  // namespace

TEST_CASE("what is said of a set of files is the same for collectd and for the forwarder") {
  check_complete(kFilesRows, files_settings());
  for (const auto& row : kFilesRows) {
    for_each_value(row, [&](const std::string& value, bool taken) {
      check_same(of_collectd(collectd::option_name(row.name) + " " + value),
                 of_forwarder(row.name + " = " + value), taken);
    });
  }
}

TEST_CASE("what is said of a metric is the same for collectd and for the forwarder") {
  check_complete(kRuleRows, rule_settings());
  for (const auto& row : kRuleRows) {
    for_each_value(row, [&](const std::string& value, bool taken) {
      check_same(of_collectd("<Metric \"web[.](.*)\">\n" + collectd::option_name(row.name) + " " + value +
                             "\n</Metric>"),
                 of_forwarder("[[group.metric]]\nmatch = \"web[.](.*)\"\n" + row.name + " = " + value),
                 taken);
    });
  }
}

TEST_CASE("patterns are the same for collectd and for the forwarder") {
  for_each_value(kPatterns, [&](const std::string& value, bool taken) {
    check_same(of_collectd("Include " + value), of_forwarder("include = " + value), taken);
    check_same(of_collectd("Ignore " + value), of_forwarder("ignore = " + value), taken);
  });
}

TEST_CASE("an interval is the same for collectd and for the forwarder") {
  for_each_value(kInterval, [&](const std::string& value, bool taken) {
    const std::vector<collectd::ConfigItem> sections{config_text::section("Interval " + value)};
    const auto collectd = collectd::read_config(sections, kGlobs, 127);
    const auto forwarder = forward::read_config("interval = " + value, "file.toml", kGlobs);
    CHECK(collectd.messages.empty() == taken);
    REQUIRE(forwarder.has_value() == taken);
    if (taken) CHECK(forward::interval_of(collectd.blocks.at(0).interval.value()) == forwarder->interval);
  });
}

TEST_CASE("words that do not go together are named by both") {
  for (const char* aggregate :
       {"avg", "min", "max", "nonzero-avg", "nonzero-min", "sum", "none", "default"}) {
    CAPTURE(aggregate);
    const std::string word = "\"" + std::string(aggregate) + "\"";
    const bool taken = aggregate == std::string("sum") || aggregate == std::string("none") ||
                       aggregate == std::string("default");
    check_same(of_collectd("<Metric \"web.*\">\nKind \"counter\"\nAggregate " + word + "\n</Metric>"),
               of_forwarder("[[group.metric]]\nmatch = \"web.*\"\nkind = \"counter\"\naggregate = " + word),
               taken);
  }
}
