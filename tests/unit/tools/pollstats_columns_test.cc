#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <clocale>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "collect/edit_described.h"
#include "collect/rules.h"
#include "collect/watch.h"
#include "made_file.h"
#include "temporary_folder.h"
#include "tools/pollstats/columns.h"
#include "tools/pollstats/field_pattern.h"
#include "tools/pollstats/file_filter.h"
#include "tools/pollstats/grouping.h"
#include "tools/pollstats/near_labels.h"
#include "tools/pollstats/poll_options.h"
#include "tools/pollstats/samples.h"
#include "tools/pollstats/unknown_dimensions.h"

using namespace pollstats;
using namespace std::chrono_literals;
using mmstats::Kind;
using mmstats::Series;

namespace {

using steady = std::chrono::steady_clock;
using Texts = std::vector<std::string>;

Series counter(std::string name, std::uint64_t total) {
  Series series;
  edit(series)->name = std::move(name);
  series.kind = Kind::kCounter;
  series.integral = series.present = true;
  series.total = total;
  series.value = static_cast<double>(total);
  return series;
}

Series gauge(std::string name, double value, bool present = true) {
  Series series;
  edit(series)->name = std::move(name);
  series.present = present;
  series.value = value;
  return series;
}

Series of_family(Series series, std::string family, std::vector<mmstats::Dimension> dimensions) {
  edit(series)->family = std::move(family);
  edit(series)->dimensions = std::move(dimensions);
  return series;
}

// Looks a second apart.
struct Looks {
  std::vector<Series> series;
  Samples samples{4};
  steady::time_point now{100s};

  void take() {
    now += 1s;
    samples.take(series, now);
  }
};

Columns columns_of(std::string_view fields, const std::string& prefix = {}) {
  return Columns::parse(fields, prefix).value();
}

}  // namespace

TEST_CASE("a pattern matches as in a shell, dots included") {
  struct Row {
    std::string pattern, label;
    bool want;
  };
  const std::array rows{
      Row{"status.*", "status.200", true},
      Row{"status.*", "status.a.b", true},
      Row{"status.*", "statusx200", false},
      Row{"status.*", "web.status.200", false},
      Row{"*", "", true},
      Row{"*", std::string("a\0\n\xFF", 4), true},
      Row{"?", "a", true},
      Row{"?", "é", true},
      Row{"?", "\xFF", true},
      Row{"?", "ab", false},
      Row{"a[0-9]", "a7", true},
      Row{"a[0-9]", "ax", false},
      Row{"a[!0-9]", "ax", true},
      Row{"a[]]", "a]", true},
      Row{"a[a-]", "a-", true},
      Row{"a[.]*", "a.b", true},
      Row{"a[.]*", "axb", false},
      Row{"a[b*", "a[b]", true},  // a set without an end is none
      Row{"a\\*", "a*", true},
      Row{"a\\**", "ab", false},
      Row{"(a|b)*", "(a|b)c", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.label);
    const auto pattern = FieldPattern::compile(row.pattern);
    REQUIRE(pattern);
    CHECK(pattern->matches(row.label) == row.want);
  }
  CHECK(FieldPattern::compile("b*", "a*").value().matches("a*bc"));  // a prefix is meant as it stands
  CHECK_FALSE(FieldPattern::compile("b*", "a*").value().matches("axbc"));
  CHECK_FALSE(FieldPattern::compile("[z-a]"));
}

TEST_CASE("a filter is the beginning of a label, or a label and its value") {
  MadeFile file;
  file.buffered("web.requests", "Q", std::uint64_t{5})
      .unbuffered("web.sys.uid", "Q", std::uint64_t{1000})
      .unbuffered("ratio", "d", 0.5)
      .unbuffered("busy", "?", true)
      .unbuffered("low", "q", std::int64_t{-3})
      .text("role", "front=end", 16)
      .text("a=b", "c", 4);
  mmstats::ParsedFile content;
  mmstats::parse(file.bytes(), content);
  struct Row {
    std::string filter;
    bool want;
  };
  const std::array rows{
      Row{"web.", true},
      Row{"web.requests", true},
      Row{"requests", false},
      Row{"web.requestsX", false},
      Row{"web.sys.uid=1000", true},
      Row{"web.sys.uid=100", false},
      Row{"sys.uid=1000", false},
      Row{"web.requests=5", true},
      Row{"ratio=0.5", true},
      Row{"ratio=.50", true},
      Row{"ratio=", false},
      Row{"busy=True", true},
      Row{"busy=1", true},
      Row{"busy=False", false},
      Row{"low=-3", true},
      Row{"role=front=end", true},
      Row{"role=front", false},
      Row{"a=b=c", true},
      Row{"a=b", true},
      Row{"a=c", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.filter);
    CHECK(passes({row.filter}, content) == row.want);
  }
  CHECK(passes({}, content));
  CHECK(passes({"nothing", "web."}, content));
}

