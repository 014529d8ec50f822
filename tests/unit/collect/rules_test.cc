#include "collect/rules.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

using namespace mmstats;

namespace {

Field field(std::string_view label, std::string_view type, bool buffered) {
  Field made;
  made.label = label;
  made.type_text = type;
  made.type = *parse_type(type);
  made.buffered = buffered;
  return made;
}

Binding bind(const Rules& rules, std::string_view label, std::string_view type = "Q", bool buffered = true) {
  return rules.bind(label, field(label, type, buffered), {});
}

}  // namespace

TEST_CASE("without rules, kind and aggregate follow from type and buffering") {
  struct Row {
    const char* type;
    bool buffered;
    bool used;
    Kind kind;
    Aggregate aggregate;
  };
  const Row rows[] = {
      {"Q", true, true, Kind::kCounter, Aggregate::kSum},
      {"  Q", true, true, Kind::kCounter, Aggregate::kSum},
      {"q", true, true, Kind::kGauge, Aggregate::kSum},
      {"i", true, true, Kind::kGauge, Aggregate::kSum},
      {"H", true, true, Kind::kGauge, Aggregate::kSum},
      {"d", true, true, Kind::kGauge, Aggregate::kAvg},
      {"f", true, true, Kind::kGauge, Aggregate::kAvg},
      {"e", true, true, Kind::kGauge, Aggregate::kAvg},
      {"?", false, true, Kind::kState, Aggregate::kSum},
      {"Q", false, false, {}, {}},
      {"d", false, false, {}, {}},
      {"b", false, false, {}, {}},
      {"32s", false, false, {}, {}},
      {"32s", true, false, {}, {}},
      {"c", true, false, {}, {}},
      {"4x", true, false, {}, {}},
  };
  const Rules rules;
  for (const Row& row : rows) {
    CAPTURE(row.type);
    CAPTURE(row.buffered);
    const auto binding = bind(rules, "x", row.type, row.buffered);
    REQUIRE(binding.used == row.used);
    if (!row.used) continue;
    CHECK(binding.kind == row.kind);
    CHECK(binding.aggregate == row.aggregate);
  }
}

TEST_CASE("a prefix goes with its dot, and only where it is a whole part") {
  struct Row {
    const char* prefix;
    const char* label;
    const char* want;
  };
  const Row rows[] = {
      {"web", "web.hits", "hits"},
      {"web.", "web.hits", "hits"},
      {"web", "website.hits", "website.hits"},
      {"web", "web", "web"},
      {"web", "web.", "web."},
      {"web.stats", "web.stats.a.b", "a.b"},
      {"web", "other.web.x", "other.web.x"},
      {"", "web.hits", "web.hits"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.prefix);
    CAPTURE(row.label);
    Rules rules;
    rules.strip_prefix(row.prefix);
    CHECK(bind(rules, row.label).name == row.want);
  }
}

TEST_CASE("include lets in, ignore keeps out, and both see the whole label without its prefix") {
  Rules rules;
  rules.strip_prefix("web");
  REQUIRE(rules.include("hits|status\\..*|caf\u00e9").has_value());
  REQUIRE(rules.ignore("status\\.5..").has_value());
  CHECK(bind(rules, "web.hits").used);
  CHECK(bind(rules, "web.status.200").used);
  CHECK(bind(rules, "web.caf\u00e9").used);
  CHECK(bind(rules, "web.status.\xff\n").used);
  CHECK_FALSE(bind(rules, "web.status.500").used);
  CHECK_FALSE(bind(rules, "web.hits.more").used);
  CHECK_FALSE(bind(rules, "more.hits").used);
}

TEST_CASE("the first rule that matches decides, and its captures make the name") {
  Rules rules;
  REQUIRE(rules
              .add({.pattern = "status\\.(\\d)(\\d\\d)",
                    .kind = {},
                    .aggregate = {},
                    .name = "http_\\1xx_\\2",
                    .sink_type = "http"})
              .has_value());
  REQUIRE(rules
              .add({.pattern = "status\\..*",
                    .kind = {},
                    .aggregate = {},
                    .name = {},
                    .sink_type = {},
                    .ignore = true})
              .has_value());
  REQUIRE(rules
              .add({.pattern = ".*limit",
                    .kind = Kind::kGauge,
                    .aggregate = Aggregate::kMax,
                    .name = {},
                    .sink_type = {},
                    .scale = 0.5})
              .has_value());
  const auto status = bind(rules, "status.404");
  CHECK(status.name == "http_4xx_04");
  CHECK(status.sink_type == "http");
  CHECK(status.kind == Kind::kCounter);
  CHECK_FALSE(bind(rules, "status.other").used);
  const auto limit = bind(rules, "the.limit", "I", false);
  CHECK(limit.used);
  CHECK(limit.aggregate == Aggregate::kMax);
  CHECK(limit.scale == 0.5);
}

