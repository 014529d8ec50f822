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
// What TOML writes as an array, collectd writes without brackets and commas.
const std::vector<Row> kListRows{
    {"keep",
     {"\"status\"", "\"method\", \"status\"", "\"other\"", "false"},
     {"\"\"", "1", "true", "\"a-b\"", "\"status\", 1", "\"le\"", "\"status\", false", "\"__a\""}},
    {"drop", {"\"status\"", "\"method\", \"status\"", "false"}, {"\"quantile\"", "true", "2", "\"a b\""}},
};
const Row kInterval{
    "interval", {"0.001", "10", "2.5", "1000000000"}, {"0", "-1", "0.0001", "1e10", "nan", "\"10\""}};
const Row kPatterns{"include", {"\"a.*\"", "\"web[.](x|y)\""}, {"\"(\"", "\"[\"", "1", "true"}};

// Without dimensions: for collectd there are none, where the name has them all.
std::string text(const Binding& binding) {
  if (!binding.used) return "nothing";
  return std::to_string(static_cast<int>(binding.kind)) + " " + std::string(to_string(binding.aggregate)) +
         " " + std::to_string(binding.scale) + " " + binding.name;
}

// Of values with commas between them.
std::string in_brackets(const std::string& values) { return values == "false" ? values : "[" + values + "]"; }
std::string without_commas(std::string values) {
  std::erase(values, ',');
  return values;
}

// What a set of files and its rules do, as text.
std::string effect(const WatchOptions& watch, const Rules& rules) {
  std::string all = std::to_string(watch.discovery.max_files) + " " +
                    std::to_string(watch.fold.max_file_size) + " " + std::to_string(watch.fold.max_series) +
                    " " + std::to_string(watch.fold.max_memory) + " " +
                    std::to_string(static_cast<int>(watch.stale));
  constexpr std::string_view kTold = "web.sent\tcounter\t\t\t\tmethod status\n";
  for (const char* label : {"web.hits", "web.x", "a b.c", "other", "web.sent.GET.200", "web.sent.PUT.404"}) {
    for (const char* type : {"Q", "d", "i"}) {
      Field field;
      field.label = label;
      field.type_text = type;
      field.type = parse_type(type).value();
      field.buffered = true;
      all += "\n" + text(rules.bind(label, field, find_metadata(kTold, label)));
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

TEST_CASE("what takes several values is the same for collectd and for the forwarder") {
  check_complete(kListRows, files_lists());
  check_complete(kListRows, rule_lists());
  for (const auto& row : kListRows) {
    for_each_value(row, [&](const std::string& values, bool taken) {
      const auto option = collectd::option_name(row.name) + " " + without_commas(values);
      const auto key = row.name + " = " + in_brackets(values);
      check_same(of_collectd(option), of_forwarder(key), taken);
      check_same(of_collectd("<Family \"web[.].*\">\n" + option + "\n</Family>"),
                 of_forwarder("[[group.metric]]\nfamily = \"web[.].*\"\n" + key), taken);
      check_same(of_collectd("Drop \"method\"\n<Metric \".*\">\n" + option + "\n</Metric>"),
                 of_forwarder("drop = \"method\"\n[[group.metric]]\nmatch = \".*\"\n" + key), taken);
    });
  }
  CHECK(of_forwarder("keep = []") == of_collectd("Keep false"));
  CHECK(of_forwarder("keep = [\"status\", \"method\"]") == of_collectd("Keep \"status\"\nKeep \"method\""));
}

TEST_CASE("values of dimensions and families are matched alike by collectd and by the forwarder") {
  struct Pair {
    const char* name;
    const char* pattern;
    bool taken;
  };
  const Pair pairs[] = {
      {"method", "\"GET\"", true}, {"method", "\"G.*|P.*\"", true}, {"status", "\"4..\"", true},
      {"other", "\"\"", true},     {"other", "\"x\"", true},        {"method", "\"(\"", false},
      {"method", "1", false},      {"method", "true", false},       {"le", "\"a\"", false},
      {"a-b", "\"a\"", false},
  };
  for (const Pair& pair : pairs) {
    CAPTURE(pair.name);
    CAPTURE(pair.pattern);
    const std::string where = "Where \"" + std::string(pair.name) + "\" " + pair.pattern + "\nIgnore true\n";
    const std::string key =
        "where = { \"" + std::string(pair.name) + "\" = " + pair.pattern + " }\nignore = true";
    check_same(of_collectd("<Family \"web.sent\">\n" + where + "</Family>"),
               of_forwarder("[[group.metric]]\nfamily = \"web.sent\"\n" + key), pair.taken);
    check_same(of_collectd("<Metric \"web.*\">\n" + where + "</Metric>"),
               of_forwarder("[[group.metric]]\nmatch = \"web.*\"\n" + key), pair.taken);
  }
  for (const char* pattern : {"(", "", "["}) {
    const std::string quoted = "\"" + std::string(pattern) + "\"";
    check_same(of_collectd("<Family " + quoted + ">\n</Family>"),
               of_forwarder("[[group.metric]]\nfamily = " + quoted), false);
  }
}