TEST_CASE("a counter's change begins at nothing, a gauge's with its second value") {
  Looks looks;
  looks.series = {counter("c", 100), gauge("g", 5)};
  looks.take();
  CHECK(looks.samples.all()[0].added == 100);
  CHECK_FALSE(looks.samples.all()[0].rate);
  CHECK_FALSE(looks.samples.all()[1].change);

  looks.series[0] = counter("c", 130);
  looks.series[1].value = 3;
  looks.series.push_back(counter("late", 7));  // of a worker that came
  looks.now += 1s;
  looks.take();
  CHECK(looks.samples.all()[0].added == 30);
  CHECK(looks.samples.all()[0].rate == 15.0);
  CHECK(looks.samples.all()[1].change == -2.0);
  CHECK_FALSE(looks.samples.all()[1].rate);
  CHECK(looks.samples.all()[2].added == 7);
  CHECK(looks.samples.all()[2].rate == 3.5);

  looks.series[1].present = false;
  looks.take();
  CHECK_FALSE(looks.samples.all()[1].present);
  looks.series[1].present = true;
  looks.take();
  CHECK_FALSE(looks.samples.all()[1].change);  // from what?
}

TEST_CASE("a counter beyond 2^53 loses nothing") {
  Looks looks;
  looks.series = {counter("c", (1ULL << 63U) + 1)};
  looks.take();
  looks.series = {counter("c", (1ULL << 63U) + 2)};
  looks.take();
  CHECK(looks.samples.all()[0].added == 1);
}

TEST_CASE("there is no rate over no time, or over time that went back") {
  Looks looks;
  looks.series = {counter("c", 5)};
  looks.take();
  CHECK_FALSE(looks.samples.all()[0].rate);
  for (const auto step : {0s, -5s}) {
    looks.series = {counter("c", looks.series[0].total + 10)};
    looks.now += step - 1s;
    looks.take();
    CHECK(looks.samples.all()[0].added == 10);
    CHECK_FALSE(looks.samples.all()[0].rate);
  }
  looks.series = {counter("c", looks.series[0].total + 10)};
  looks.take();
  CHECK(looks.samples.all()[0].rate == 10.0);
  // Where there was none, the curve has a gap.
  std::array<float, 4> past{};
  looks.samples.history(0, past);
  CHECK(std::isnan(past[1]));
  CHECK(std::isnan(past[2]));
  CHECK(past[3] == 10);
}

TEST_CASE("a counter of whole numbers that becomes one of fractions goes on") {
  Looks looks;
  looks.series = {counter("c", 5)};
  looks.take();
  looks.series[0].integral = false;
  looks.series[0].total = 0;
  looks.series[0].value = 7.5;
  looks.take();
  const Sample& sample = looks.samples.all()[0];
  CHECK_FALSE(sample.whole);
  CHECK(sample.change == 2.5);
  CHECK(sample.rate == 2.5);
}

TEST_CASE("the history has rates of counters and values of gauges, the newest last") {
  Looks looks;
  for (int i = 0; i < 6; ++i) {
    looks.series = {counter("c", static_cast<std::uint64_t>(i * i)), gauge("g", i, i != 4)};
    if (i == 5) looks.series.push_back(gauge("late", 1));
    looks.take();
  }
  std::array<float, 4> past{};
  looks.samples.history(0, past);
  CHECK(past == std::array<float, 4>{3, 5, 7, 9});
  looks.samples.history(1, past);
  CHECK(past[1] == 3);
  CHECK(std::isnan(past[2]));
  CHECK(past[3] == 5);
  looks.samples.history(2, std::span(past).first(2));
  CHECK(std::isnan(past[0]));
  CHECK(past[1] == 1);
}

TEST_CASE("looks are due at multiples of the delay, however long one takes") {
  const steady::time_point start{5s};
  Cadence cadence(start, 1s);
  CHECK(cadence.next() == start);
  CHECK(cadence.advance(start + 300ms) == 0);
  CHECK(cadence.next() == start + 1s);
  CHECK(cadence.advance(start + 1999ms) == 0);
  CHECK(cadence.next() == start + 2s);
  CHECK(cadence.advance(start + 4500ms) == 2);  // those at 3 and 4
  CHECK(cadence.next() == start + 5s);
}

