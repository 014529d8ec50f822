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

constexpr const char* kFamilies =
    "web.sent\tcounter\tresponses\tResponses sent\t\tmethod status\n"
    "web.time\thistogram\tseconds\tTimes\tlog-linear 32 -30 50\tmethod status\n";

Binding bind_of_family(const Rules& rules, std::string_view label) {
  return rules.bind(label, field(label, "Q", true), find_metadata(kFamilies, label));
}

using Dimensions = std::vector<Dimension>;
using Names = std::vector<std::string>;

Rule of_family(const char* family) {
  Rule rule;
  rule.family = family;
  return rule;
}

Rule of_pattern(const char* pattern) {
  Rule rule;
  rule.pattern = pattern;
  return rule;
}

std::string reason(const Expected<void>& result) { return result ? std::string() : result.error().message; }

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

TEST_CASE("a field of a family has its label without the prefix, and values as they were before escapes") {
  Rules rules;
  rules.strip_prefix("web");
  const auto binding = bind_of_family(rules, "web.sent.GET.4%2E04");
  CHECK(binding.used);
  CHECK(binding.name == "sent.GET.4%2E04");
  CHECK(binding.family == "sent");
  CHECK(binding.dimensions == Dimensions{{"method", "GET"}, {"status", "4.04"}});
  CHECK(binding.kind == Kind::kCounter);
  CHECK(binding.unit == "responses");
  CHECK(binding.help == "Responses sent");
  const auto none = bind_of_family(rules, "web.sent");
  CHECK(none.family.empty());
  CHECK(none.dimensions.empty());
  // What a histogram of a family holds is a family of its own.
  const auto sum = bind_of_family(rules, "web.time.GET.200.sum");
  CHECK(sum.name == "time.GET.200.sum");
  CHECK(sum.family == "time.sum");
  CHECK(sum.dimensions == Dimensions{{"method", "GET"}, {"status", "200"}});
}