TEST_CASE("the set's aggregate goes to gauges, and to counters only where it makes sense") {
  Rules rules;
  rules.aggregate(Aggregate::kMax);
  CHECK(bind(rules, "depth", "i").aggregate == Aggregate::kMax);
  CHECK(bind(rules, "hits", "Q").aggregate == Aggregate::kSum);
  rules.aggregate(Aggregate::kNone);
  CHECK(bind(rules, "hits", "Q").aggregate == Aggregate::kNone);
  const auto latency = bind(rules, "latency", "d");
  CHECK(latency.aggregate == Aggregate::kNone);
  CHECK(latency.within_process == Aggregate::kAvg);
}

TEST_CASE("a rule that names no aggregate leaves the set's, and one that names it is stronger") {
  Rules rules;
  rules.aggregate(Aggregate::kMax);
  const auto add = [&](const char* pattern, std::optional<Kind> kind, std::optional<Aggregate> aggregate) {
    REQUIRE(rules.add({.pattern = pattern, .kind = kind, .aggregate = aggregate, .name = {}, .sink_type = {}})
                .has_value());
  };
  add("plain", {}, {});
  add("least", {}, Aggregate::kMin);
  add("usual", {}, Aggregate::kByKind);
  add("counted", Kind::kCounter, Aggregate::kByKind);
  add("when", Kind::kTimestamp, Aggregate::kNone);
  CHECK(bind(rules, "other", "d").aggregate == Aggregate::kMax);
  CHECK(bind(rules, "plain", "d").aggregate == Aggregate::kMax);
  CHECK(bind(rules, "least", "d").aggregate == Aggregate::kMin);
  CHECK(bind(rules, "usual", "d").aggregate == Aggregate::kAvg);
  CHECK(bind(rules, "counted", "d").aggregate == Aggregate::kSum);
  CHECK(bind(rules, "when", "d").aggregate == Aggregate::kNone);
  CHECK(bind(rules, "when", "d").within_process == Aggregate::kMax);
  for (const int rule : {0, 1, 2, 3, 4}) {
    const char* const labels[] = {"plain", "least", "usual", "counted", "when"};
    CHECK(bind(rules, labels[rule], "d").rule == rule);
  }
  CHECK(bind(rules, "other", "d").rule == kNoRule);
}

TEST_CASE("of times the latest counts, whoever says that they are times") {
  Rules rules;
  CHECK(rules.bind("at", field("at", "d", true), find_metadata("at\ttimestamp\tseconds\n", "at")).aggregate ==
        Aggregate::kMax);
  CHECK(rules.bind("at", field("at", "Q", true), find_metadata("at\ttimestamp\n", "at")).aggregate ==
        Aggregate::kMax);
  REQUIRE(rules.add({.pattern = "at", .kind = Kind::kTimestamp, .aggregate = {}, .name = {}, .sink_type = {}})
              .has_value());
  CHECK(bind(rules, "at", "d").aggregate == Aggregate::kMax);
}

TEST_CASE("an element of a repeated value has what the file says of its field") {
  const auto binding = Rules().bind("temperatures.3", field("temperatures", "4d", true),
                                    {.kind = Kind::kCounter, .unit = "celsius", .help = "By core"});
  CHECK(binding.used);
  CHECK(binding.kind == Kind::kCounter);
  CHECK(binding.unit == "celsius");
  CHECK(binding.help == "By core");
  CHECK(binding.name == "temperatures.3");
}

TEST_CASE("a name and the groups are of the label without its prefix") {
  Rules rules;
  rules.strip_prefix("web");
  REQUIRE(rules
              .add({.pattern = "status\\.(.*)",
                    .kind = {},
                    .aggregate = {},
                    .name = "all.\\0",
                    .sink_type = {},
                    .keep_groups = true})
              .has_value());
  REQUIRE(
      rules.add({.pattern = "(.*)", .kind = {}, .aggregate = {}, .name = {}, .sink_type = {}}).has_value());
  const auto status = bind(rules, "web.status.404");
  CHECK(status.name == "all.status.404");
  CHECK(status.groups == std::vector<std::string>{"404"});
  CHECK(bind(rules, "web.hits").groups.empty());
}