TEST_CASE("lines and headers are as the original wrote them") {
  Looks looks;
  looks.series = {counter("web.hits", 42), counter("web.a.very.long.name.of.a.field", 7)};
  auto columns = columns_of("hits,a.very.long.name.of.a.field", "web.");
  columns.update(looks.series);
  looks.take();
  CHECK(columns.header({}) == "        hits        |a.very.long.name.of.");
  CHECK(columns.line(looks.samples, {}) == "                 42 |                  7 ");
  CHECK(columns.header({.colour = true}) ==
        "\033[1m        hits        \033[0m|\033[1ma.very.long.name.of.\033[0m");
  CHECK(columns.line(looks.samples, {.colour = true}) ==
        "\033[33m                 42\033[0m |\033[33m                  7\033[0m ");
  looks.series[0] = counter("web.hits", 18'446'744'073'709'551'615U);
  looks.take();
  CHECK(columns.line(looks.samples, {}) == "18446744073709551573 |                  0 ");
}

TEST_CASE("every field has its column: values of gauges, changes of counters, - for what is not there") {
  Looks looks;
  looks.series = {gauge("g", 0.25), counter("c", 5), gauge("gone", 1, false)};
  auto columns = columns_of("nosuch,c,g,gone,c");
  columns.update(looks.series);
  looks.take();
  CHECK(columns.line(looks.samples, {}) ==
        "                  - |                  5 |               0.25 |"
        "                  - |                  5 ");
  REQUIRE(columns.missing().size() == 1);
  CHECK(columns.missing()[0].text == "nosuch");
  CHECK_FALSE(columns.missing()[0].has_wildcards);
  looks.series.push_back(counter("nosuch", 3));
  CHECK_FALSE(columns.update(looks.series));
  looks.take();
  CHECK(columns.line(looks.samples, {}).starts_with("                  3 |                  0 |"));
}

TEST_CASE("any percentile of a histogram is a column, of all files and the last interval") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, double created, int slow) {
    std::array<std::uint64_t, 32> parts{};
    parts[0] = 94;
    parts[31] = static_cast<std::uint64_t>(slow);
    folder.write(name, MadeFile()
                           .owner(1, created)
                           .buffered("web.latency.count", "Q", std::uint64_t(94 + slow))
                           .buffered("web.latency.p99", "d", 77.0)
                           .text("sys.metadata", "web.latency\thistogram\t\t\tlog-linear 32 -30 50\n", 100)
                           .text("sys.room", "", 40)
                           .unbuffered("web.latency.buckets.0", "32Q", parts)
                           .padded());
  };
  auto columns = Columns::parse("p50,p95,p945,p5,p100,count", "web.latency").value();
  mmstats::Rules rules;
  for (const auto& pattern : columns.patterns()) REQUIRE(rules.include(pattern).has_value());
  rules.percentiles(columns.percentiles());
  mmstats::Watch watch({.globs = {folder / "*"}, .discovery = {}, .fold = {}}, std::move(rules));
  Samples samples(0);
  steady::time_point now{100s};
  const auto next = [&] {
    watch.scan(std::chrono::system_clock::now(), now += 1s);
    samples.take(watch.series(), now);
    columns.update(watch.series());
    std::string line = columns.line(samples, {});
    std::erase(line, ' ');
    return line;
  };
  write("a", 100, 3);
  // Nobody knows when these came.
  CHECK(next() == "-|-|-|-|-|97");
  CHECK(next() == "-|-|-|-|-|0");
  write("b", 200, 6);
  CHECK(next() == "1.01562|1.98438|1.98438|-|-|100");
  // Of both: nine of nine.
  write("a", 100, 12);
  CHECK(next() == "1.98438|1.98438|1.98438|-|-|9");
  CHECK(next() == "-|-|-|-|-|0");
  CHECK(columns.json(samples, {}).find(R"("web.latency.p95": null)") != std::string::npos);
  CHECK(std::ranges::none_of(watch.series(), [](const Series& series) {
    return series.name().find("buckets") != std::string::npos || series.name() == "sys.room";
  }));
}

TEST_CASE("fields that are no percentiles ask for none") {
  const auto count = [](const char* fields) { return Columns::parse(fields, "")->percentiles().size(); };
  CHECK(count("a,b.p99,b.p50,c.p99") == 4);
  CHECK(count("b.p95,a.p95,*.p75,p10") == 4 + 3);
  CHECK(count("b.p,b.p5,b.p00,b.p100,b.p9x,b.p990,b.p-5,b.p5x") == 4);
}