TEST_CASE("dimensions that are dropped leave a name of those that are kept") {
  struct Row {
    std::optional<Names> keep;
    std::optional<Names> drop;
    const char* label;
    const char* name;
    Dimensions dimensions;
  };
  const Dimension get{"method", "GET"};
  const Dimension status{"status", "a.b"};
  const Row rows[] = {
      {{}, {}, "web.sent.GET.a%2Eb", "sent.GET.a%2Eb", {get, status}},
      {{}, Names{"other"}, "web.sent.GET.a%2Eb", "sent.GET.a%2Eb", {get, status}},
      {{}, Names{"method"}, "web.sent.GET.a%2Eb", "sent.a%2Eb", {status}},
      {{}, Names{"status"}, "web.sent.GET.a%2Eb", "sent.GET", {get}},
      {{}, Names{"status", "method"}, "web.sent.GET.a%2Eb", "sent", {}},
      {Names{"status"}, {}, "web.sent.GET.a%2Eb", "sent.a%2Eb", {status}},
      {Names{}, {}, "web.sent.GET.a%2Eb", "sent", {}},
      {Names{"status", "method"}, Names{"status"}, "web.sent.GET.a%2Eb", "sent.GET", {get}},
      {Names{"status"}, {}, "web.time.GET.a%2Eb.sum", "time.a%2Eb.sum", {status}},
      {Names{}, {}, "web.time.GET.a%2Eb.sum", "time.sum", {}},
      {Names{}, {}, "web.other.GET", "other.GET", {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    for (const bool of_set : {false, true}) {
      CAPTURE(of_set);
      Rules rules;
      rules.strip_prefix("web");
      Rule rule = of_pattern(".*");
      if (of_set) {
        if (row.keep) rules.keep_dimensions(*row.keep);
        if (row.drop) rules.drop_dimensions(*row.drop);
      } else {
        rule.keep = row.keep;
        rule.drop = row.drop;
      }
      REQUIRE(rules.add(rule));
      const auto binding = bind_of_family(rules, row.label);
      CHECK(binding.name == row.name);
      CHECK(binding.dimensions == row.dimensions);
    }
  }
}

TEST_CASE("what a rule drops or keeps is stronger than what the set does, and no rule leaves it to the set") {
  Rules rules;
  rules.drop_dimensions({"method"});
  Rule rule = of_pattern("web.sent[.]GET.*");
  rule.drop = Names{"status"};
  REQUIRE(rules.add(rule));
  rule = of_pattern("web.sent[.]PUT.*");
  rule.drop = Names{};
  REQUIRE(rules.add(rule));
  CHECK(bind_of_family(rules, "web.sent.GET.200").name == "web.sent.GET");
  CHECK(bind_of_family(rules, "web.sent.PUT.200").name == "web.sent.PUT.200");
  CHECK(bind_of_family(rules, "web.sent.POST.200").name == "web.sent.200");
}

TEST_CASE("a rule of families is for their fields alone, and mixes with others in their order") {
  Rules rules;
  rules.strip_prefix("web");
  Rule second = of_family("s(e|x)nt");
  second.name = "\\1 \\0 %{status}";
  second.keep_groups = true;
  Rule last = of_family("time");
  last.name = "t.%{method}";
  REQUIRE(rules.add(of_pattern("sent[.]POST.*")));
  REQUIRE(rules.add(second));
  REQUIRE(rules.add(of_pattern("sent.*")));
  REQUIRE(rules.add(last));
  CHECK(bind_of_family(rules, "web.sent.POST.200").rule == 0);
  const auto sent = bind_of_family(rules, "web.sent.GET.200");
  CHECK(sent.rule == 1);
  CHECK(sent.name == "e sent.GET.200 200");
  CHECK(sent.groups == Names{"e"});
  CHECK(bind_of_family(rules, "web.sent").rule == 2);
  // So what a histogram holds does not become one series.
  const auto sum = bind_of_family(rules, "web.time.GET.200.sum");
  CHECK(sum.rule == 3);
  CHECK(sum.name == "t.GET.sum");
  CHECK(bind_of_family(rules, "web.time.GET").rule == kNoRule);
  // With a pattern of labels, too, both must match.
  Rules both;
  Rule rule = of_family("web.sent");
  rule.pattern = ".*[.]404";
  rule.name = "all";
  REQUIRE(both.add(rule));
  CHECK(bind_of_family(both, "web.sent.GET.404").name == "all");
  CHECK(bind_of_family(both, "web.sent.GET.200").rule == kNoRule);
  CHECK(bind_of_family(both, "web.time.GET.404").rule == kNoRule);
}

TEST_CASE("where a value does not match as a whole, the next rule is tried") {
  struct Row {
    std::vector<DimensionPattern> where;
    const char* label;
    bool matches;
  };
  const Row rows[] = {
      {{{"status", "5.."}}, "web.sent.GET.503", true},
      {{{"status", "5.."}}, "web.sent.GET.5031", false},
      {{{"status", "5..|4.."}}, "web.sent.GET.404", true},
      {{{"status", "5.."}, {"method", "GET"}}, "web.sent.GET.503", true},
      {{{"status", "5.."}, {"method", "PUT"}}, "web.sent.GET.503", false},
      {{{"status", "a[.]b"}}, "web.sent.GET.a%2Eb", true},
      {{{"other", "..*"}}, "web.sent.GET.503", false},
      {{{"other", ".*"}}, "web.sent.GET.503", true},
      {{{"other", ""}}, "web.hits", true},
      {{{"status", "5.."}}, "web.hits", false},
      {{{"status", "5.."}}, "web.code.503", true},
      {{{"status", "5.."}}, "web.code.404", false},
      {{{"status", ""}}, "web.code.", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    Rules rules;
    Rule rule = of_pattern("web[.](sent.*|hits|code[.](?P<status>\\d*))");
    rule.where = row.where;
    REQUIRE(rules.add(rule));
    REQUIRE(rules.add(of_pattern(".*")));
    CHECK(bind_of_family(rules, row.label).rule == (row.matches ? 0 : 1));
  }
}

TEST_CASE("groups with a name give dimensions to a label of no family") {
  struct Row {
    const char* pattern;
    const char* label;
    const char* family;
    Dimensions dimensions;
    const char* dropped;  // the name without its first dimension
  };
  const Row rows[] = {
      {"status\\.(?P<code>\\d+)", "status.404", "status", {{"code", "404"}}, "status"},
      {"(?P<host>\\w+)\\.hits", "a.hits", "hits", {{"host", "a"}}, "hits"},
      {"(?P<a>\\w+)\\.(?P<b>\\w+)\\.x", "1.2.x", "x", {{"a", "1"}, {"b", "2"}}, "x.2"},
      {"x\\.(?P<a>\\w+)\\.(?P<b>\\w+)\\.y", "x.1.2.y", "x.y", {{"a", "1"}, {"b", "2"}}, "x.y.2"},
      {"x_(?P<a>\\d)_y", "x_1_y", "x__y", {{"a", "1"}}, "x__y"},
      {"x(\\.(?P<a>\\d))?(\\.(?P<b>[a-z.]+))?", "x.1", "x", {{"a", "1"}, {"b", ""}}, "x."},
      {"x(\\.(?P<a>\\d))?(\\.(?P<b>[a-z.]+))?", "x.y.z", "x", {{"a", ""}, {"b", "y.z"}}, "x.y%2Ez"},
      {"x\\.(?P<a>\\w+\\.(?P<b>\\w+))", "x.1.2", "x", {{"a", "1.2"}, {"b", "2"}}, "x.2"},
      {"(.)(.)(.)(.)(.)(.)(.)(.)(.)\\.(?P<a>.)", "123456789.x", "123456789", {{"a", "x"}}, "123456789"},
      // Nothing of the label is left for a family.
      {"(?P<a>\\w+)\\.(?P<b>\\w+)", "1.2", "", {}, "2"},
      {"(?P<a>.*)", "1.2", "", {}, "1.2"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.label);
    Rules rules;
    Rule rule = of_pattern(row.pattern);
    REQUIRE(rules.add(rule));
    const auto whole = bind(rules, row.label);
    CHECK(whole.name == row.label);
    CHECK(whole.family == row.family);
    CHECK(whole.dimensions == row.dimensions);
    Rules dropping;
    rule.drop = Names{rule.pattern.find("<host>") == std::string::npos ? "a" : "host"};
    if (rule.pattern.find("<code>") != std::string::npos) rule.drop = Names{"code"};
    REQUIRE(dropping.add(rule));
    CHECK(bind(dropping, row.label).name == row.dropped);
  }
  // What the file says is stronger.
  Rules rules;
  REQUIRE(rules.add(of_pattern("web[.](?P<x>.*)")));
  CHECK(bind_of_family(rules, "web.sent.GET.200").family == "web.sent");
}

TEST_CASE("a name has values of dimensions, dropped ones, too") {
  struct Row {
    const char* name;
    const char* want;
  };
  const Row rows[] = {
      {"%{status}", "a%2Eb"},
      {"http_%{method}_%{status}", "http_GET_a%2Eb"},
      {"%{method}%{other}", "sent.GET"},  // there is no such dimension: no name is given
      {"100% of %s %%", "100% of %s %%"},
      {"%%{status} %{status}", "%{status} a%2Eb"},
      {"\\1%{method}\\0", "sentGETsent.GET.a%2Eb"},
      {"%{method}}", "GET}"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Rules rules;
    rules.strip_prefix("web");
    Rule rule = of_pattern("(\\w+).*");
    rule.name = row.name;
    rule.drop = Names{"status"};
    REQUIRE(rules.add(rule));
    const auto binding = bind_of_family(rules, "web.sent.GET.a%2Eb");
    CHECK(binding.name == row.want);
    // All that get the name are one series.
    const bool given = std::string_view(row.name) != "%{method}%{other}";
    CHECK(binding.family == (given ? "" : "sent"));
    CHECK(binding.dimensions == (given ? Dimensions() : Dimensions{{"method", "GET"}}));
  }
  // A value is foreign, and is not looked at again.
  Rules rules;
  Rule rule = of_family("web.sent");
  rule.name = "%{method}";
  REQUIRE(rules.add(rule));
  CHECK(bind_of_family(rules, "web.sent.%{status}\\0.200").name == "%25{status}\\0");
}

TEST_CASE("a name may be empty, and endings of histograms' fields are all of it then") {
  Rules rules;
  rules.strip_prefix("web");
  Rule family = of_family("time");
  family.name = "";
  REQUIRE(rules.add(family));
  Rule metric = of_pattern("sent(.*)[.]GET[.]200");
  metric.name = "\\1";
  REQUIRE(rules.add(metric));
  CHECK(bind_of_family(rules, "web.time.GET.a%2Eb.sum").name == "sum");
  const auto sent = bind_of_family(rules, "web.sent.GET.200");
  CHECK(sent.used);
  CHECK(sent.name.empty());
  CHECK(sent.family.empty());
}

TEST_CASE("a combination has one label, however its file writes it") {
  struct Row {
    const char* label;
    const char* want;
    const char* value;
  };
  const Row rows[] = {
      {"web.sent.GET.200", "web.sent.GET.200", "200"},
      {"web.sent.GET.%32%30%30", "web.sent.GET.200", "200"},
      {"web.sent.G%45T.a%2eb", "web.sent.GET.a%2Eb", "a.b"},
      {"web.sent.GET.%zz", "web.sent.GET.%25zz", "%zz"},
      {"web.sent.GET.a\nb", "web.sent.GET.a%0Ab", "a\nb"},
      {"web.sent.GET.sys", "web.sent.GET.%73ys", "sys"},
      {"web.sent.GET.", "web.sent.GET.", ""},
      {"web.sent.GET.\xC3\xA4", "web.sent.GET.\xC3\xA4", "\xC3\xA4"},
      {"web.time.GET.%61.sum", "web.time.GET.a.sum", "a"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.want);
    Rules rules;
    rules.strip_prefix("web");
    REQUIRE(rules.add(of_pattern(".*GET[.]200")));  // patterns see it, too
    REQUIRE(rules.add(of_pattern(".*")));
    const auto binding = bind_of_family(rules, row.label);
    CHECK("web." + binding.name == row.want);
    CHECK(binding.stripped);
    CHECK(binding.dimensions == Dimensions{{"method", "GET"}, {"status", row.value}});
    CHECK(binding.rule == (std::string_view(row.value) == "200" ? 0 : 1));
  }
}

TEST_CASE("of what is dropped, what the sink asks for still tells series apart") {
  Rules rules;
  rules.strip_prefix("web");
  Rule rule = of_family("sent");
  rule.drop = Names{"status", "method"};
  rule.asks = {"status", "other"};
  REQUIRE(rules.add(rule));
  const auto binding = bind_of_family(rules, "web.sent.GET.200");
  CHECK(binding.name == "sent.200");
  CHECK(binding.family == "sent");
  CHECK(binding.dimensions.empty());
  CHECK(binding.asked == Dimensions{{"status", "200"}});
}

TEST_CASE("where dimensions are dropped, what the sink's texts depend on still tells series apart") {
  Rules rules;
  Rule rule = of_pattern("web.sent[.](GET|PUT)[.]5(.)(.)");
  rule.drop = Names{"status", "method"};
  rule.keep_groups = true;
  rule.asks_groups = {1, 3, 9};
  REQUIRE(rules.add(rule));
  rule = of_pattern("web[.](.*)[.](.*)");
  rule.drop = Names{"status"};
  rule.keep_groups = true;
  REQUIRE(rules.add(rule));
  const auto first = bind_of_family(rules, "web.sent.GET.503");
  CHECK(first.name == "web.sent");
  CHECK(first.dimensions.empty());
  CHECK(first.asked == Dimensions{{"", "0"}, {"\\1", "GET"}, {"\\3", "3"}});
  const auto second = bind_of_family(rules, "web.sent.GET.404");
  CHECK(second.dimensions == Dimensions{{"method", "GET"}});
  CHECK(second.asked == Dimensions{{"", "1"}});
  CHECK(bind_of_family(rules, "web.hits.x").asked.empty());  // its label tells all
}

TEST_CASE("what cannot be said of dimensions is refused with the reason") {
  const auto why = [](Rule rule) { return reason(Rules().add(std::move(rule))); };
  Rule rule = of_family("(");
  CHECK(why(rule).find("family \"(\"") != std::string::npos);
  rule = of_pattern("a");
  rule.family = "[";
  CHECK(why(rule).find("family \"[\"") != std::string::npos);
  rule = of_family("a");
  rule.where = {{"status", "("}};
  CHECK(why(rule).find("status") != std::string::npos);
  rule.where = {{"a-b", "."}};
  CHECK(why(rule).find("a-b") != std::string::npos);
  rule.where.clear();
  rule.drop = Names{"ok", "le"};
  CHECK(why(rule).find("le") != std::string::npos);
  rule.drop.reset();
  rule.keep = Names{"a b"};
  CHECK(why(rule).find("a b") != std::string::npos);
  rule.keep.reset();
  rule.name = "%{status";
  CHECK(why(rule).find("}") != std::string::npos);
  rule.name = "%{}";
  CHECK(why(rule).find("%{}") != std::string::npos);
  rule.name = "\\1";
  CHECK(why(rule).find("\\1") != std::string::npos);
  rule.name = "%{any}";
  CHECK(why(rule).empty());
  // Of labels only groups with a name are known, if there are any.
  rule = of_pattern("a(?P<code>.)");
  rule.name = "%{other}";
  CHECK(why(rule).find("%{other}") != std::string::npos);
  rule.name = "%{code}";
  CHECK(why(rule).empty());
  rule = of_pattern("a(.)");
  rule.name = "%{other}";
  CHECK(why(rule).empty());
  rule.name = "%{le}";
  CHECK(why(rule).find("%{le}") != std::string::npos);
}

TEST_CASE("groups whose names can be no dimensions are groups as others") {
  Rules rules;
  Rule rule = of_pattern("a[.](?P<quantile>.*)[.](?P<code>.*)");
  rule.keep_groups = true;
  REQUIRE(rules.add(rule));
  std::string many = "many[.]";
  for (int i = 0; i < 18; ++i) many += "(?P<n" + std::to_string(i) + ">.)";
  REQUIRE(rules.add(of_pattern(many.c_str())));
  const auto binding = bind(rules, "a.b.c");
  CHECK(binding.groups == Names{"b", "c"});
  CHECK(binding.family == "a.b");
  CHECK(binding.dimensions == Dimensions{{"code", "c"}});
  CHECK(bind(rules, "many.012345678901234567").dimensions.size() == kMaxDimensions);
  CHECK(bind(rules, "many.012345678901234567").dimensions.back() == Dimension{"n15", "5"});
  CHECK(no_dimensions(**compile_label_pattern(many)).size() == 2);
  const auto wrong = no_dimensions(**compile_label_pattern(rule.pattern));
  REQUIRE(wrong.size() == 1);
  CHECK(wrong[0].find("\"quantile\"") != std::string::npos);
}

TEST_CASE("dimensions that no label has are known once labels were met") {
  Rules rules;
  rules.drop_dimensions({"region", "method"});
  Rule rule = of_family("web.sent");
  rule.where = {{"sttus", "5.."}};
  REQUIRE(rules.add(rule));
  rule = of_pattern("code[.](?P<code>.*)");
  rule.name = "c%{code}";
  rule.ignore = true;
  REQUIRE(rules.add(rule));
  rule = of_pattern(".*");
  rule.name = "%{stats}";
  rule.keep = Names{"status"};
  rule.asks = {"asked"};
  REQUIRE(rules.add(rule));
  const auto use = rules.record_use();
  CHECK(bind_of_family(rules, "web.sent.GET.200").name == "web.sent.200");
  bind_of_family(rules, "code.404");
  CHECK(bind_of_family(rules, "web.hits").name == "web.hits");
  const auto unused = use->take();
  REQUIRE(unused);
  CHECK(unused->dimensions == Names{"region", "sttus", "asked", "stats"});
}

TEST_CASE("families that match nothing are known once labels were met") {
  Rules rules;
  rules.strip_prefix("web");
  REQUIRE(rules.add(of_family("sent")));
  REQUIRE(rules.add(of_family("snet")));
  REQUIRE(rules.add(of_family("hits")));
  Rule both = of_pattern(".*404");
  both.family = "sent";
  REQUIRE(rules.add(both));
  const auto use = rules.record_use();
  bind_of_family(rules, "web.sent.GET.200");
  bind_of_family(rules, "web.hits");
  const auto unused = use->take();
  REQUIRE(unused);
  CHECK(unused->families == Names{"snet", "hits"});
  CHECK(unused->rules == Names{".*404"});
}