TEST_CASE("a rule is stronger than what a file says, and that is stronger than convention") {
  Rules rules;
  REQUIRE(rules.add({.pattern = "b", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}})
              .has_value());
  const char* metadata = "a\tgauge\tbytes\tHelp\nb\tgauge\n";
  const auto a = rules.bind("a", field("a", "Q", true), find_metadata(metadata, "a"));
  CHECK(a.kind == Kind::kGauge);
  CHECK(a.unit == "bytes");
  CHECK(a.help == "Help");
  CHECK(rules.bind("b", field("b", "Q", true), find_metadata(metadata, "b")).kind == Kind::kCounter);
  // Of a property, too: both make a value of it.
  const auto said = rules.bind("a", field("a", "Q", false), find_metadata(metadata, "a"));
  CHECK(said.used);
  CHECK(said.kind == Kind::kGauge);
  const auto ruled = rules.bind("b", field("b", "Q", false), {});
  CHECK(ruled.used);
  CHECK(ruled.kind == Kind::kCounter);
}

TEST_CASE("what cannot work is refused with the reason") {
  Rules rules;
  const auto reason = [](const Expected<void>& result) {
    return result ? std::string() : result.error().message;
  };
  CHECK(reason(rules.include("a(b")).find("a(b") != std::string::npos);
  CHECK(reason(rules.ignore("[")).find("[") != std::string::npos);
  CHECK(reason(rules.add({.pattern = "(", .kind = {}, .aggregate = {}, .name = {}, .sink_type = {}}))
            .find("\"(\"") != std::string::npos);
  CHECK(reason(rules.add({.pattern = "a(.)", .kind = {}, .aggregate = {}, .name = "\\2", .sink_type = {}}))
            .find("\\2") != std::string::npos);
  CHECK(reason(rules.add({.pattern = "a",
                          .kind = Kind::kCounter,
                          .aggregate = Aggregate::kAvg,
                          .name = {},
                          .sink_type = {}}))
            .find("avg") != std::string::npos);
  CHECK(bind(rules, "anything").used);
}

TEST_CASE("every aggregate has a word, and only those words are aggregates") {
  for (const char* word : {"default", "sum", "avg", "min", "max", "nonzero-avg", "nonzero-min", "none"}) {
    REQUIRE(parse_aggregate(word).has_value());
    CHECK(to_string(*parse_aggregate(word)) == word);
  }
  CHECK_FALSE(parse_aggregate("average").has_value());
}

TEST_CASE("patterns that match no label are known once labels were met") {
  Rules rules;
  rules.strip_prefix("web");
  REQUIRE(rules.include("hits|a[.].*"));
  REQUIRE(rules.include("misspelt"));
  REQUIRE(rules.add({.pattern = "hits", .kind = {}, .aggregate = {}, .name = {}, .sink_type = {}}));
  REQUIRE(rules.add({.pattern = "nothing[.].*", .kind = {}, .aggregate = {}, .name = {}, .sink_type = {}}));
  const auto use = rules.record_use();
  CHECK_FALSE(use->take());
  bind(rules, "sys.pid");
  bind(rules, "hits");
  bind(rules, "a.b");
  bind(rules, "hits");
  const auto unused = use->take();
  REQUIRE(unused);
  CHECK(unused->labels == 3);
  CHECK_FALSE(unused->more_labels);
  CHECK(unused->example == "hits");
  CHECK(unused->prefix == "web");
  CHECK(unused->includes == std::vector<std::string>{"misspelt"});
  CHECK(unused->rules == std::vector<std::string>{"nothing[.].*"});
  CHECK_FALSE(use->take());
  bind(rules, "more");
  CHECK_FALSE(use->take());
}

TEST_CASE("the look at labels is bounded, and a prefix is used if one label has it") {
  Rules rules;
  rules.strip_prefix("web");
  const auto use = rules.record_use();
  bind(rules, "web.hits");
  for (std::size_t i = 0; i < PatternUse::kMaxLabels + 10; ++i) bind(rules, std::to_string(i).c_str());
  const auto unused = use->take();
  REQUIRE(unused);
  CHECK(unused->labels == PatternUse::kMaxLabels);
  CHECK(unused->more_labels);
  CHECK(unused->prefix.empty());
}