TEST_CASE("a prefix without a dot at its end gets one where no label is without") {
  Looks looks;
  auto columns = columns_of("2XX,4*,hits", "web.status");
  looks.series = {counter("web.status.2XX", 7), counter("web.status.404", 3), counter("web.status.403", 2)};
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.header({}) ==
        "        2XX         |        403         |        404         |        hits        ");
  CHECK(columns.line(looks.samples, {}) ==
        "                  7 |                  2 |                  3 |                  - ");
  CHECK(columns.json(looks.samples, {}).find(R"("web.status.2XX": {)") != std::string::npos);
  REQUIRE(columns.missing().size() == 1);
  CHECK(columns.missing()[0].text == "web.statushits");
  CHECK(columns.patterns().size() == 6);

  // What was asked for, word by word, is stronger.
  looks.series.push_back(counter("web.status2XX", 5));
  looks.series.push_back(counter("web.status4", 9));
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.header({}) == "        2XX         |         4          |        hits        ");
  CHECK(columns.line(looks.samples, {}) == "                  5 |                  9 |                  - ");

  auto dotted = columns_of("2XX", "web.status.");
  CHECK(dotted.patterns().size() == 1);

  // A header with another name is a new one, also where there are no wildcards.
  auto renamed = columns_of("2XX", "web.status");
  CHECK(renamed.update(std::span(looks.series).first(1)));
  CHECK_FALSE(renamed.update(std::span(looks.series).first(3)));
  CHECK(renamed.update(looks.series));
}

TEST_CASE("labels that may have been meant are found") {
  const Texts labels{"web.status.2XX", "web.status.4XX", "web.status.5XX",
                     "web.requests",   "db.queries",     "load"};
  CHECK(near_labels("web.stauts.2XX", labels).front() == "web.status.2XX");
  CHECK(near_labels("web.status2xx", labels).front() == "web.status.2XX");
  CHECK(near_labels("request", labels) == Texts{"web.requests"});
  CHECK(near_labels("shop.web.requests", labels) == Texts{"web.requests"});
  CHECK(near_labels("web_requests", labels).front() == "web.requests");
  CHECK(near_labels("web.status.3XX", labels) == Texts{"web.status.2XX", "web.status.4XX", "web.status.5XX"});
  CHECK(near_labels("web.status.3XX", labels, 2) == Texts{"web.status.2XX", "web.status.4XX"});
  CHECK(near_labels("nosuch", labels).empty());
  CHECK(near_labels("", labels).empty());
  CHECK(near_labels("d", labels).empty());
  CHECK(near_labels(std::string(60'000, 'x'), labels).empty());
}

TEST_CASE("rates stand beside changes, of counters alone") {
  Looks looks;
  looks.series = {counter("c", 5), gauge("g", 1)};
  auto columns = columns_of("c,g,late");
  columns.update(looks.series);
  looks.take();
  CHECK(columns.rates() == 1);
  const pollstats::Look look{.rate = true};
  CHECK(columns.header(look) ==
        "         c          |        c/s         |         g          |        late        ");
  CHECK(columns.line(looks.samples, look) ==
        "                  5 |                  - |                  1 |                  - ");
  looks.series[0] = counter("c", 10);
  looks.now += 1s;
  looks.take();
  CHECK(columns.line(looks.samples, look) ==
        "                  5 |                2.5 |                  1 |                  - ");
  // One that nobody knew turns out to be a counter: there is a column more.
  looks.series.push_back(counter("late", 3));
  columns.update(looks.series);
  looks.take();
  CHECK(columns.rates() == 2);
  CHECK(columns.header(look).ends_with("        late        |       late/s       "));
}

TEST_CASE("a pattern has a column for each series that matches, by name, whenever it comes") {
  Looks looks;
  auto columns = columns_of("z,status.*", "");
  CHECK_FALSE(columns.update(looks.series));
  CHECK(columns.header({}) == "         z          |      status.*      ");
  looks.take();
  CHECK(columns.line(looks.samples, {}) == "                  - |                  - ");

  looks.series = {counter("status.404", 4), counter("other", 1), counter("status.200", 2)};
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.header({}) == "         z          |     status.200     |     status.404     ");
  CHECK(columns.line(looks.samples, {}) == "                  - |                  2 |                  4 ");
  CHECK_FALSE(columns.update(looks.series));

  looks.series.push_back(counter("status.301", 3));
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.header({}).find("status.301") < columns.header({}).find("status.404"));
}

TEST_CASE("a family's label is a column for each combination, as a pattern of them is") {
  Looks looks;
  auto columns = columns_of("status,time.p99,status.2*", "");
  looks.series = {of_family(counter("status.404", 4), "status", {{"code", "404"}}),
                  of_family(counter("status.200", 2), "status", {{"code", "200"}}),
                  of_family(gauge("time.GET.p99", 0.5), "time.p99", {{"method", "GET"}}),
                  counter("other", 1)};
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.missing().empty());
  CHECK(columns.header({}) ==
        "     status.200     |     status.404     |    time.GET.p99    |     status.200     ");
  CHECK(columns.line(looks.samples, {}) ==
        "                  2 |                  4 |                0.5 |                  2 ");
  // A series that is called as the family has a column, too.
  looks.series.push_back(counter("status", 7));
  CHECK(columns.update(looks.series));
  looks.take();
  CHECK(columns.header({}).starts_with("       status       |     status.200     |"));

  const auto json = nlohmann::json::parse(columns.json(looks.samples, {}))["fields"];
  CHECK(json["status.404"]["family"] == "status");
  CHECK(json["status.404"]["dimensions"].dump() == R"({"code":"404"})");
  CHECK(json["time.GET.p99"]["family"] == "time.p99");
  CHECK_FALSE(json["status"].contains("family"));
}

TEST_CASE("what is needed of files for a family's label is read") {
  mmstats::Rules rules;
  for (const auto& pattern : columns_of("status,time.p99,web.time.sum").patterns())
    REQUIRE(rules.include(pattern).has_value());
  mmstats::Field field;
  field.type_text = "Q";
  field.type = mmstats::parse_type("Q").value();
  field.buffered = true;
  const auto is_read = [&](std::string_view label) { return rules.bind(label, field, {}).used; };
  for (const auto* label :
       {"status", "status.200", "status.a.b", "time.p99", "time.GET.p99", "web.time.GET.sum"})
    CHECK(is_read(label));
  for (const auto* label : {"statusx", "time.GET.p50", "xtime.p99", "web.time.GET.count"})
    CHECK_FALSE(is_read(label));
}

TEST_CASE("families are summed over all dimensions but those asked for, and percentiles are over all") {
  const TemporaryFolder folder;
  std::array<std::uint64_t, 32> fast{};
  std::array<std::uint64_t, 32> slow{};
  const auto write = [&](std::uint64_t more) {
    folder.write("a", MadeFile()
                          .owner(1, 100)
                          .buffered("web.hits.GET.200", "Q", 5 + more)
                          .buffered("web.hits.GET.404", "Q", 2 + more)
                          .buffered("web.hits.PUT.404", "Q", 1 + more)
                          .buffered("old.status.404", "Q", 9 + more)
                          .buffered("plain", "Q", 3 + more)
                          .buffered("web.time.GET.count", "Q", fast[0])
                          .unbuffered("web.time.GET.buckets.0", "32Q", fast)
                          .buffered("web.time.PUT.count", "Q", slow[31])
                          .unbuffered("web.time.PUT.buckets.0", "32Q", slow)
                          .text("sys.metadata",
                                "web.hits\tcounter\t\t\t\tmethod status\n"
                                "web.time\thistogram\t\t\tlog-linear 32 -30 50\tmethod\n",
                                200)
                          .padded());
  };
  struct Row {
    Grouping grouping;
    std::string fields, header, line;
  };
  const std::vector<Row> rows{
      {{.by = By{"status"}, .where = {}, .labels = {}}, "web.hits.*", "web.hits.200|web.hits.404", "10|20"},
      {{.by = By{"status"}, .where = {}, .labels = {}},
       "web.hits,plain",
       "web.hits.200|web.hits.404|plain",
       "10|20|10"},
      {{.by = By{"method"}, .where = {{"status", "4*"}}, .labels = {}},
       "web.hits",
       "web.hits.GET|web.hits.PUT",
       "10|10"},
      {{.by = By{}, .where = {}, .labels = {}},
       "web.hits,web.time.p99",
       "web.hits|web.time.p99",
       "30|1.98438"},
      {{.by = std::nullopt, .where = {}, .labels = {}},
       "web.time.p99",
       "web.time.GET.p99|web.time.PUT.p99",
       "1.01562|1.98438"},
      {{.by = std::nullopt, .where = {{"status", "200"}}, .labels = {}},
       "web.*,plain",
       "web.hits.GET.200|plain",
       "10|-"},
      {{.by = By{"status"}, .where = {{"status", "404"}}, .labels = {R"(old\.status\.(?P<status>\d+))"}},
       "*",
       "old.status.404|web.hits.404",
       "10|20"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.header);
    fast[0] = 100;
    slow[31] = 5;
    write(0);
    auto columns = Columns::parse(row.fields, "").value();
    mmstats::Rules rules;
    if (!row.grouping.by) {
      for (const auto& pattern : columns.patterns()) REQUIRE(rules.include(pattern).has_value());
    }
    REQUIRE(add_rules(row.grouping, rules).has_value());
    mmstats::Watch watch({.globs = {folder / "*"}, .discovery = {}, .fold = {}}, std::move(rules));
    Samples samples(0);
    steady::time_point now{100s};
    const auto next = [&] {
      watch.scan(std::chrono::system_clock::now(), now += 1s);
      samples.take(watch.series(), now);
      columns.update(watch.series());
    };
    next();
    fast[0] += 90;
    slow[31] += 10;
    write(10);
    next();
    std::string header = columns.header({});
    std::string line = columns.line(samples, {});
    std::erase(header, ' ');
    std::erase(line, ' ');
    CHECK(header == row.header);
    CHECK(line == row.line);
  }
}

TEST_CASE("options for dimensions are checked") {
  CHECK(parse_by("a,b").value() == By{"a", "b"});
  CHECK(parse_by("").value().empty());
  for (const auto* text : {",", "a,", ",a", "a,,b", "a b", "1", "a,a", "le"})
    CHECK_FALSE(parse_by(text).has_value());
  CHECK(parse_where("a=b=*").value() == std::pair<std::string, std::string>("a", "b=*"));
  CHECK(parse_where("a=").value() == std::pair<std::string, std::string>("a", ""));
  for (const auto* text : {"", "a", "=b", "a b=c"}) CHECK_FALSE(parse_where(text).has_value());
  for (const auto* text : {"(", R"((\d+))", "(?P<le>x)", "x"}) {
    mmstats::Rules rules;
    CHECK_FALSE(add_rules({.by = {}, .where = {}, .labels = {text}}, rules).has_value());
  }
}

TEST_CASE("a dimension that nothing has is told, and nothing is shown for it") {
  const TemporaryFolder folder;
  folder.write(
      "a", MadeFile()
               .buffered("plain", "Q", std::uint64_t{1})
               .buffered("hits.GET.", "Q", std::uint64_t{2})
               .buffered("hits.PUT.eu", "Q", std::uint64_t{3})
               .buffered("old.404", "Q", std::uint64_t{4})
               .buffered("other.x", "Q", std::uint64_t{5})
               .text("sys.metadata", "hits\tcounter\t\t\t\tmethod region\nother\tcounter\t\t\t\tof\n", 100)
               .padded());
  using Where = std::vector<std::pair<std::string, std::string>>;
  const struct {
    Where where;
    const char* names;
    const char* unknown;
  } rows[] = {
      {{{"method", "*"}}, "hits.GET. hits.PUT.eu", ""},
      {{{"region", "*"}}, "hits.PUT.eu", ""},
      {{{"region", "*"}, {"method", "*"}}, "hits.PUT.eu", ""},
      {{{"region", "eu"}}, "hits.PUT.eu", ""},
      {{{"region", ""}, {"method", "*"}}, "hits.GET.", ""},
      {{{"status", "?*"}}, "old.404", ""},
      {{{"staus", "*"}}, "", "no file has the dimension staus"},
      {{{"staus", "4*"}, {"method", "*"}, {"meth", "*"}}, "", "no file has the dimensions staus, meth"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.names);
    const Grouping grouping{.by = {}, .where = row.where, .labels = {R"(old\.(?P<status>\d+))"}};
    UnknownDimensions unknown(grouping);
    mmstats::Rules rules;
    REQUIRE(add_rules(grouping, rules).has_value());
    mmstats::WatchOptions options;
    options.globs = {folder / "*"};
    options.keep = [&](const std::string&, const mmstats::ParsedFile& content) {
      unknown.meet(content);
      return true;
    };
    mmstats::Watch watch(std::move(options), std::move(rules));
    watch.scan(std::chrono::system_clock::now(), steady::time_point{100s});
    std::string names;
    for (const auto& one : watch.series()) names += (names.empty() ? "" : " ") + one.name();
    CHECK(names == row.names);
    CHECK(text_of(unknown) == row.unknown);
  }
}

TEST_CASE("series of families that share a name have a column each") {
  const auto of = [](const char* dimension, std::uint64_t total) {
    auto made = counter("web.q.x", total);
    edit(made)->family = "web.q";
    edit(made)->dimensions = {{dimension, "x"}};
    return made;
  };
  Series dropped = counter("web.q.x", 4);
  edit(dropped)->family = "web.q.x";
  const auto check = [](std::vector<Series> series, std::string_view fields, const std::string& header,
                        const std::string& line) {
    Looks looks;
    looks.series = std::move(series);
    auto columns = columns_of(fields, "web.");
    columns.update(looks.series);
    looks.take();
    std::string got = columns.header({.terminal_width = 200});
    std::erase(got, ' ');
    CHECK(got == header);
    std::string numbers = columns.line(looks.samples, {});
    std::erase(numbers, ' ');
    CHECK(numbers == line);
    const auto fields_told = nlohmann::json::parse(columns.json(looks.samples, {}))["fields"];
    CHECK(fields_told.size() == static_cast<std::size_t>(std::ranges::count(line, '|')) + 1);
  };
  for (const auto* fields : {"q.*", "q.x"}) {
    check({of("a", 5), of("b", 7)}, fields, R"(q.x|q{b="x"})", "5|7");
    check({of("a", 5), counter("web.q.x", 9), of("b", 7)}, fields, R"(q.x|q{a="x"}|q{b="x"})", "9|5|7");
    check({counter("web.q.x", 9), of("a", 5)}, fields, R"(q.x|q{a="x"})", "9|5");
    check({counter("web.q.x", 9), dropped}, fields, "q.x", "4");
  }
}

TEST_CASE("a label that is a counter to some files and a gauge to others is the counter") {
  Looks looks;
  looks.series = {gauge("x", 9), counter("x", 5)};
  auto columns = columns_of("x,x*");
  columns.update(looks.series);
  looks.take();
  CHECK(columns.line(looks.samples, {}) == "                  5 |                  5 ");
}

TEST_CASE("columns share what the terminal has, and names keep their ends") {
  Looks looks;
  looks.series = {counter("web.stats.requests.kind1", 123'456'789'012),
                  counter("web.stats.requests.kind2", 1)};
  auto columns = columns_of("web.*");
  columns.update(looks.series);
  looks.take();
  const auto at = [&](std::size_t width) { return pollstats::Look{.terminal_width = width}; };
  CHECK(columns.header(at(200)) == " web.stats.requests.kind1 | web.stats.requests.kind2 ");
  CHECK(columns.header(at(31)) == "<requests.kind1|<requests.kind2");
  CHECK(columns.line(looks.samples, at(31)) == "  123456789012 |             1 ");
  CHECK(columns.line(looks.samples, at(21)) == "     123G |        1 ");
  CHECK(columns.header(at(5)) == "<s.kind1|<s.kind2");  // narrower is of no use
}

TEST_CASE("a terminal is told units, where names have room for them; scripts are not") {
  Looks looks;
  looks.series = {counter("sent", 1), gauge("in_progress", 1)};
  edit(looks.series[0])->unit = "bytes\x1b";
  auto columns = columns_of("sent,in_progress");
  columns.update(looks.series);
  looks.take();
  CHECK(columns.header({}) == "        sent        |    in_progress     ");
  const auto at = [&](std::size_t width) { return pollstats::Look{.terminal_width = width}; };
  CHECK(columns.header(at(80)) == "  sent [bytes\\x1B]  |    in_progress     ");
  CHECK(columns.header(at(24)) == "   sent    |in_progress");
}

TEST_CASE("names of columns cannot command the terminal") {
  Looks looks;
  looks.series = {counter("a\x1b[2J", 1)};
  auto columns = columns_of("a*");
  columns.update(looks.series);
  CHECK(columns.header({}) == "      a\\x1B[2J      ");
  // Nor turn what stands beside them.
  looks.series.push_back(counter("b\u202E", 1));
  auto turning = columns_of("b*");
  turning.update(looks.series);
  looks.take();
  CHECK(turning.header({}) == "   b\\xE2\\x80\\xAE    ");
  const auto json = turning.json(looks.samples, {});
  CHECK(json.find("\"b\\u202e\": {") != std::string::npos);
}

TEST_CASE("a line of JSON has all of each field under its whole label") {
  Looks looks;
  looks.series = {counter("web.c", (1ULL << 63U) + 1), gauge("web.g", 0.5), gauge("web.\xFF", 3)};
  auto columns = columns_of("c,nosuch,g,c,zz*,\xFF*", "web.");
  columns.update(looks.series);
  looks.take();
  const std::chrono::system_clock::time_point at{1700000000250ms};
  const auto line = columns.json(looks.samples, at);
  auto json = nlohmann::json::parse(line);
  CHECK(line.find("\"web.c\"") == line.rfind("\"web.c\""));  // a field that was named twice
  CHECK(json == nlohmann::json::parse(R"({"time": 1700000000.25, "fields": {
    "web.c": {"kind": "counter", "value": 9223372036854775809, "change": null, "rate": null},
    "web.nosuch": null,
    "web.g": {"kind": "gauge", "value": 0.5, "change": null, "rate": null},
    "web.�": {"kind": "gauge", "value": 3, "change": null, "rate": null}}})"));
  looks.series[0] = counter("web.c", (1ULL << 63U) + 2);
  looks.series[1].value = 2;
  looks.take();
  json = nlohmann::json::parse(columns.json(looks.samples, at))["fields"];
  CHECK(json["web.c"].dump() == R"({"change":1,"kind":"counter","rate":1,"value":9223372036854775810})");
  CHECK(json["web.g"].dump() == R"({"change":1.5,"kind":"gauge","rate":null,"value":2})");
  // What a double holds exactly is written as a whole number, and what may be rounded is not.
  const double most = 9007199254740992;
  for (const auto& [value, want] : {std::pair(most, "9007199254740992"),
                                    {most + 2, "9007199254740994.0"},
                                    {-most, "-9007199254740992"},
                                    {-most - 2, "-9007199254740994.0"},
                                    {1e300, "1e+300"}}) {
    looks.series[1].value = value;
    looks.take();
    CHECK(columns.json(looks.samples, at).find(std::string("\"value\": ") + want + ",") != std::string::npos);
  }
  looks.series[1].value = std::numeric_limits<double>::infinity();
  looks.take();
  json = nlohmann::json::parse(columns.json(looks.samples, at))["fields"];
  CHECK(json["web.g"]["value"] == "inf");
}

TEST_CASE("fields without a name, or longer than a label can be, are refused") {
  for (const std::string fields : {"", ",", "a,", ",a", "a,,b"}) CHECK_FALSE(Columns::parse(fields, ""));
  CHECK_FALSE(Columns::parse(std::string(65536, 'a'), ""));
  CHECK(Columns::parse(std::string(65535, 'a'), ""));
  CHECK(Columns::parse(std::string(65534, 'a'), "b"));
  CHECK_FALSE(Columns::parse(std::string(65534, 'a'), "bc"));
  CHECK_FALSE(Columns::parse("[z-a]", ""));
}

TEST_CASE("-f takes the words that cannot be FIELD and FILE") {
  struct Row {
    Texts words, options, arguments;
  };
  const std::array rows{
      Row{{"-f", "a", "x,y", "file"}, {"-f", "a"}, {"x,y", "file"}},
      Row{{"-f", "a", "-f", "b", "x"}, {"-f", "a", "-f", "b"}, {"x"}},
      Row{{"-f", "a", "b", "-d", "1", "x", "file"}, {"-f", "a", "-f", "b", "-d", "1"}, {"x", "file"}},
      Row{{"-f", "a", "b", "--", "x"}, {"-f", "a", "-f", "b"}, {"x"}},
      Row{{"x", "file", "-f", "a", "b"}, {"-f", "a", "-f", "b"}, {"x", "file"}},
      Row{{"x", "-f", "a", "file"}, {"-f", "a"}, {"x", "file"}},
      Row{{"-vvd", "1", "-f", "a", "x"}, {"-vvd", "1", "-f", "a"}, {"x"}},
      Row{{"--filter", "a", "b", "-v", "x"}, {"-f", "a", "-f", "b", "-v"}, {"x"}},
      Row{{"--filter=a", "x", "-d1", "--delay", "2", "y"}, {"--filter=a", "-d1", "--delay", "2"}, {"x", "y"}},
      Row{{"-f"}, {"-f"}, {}},
      Row{{"-f", "-v"}, {"-f", "-v"}, {}},
      Row{{"-v", "-", "--", "-f", "a"}, {"-v"}, {"-", "-f", "a"}},
      Row{{"-d"}, {"-d"}, {}},
  };
  for (const Row& row : rows) {
    const auto divided = divide(row.words);
    CHECK(divided.options == row.options);
    CHECK(divided.arguments == row.arguments);
  }
}

TEST_CASE("the command line's words become options") {
  const auto options_of = [](std::vector<const char*> words) {
    words.insert(words.begin(), "pollstats");
    const auto parsed = parse(static_cast<int>(words.size()), words.data());
    REQUIRE_FALSE(parsed.exit_status);
    return parsed.options;
  };
  const Options all = options_of({"-c", "3", "-d", "0.25", "-f", "a", "-f", "b=c", "-n", "5", "-p", "web.",
                                  "-vvv", "--rate", "hits,misses", "/no/*.mmstats", "/no/such"});
  CHECK(all.count == 3);
  CHECK(all.delay == 250ms);
  CHECK(all.filters == Texts{"a", "b=c"});
  CHECK(all.headers == 5);
  CHECK(all.prefix == "web.");
  CHECK(all.verbosity == 3);
  CHECK(all.rate);
  CHECK(all.fields == "hits,misses");
  CHECK(all.files == Texts{"/no/*.mmstats", "/no/such"});
  const Options live = options_of({"--live", "/no/such"});
  CHECK(live.fields.empty());
  CHECK(live.files == Texts{"/no/such"});
  CHECK(options_of({}).delay == 1s);
  const Options sets = options_of({"[ab]", "[c]", "d", "-p", "[e]", "-f", "[f]"});
  CHECK(sets.fields == "[ab]");
  CHECK(sets.files == Texts{"[c]", "d"});
  CHECK(sets.prefix == "[e]");
  CHECK(sets.filters == Texts{"[f]"});
}
