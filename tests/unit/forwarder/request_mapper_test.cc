// Packets are judged by protobuf's own library (packet_check.h), and the rules are plugin_pinba/mapping.md's.
#include "plugin_pinba/forward/request_mapper.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "collect/edit_described.h"
#include "collect/fold.h"
#include "collect/rules.h"
#include "mmstats/format.h"
#include "mmstats/parse.h"
#include "pinba/packet_check.h"
#include "pinba/pinba_server.h"

namespace {

using mmstats::Kind;
using mmstats::Series;
using mmstats::forward::Mapping;
using mmstats::forward::RequestMapper;

constexpr auto kNow = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
constexpr std::uint64_t kMostHits = std::numeric_limits<std::uint32_t>::max();

// Of the group whose mapping was made last.
mmstats::Rules rules;

// A series as the fold makes it of a label; `metric`: the number of the one that matches.
Series named(std::string name, const std::string& metric) {
  Series series;
  edit(series)->name = std::move(name);
  if (metric.empty()) return series;
  mmstats::Field field;
  field.type_text = "Q";
  field.type = mmstats::parse_type("Q").value();
  field.buffered = true;
  const auto binding = rules.bind(series.name(), field, {});
  CHECK(std::to_string(binding.rule) == metric);
  edit(series)->rule = binding.rule;
  edit(series)->groups = binding.groups;
  return series;
}

Series counter(std::string name, std::uint64_t total, const std::string& metric = "") {
  Series series = named(std::move(name), metric);
  series.kind = Kind::kCounter;
  series.integral = series.present = true;
  series.total = total;
  series.value = static_cast<double>(total);
  return series;
}

Series seconds(std::string name, double total, const std::string& metric = "") {
  Series series = counter(std::move(name), 0, metric);
  series.integral = false;
  series.value = total;
  return series;
}

Series level(std::string name, double value, const std::string& metric = "", Kind kind = Kind::kGauge) {
  Series series = named(std::move(name), metric);
  series.kind = kind;
  series.present = true;
  series.value = value;
  return series;
}

void move(Series& counter, std::uint64_t added) {
  counter.total += added;
  counter.value = static_cast<double>(counter.total);
}

// The mapping of the first group of a configuration.
Mapping mapping(const std::string& toml = "", mmstats::forward::TextLimits limits = {}) {
  auto config = mmstats::forward::read_config(toml, "test.toml", {"/nowhere/*"});
  if (!config) FAIL(config.error().front());
  auto& group = config->groups.front();
  rules = std::move(group.rules);
  return {.group = group.name,
          .hostname = "host",
          .tags = std::move(group.tags),
          .request = std::move(group.request),
          .metrics = std::move(group.metrics),
          .limits = limits};
}

Mapping with_metric(const std::string& keys, const std::string& group_keys = "") {
  return mapping("[[group]]\nname = \"web\"\n" + group_keys + "\n[[group.metric]]\n" + keys);
}

struct Sent {
  std::map<TagTexts, TimerSum> timers;
  std::vector<pinba_wire::Request> requests;

  [[nodiscard]] TimerSum of(const TagTexts& tags) const {
    const auto found = timers.find(tags);
    return found == timers.end() ? TimerSum{} : found->second;
  }
  [[nodiscard]] TimerSum of(const std::string& metric) const { return of(TagTexts{{"metric", metric}}); }
};

// One scan, as a server reads its packets.
Sent scan(RequestMapper& forwarder, const std::vector<Series>& series) {
  Sent sent;
  pinba::Encoder encoder({.drop_unused_texts = true});
  forwarder.scan(series, {}, kNow, [&](const pinba::Request& request) {
    for (const auto& datagram : encoder.encode(request)) {
      CHECK(broken_rule(datagram) == "");
      sent.requests.push_back(parsed(datagram));
      add_timers(sent.requests.back(), sent.timers);
    }
    CHECK_FALSE(encoder.changes().any());
  });
  return sent;
}

}  // namespace

TEST_CASE("a counter sends what was added since the last scan, once") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{counter("hits", 10)};
  CHECK(scan(forwarder, series).of("hits").hits == 10);
  CHECK(scan(forwarder, series).requests.empty());
  move(series[0], 5);
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of("hits").hits == 5);
  CHECK(sent.of("hits").value == 0);
  CHECK(sent.timers.size() == 1);
}

TEST_CASE("what was there at the start is not sent, what is new afterwards is sent whole") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{counter("old", 1'000'000), seconds("busy", 50)};
  forwarder.start_from(series);
  CHECK(scan(forwarder, series).requests.empty());
  move(series[0], 1);
  series[1].value += 0.5;
  series.push_back(counter("new", 7));
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of("old").hits == 1);
  CHECK(sent.of("busy").hits == 1);
  CHECK(sent.of("busy").value == doctest::Approx(0.5));
  CHECK(sent.of("new").hits == 7);
}

TEST_CASE("requests are named by the machine, the group and the program where nothing is configured") {
  RequestMapper forwarder(mapping());
  const Sent sent = scan(forwarder, {counter("hits", 1)});
  REQUIRE(sent.requests.size() == 1);
  CHECK(sent.requests[0].hostname() == "host");
  CHECK(sent.requests[0].server_name() == "mmstats");
  CHECK(sent.requests[0].script_name() == "mmstats");
  CHECK_FALSE(sent.requests[0].has_status());
  CHECK(sent.requests[0].schema() == "<empty>");
  CHECK(sent.requests[0].request_time() == 0);
}

TEST_CASE("every kind of series appears under its label, by its meaning") {
  RequestMapper forwarder(mapping());
  const Sent sent = scan(forwarder, {level("queue", 3.5), level("ready", 0, "", Kind::kState),
                                     level("deployed", 1'699'999'990, "", Kind::kTimestamp),
                                     level("ahead", 1'700'000'005, "", Kind::kTimestamp),
                                     level("never", 0, "", Kind::kTimestamp), seconds("cpu", 2.25)});
  const auto is = [&](const char* metric, std::uint64_t hits, double value) {
    CAPTURE(metric);
    CHECK(sent.of(metric).hits == hits);
    CHECK(sent.of(metric).value == value);
  };
  is("queue", 1, 3.5);
  is("ready", 1, 0);
  is("deployed", 1, 10);  // seconds ago
  is("ahead", 1, 0);
  is("never", 0, 0);
  is("cpu", 1, 2.25);
}

TEST_CASE("what Pinba cannot hold is left out, and named once") {
  const double infinity = std::numeric_limits<double>::infinity();
  RequestMapper forwarder(mapping());
  const std::vector<Series> series{level("below", -1), level("endless", infinity), level("huge", 1e39),
                                   level("good", 1)};
  for (int i = 0; i < 3; ++i) {
    const Sent sent = scan(forwarder, series);
    CHECK(sent.timers.size() == 1);
    CHECK(sent.of("good").hits == 1);
    const auto problems = forwarder.take_problems();
    CHECK(problems.size() == (i == 0 ? 3 : 0));
    if (i == 0) CHECK(problems[0].find("\"below\": -1 cannot be sent") != std::string::npos);
  }
}

TEST_CASE("a gauge without a value at a scan is not sent") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{level("queue", 3)};
  series[0].present = false;
  CHECK(scan(forwarder, series).requests.empty());
}

TEST_CASE("a counter of bytes, or one that grows by billions, is no hits but millions in the value") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{counter("bytes_sent", 5'200'000'000), counter("octets", 700), counter("hits", 5),
                             counter("jumps", (std::uint64_t{1} << 31U))};
  edit(series[0])->unit = "bytes";
  edit(series[1])->unit = "octets";
  edit(series[2])->unit = "requests";
  Sent sent = scan(forwarder, series);
  CHECK(sent.of("bytes_sent").hits == 1);
  CHECK(sent.of("bytes_sent").value == doctest::Approx(5200).epsilon(1e-7));
  CHECK(sent.of("octets").hits == 1);
  CHECK(sent.of("octets").value == doctest::Approx(0.0007));
  CHECK(sent.of("hits").hits == 5);
  CHECK(sent.of("jumps").hits == std::uint64_t{1} << 31U);
  CHECK(sent.of("jumps").value == 0);
  auto problems = forwarder.take_problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].starts_with("label \"bytes_sent\" and 1 others: "));

  // One more is too many, and it stays so: also for less, and after another configuration.
  move(series[3], (std::uint64_t{1} << 31U) + 1);
  sent = scan(forwarder, series);
  CHECK(sent.timers.size() == 1);
  CHECK(sent.of("jumps").hits == 1);
  CHECK(sent.of("jumps").value == doctest::Approx(2147.483649));
  problems = forwarder.take_problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].starts_with("label \"jumps\": "));
  forwarder.remap(mapping());
  move(series[3], 2'000'000);
  move(series[0], 1'000'000);
  sent = scan(forwarder, series);
  CHECK(sent.of("jumps").hits == 1);
  CHECK(sent.of("jumps").value == 2);
  CHECK(sent.of("bytes_sent").value == 1);
  CHECK(forwarder.take_problems().empty());
}

TEST_CASE("a counter of bytes is hits, or a size, where the configuration says so") {
  for (const std::string as : {"timer", "request_field"}) {
    const bool is_field = as == "request_field";
    RequestMapper forwarder(with_metric("match = 'bytes'\nas = \"" + as + "\"" +
                                        (is_field ? "\nfield = \"document_size\"" : "")));
    std::vector<Series> series{counter("bytes", 3'000'000'000, "0")};
    edit(series[0])->unit = "bytes";
    const Sent sent = scan(forwarder, series);
    REQUIRE(sent.requests.size() == 1);
    CHECK(sent.of("bytes").hits == (is_field ? 0 : 3'000'000'000));
    CHECK(sent.requests[0].document_size() == (is_field ? 3'000'000'000 : 0));
    CHECK(forwarder.take_problems().empty());
  }
}

TEST_CASE("what counters of bytes add in a server's window does not wrap there") {
  // Six scans of a window: of bytes, and of a counter that jumps.
  const auto report_of = [](RequestMapper forwarder) {
    std::vector<Series> series{counter("bytes_sent", 0, "0"), counter("jumps", 0, "0")};
    edit(series[0])->unit = "bytes";
    PinbaReport report;
    for (int i = 0; i < 30; ++i) {  // what is too much for a scan comes with the next
      for (Series& each : series) move(each, i < 6 ? 5'200'000'000 : 0);
      for (const auto& request : scan(forwarder, series).requests) report.add(request);
    }
    return report;
  };
  const PinbaReport usual = report_of(RequestMapper(with_metric("match = 'bytes_sent|jumps'")));
  for (const auto* metric : {"bytes_sent", "jumps"}) {
    CAPTURE(metric);
    REQUIRE(usual.rows.contains({{"metric", metric}}));
    CHECK(usual.rows.at({{"metric", metric}}).hits == 6);
    CHECK(usual.rows.at({{"metric", metric}}).value == doctest::Approx(6 * 5200.0).epsilon(1e-6));
  }
  // As a size it is exact; as hits, which somebody may want, it is what servers make of it.
  const std::string of_requests = "match = 'bytes_sent|jumps'\nas = \"";
  const PinbaReport size =
      report_of(RequestMapper(with_metric(of_requests + "request_field\"\nfield = \"document_size\"")));
  CHECK(size.document_size == std::uint64_t{2} * 6 * 5'200'000'000);
  const PinbaReport hits = report_of(RequestMapper(with_metric(of_requests + "timer\"")));
  CHECK(hits.rows.at({{"metric", "bytes_sent"}}).hits == std::uint64_t{6} * 5'200'000'000 % (kMostHits + 1));
}

TEST_CASE("counts of more than 32 bits arrive whole, if need be over several scans") {
  RequestMapper forwarder(with_metric("match = 'bytes'\nas = \"timer\""));
  std::vector<Series> series{counter("bytes", 10 * kMostHits + 3, "0"), counter("other", 5)};
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of("bytes").hits == 10 * kMostHits + 3);
  CHECK(sent.of("other").hits == 5);

  move(series[0], 1000 * kMostHits);
  move(series[1], 1);
  std::uint64_t got = 0;
  std::uint64_t others = 0;
  int scans = 0;
  for (; got < 1000 * kMostHits && scans < 100; ++scans) {
    const Sent part = scan(forwarder, series);
    got += part.of("bytes").hits;
    others += part.of("other").hits;
    CHECK(part.timers.at({{"metric", "bytes"}}).hits < 300 * kMostHits);
  }
  CHECK(got == 1000 * kMostHits);
  CHECK(others == 1);
  CHECK(scans == 4);
}

TEST_CASE("counters that jump share what one scan can send, and none waits for ever") {
  RequestMapper forwarder(with_metric("match = 'first|second'\nas = \"timer\""));
  const std::vector<Series> series{counter("first", 600 * kMostHits, "0"),
                                   counter("second", 300 * kMostHits + 7, "0")};
  // 256 entries of a scan are more than one for a series.
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> want{{257, 1}, {257, 1}, {86, 172}, {0, 127}};
  std::uint64_t of_second = 0;
  for (const auto& [first, second] : want) {
    const Sent sent = scan(forwarder, series);
    CHECK(sent.of("first").hits == first * kMostHits);
    of_second += sent.of("second").hits;
    CHECK(of_second / kMostHits >= second);
    CHECK(sent.of("second").hits <= second * kMostHits);
  }
  CHECK(of_second == 300 * kMostHits + 7);
  CHECK(scan(forwarder, series).requests.empty());
}

TEST_CASE("a total that wraps around goes on") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{counter("hits", ~std::uint64_t{0} - 2)};
  forwarder.start_from(series);
  move(series[0], 8);
  CHECK(scan(forwarder, series).of("hits").hits == 8);
}

TEST_CASE("a histogram's count and sum are one timer: hits and their seconds") {
  const std::vector<std::vector<std::size_t>> orders{{0, 1}, {1, 0}};
  for (const auto& order : orders) {
    const std::vector<Series> made{counter("db.count", 4), seconds("db.sum", 0.5)};
    RequestMapper forwarder(mapping());
    std::vector<Series> series{made[order[0]], made[order[1]], level("db.p99", 0.25)};
    Sent sent = scan(forwarder, series);
    CHECK(sent.timers.size() == 2);
    CHECK(sent.of("db").hits == 4);
    CHECK(sent.of("db").value == 0.5);
    CHECK(sent.of("db.p99").value == 0.25);

    // The sum is written first: what it is ahead of its count waits for it.
    Series& count = series[order[0] == 0 ? 0 : 1];
    Series& sum = series[order[0] == 0 ? 1 : 0];
    sum.value = 0.75;
    sent = scan(forwarder, series);
    CHECK(sent.of("db").hits == 0);
    move(count, 1);
    sent = scan(forwarder, series);
    CHECK(sent.of("db").hits == 1);
    CHECK(sent.of("db").value == 0.25);
  }
}

TEST_CASE("a count and its sum that come at different scans are paired, and nothing is sent twice") {
  for (const bool count_first : {true, false}) {
    RequestMapper forwarder(mapping());
    const Series count = counter("db.count", 4);
    const Series sum = seconds("db.sum", 0.5);
    std::vector<Series> series{count_first ? count : sum};
    Sent sent = scan(forwarder, series);
    CHECK(sent.timers.size() == 1);
    series.push_back(count_first ? sum : count);
    Series& later = series[count_first ? 0 : 1];
    sent = scan(forwarder, series);
    CHECK(sent.of("db").hits == (count_first ? 0 : 4));
    move(later, 6);
    sent = scan(forwarder, series);
    CHECK(sent.of("db").hits == 6);
  }
}

TEST_CASE("other labels that end like a histogram's stay apart") {
  RequestMapper forwarder(mapping());
  // Whole numbers both: no seconds. No partner. Two kinds.
  const Sent sent = scan(forwarder, {counter("a.count", 1), counter("a.sum", 2), counter("b.count", 3),
                                     counter("c.count", 4), level("c.sum", 5)});
  CHECK(sent.of("a.count").hits == 1);
  CHECK(sent.of("a.sum").hits == 2);
  CHECK(sent.of("b.count").hits == 3);
  CHECK(sent.of("c.count").hits == 4);
  CHECK(sent.of("c.sum").value == 5);
}

TEST_CASE("an average with its counter gives hits and total seconds") {
  RequestMapper forwarder(with_metric(R"(match = '(.*)\.latency'
    hits = '\1.requests')"));
  std::vector<Series> series{level("http.latency", 0.25, "0"), counter("http.requests", 100)};
  forwarder.start_from(series);
  CHECK(scan(forwarder, series).timers.empty());
  move(series[1], 8);
  Sent sent = scan(forwarder, series);
  CHECK(sent.of("http.latency").hits == 8);
  CHECK(sent.of("http.latency").value == 2);
  CHECK(sent.of("http.requests").hits == 8);
  CHECK(forwarder.take_problems().empty());

  // A worker counted and ended: its average is gone, the last one stands.
  series[0].present = false;
  move(series[1], 2);
  sent = scan(forwarder, series);
  CHECK(sent.of("http.latency").hits == 2);
  CHECK(sent.of("http.latency").value == 0.5);
}

TEST_CASE("seconds that are counted take the hits of the counter that is named for them") {
  RequestMapper forwarder(with_metric("match = 'busy'\nhits = 'jobs'"));
  std::vector<Series> series{seconds("busy", 1.5, "0")};
  Sent sent = scan(forwarder, series);
  CHECK(sent.of("busy").hits == 1);
  REQUIRE(forwarder.take_problems().size() == 1);
  series.push_back(counter("jobs", 3));
  series[0].value = 3;
  sent = scan(forwarder, series);
  CHECK(sent.of("jobs").hits == 3);
  CHECK(sent.of("busy").hits == 3);
  CHECK(sent.of("busy").value == 1.5);
}

TEST_CASE("a counter that was waited for before another mapping came is no partner any more") {
  const auto with_hits = [] { return with_metric("match = 'busy'\nhits = 'jobs'"); };
  RequestMapper forwarder(with_hits());
  std::vector<Series> series{seconds("busy", 1, "0")};
  scan(forwarder, series);
  SUBCASE("where it asks for none") {
    forwarder.remap(with_metric("match = 'busy'"));
    series.push_back(counter("jobs", 3));
    series[0].value += 2;
    const Sent sent = scan(forwarder, series);
    CHECK(sent.of("busy").hits == 1);
    CHECK(sent.of("busy").value == 2);
    CHECK(sent.of("jobs").hits == 3);
  }
  SUBCASE("and where it asks again, it is one once") {
    forwarder.remap(with_hits());
    scan(forwarder, series);
    series.push_back(counter("jobs", 3));
    series[0].value += 2;
    const Sent sent = scan(forwarder, series);
    CHECK(sent.of("busy").hits == 3);
    CHECK(sent.of("busy").value == 2);
  }
}

TEST_CASE("no more than a hundred problems of a scan are told") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series;
  for (int i = 0; i < 150; ++i) series.push_back(level("bad" + std::to_string(i), -1));
  scan(forwarder, series);
  CHECK(forwarder.take_problems().size() == 100);
}

TEST_CASE("a status and names of a request come from captures, each in a request of its own") {
  RequestMapper forwarder(with_metric(R"(match = 'status\.(\d+)(?:\.(\w+))?'
    status = '\1'
    script_name = '/\2'
    request_tags = { class = '\1', vhost = '\2' }
    tags = { metric = 'status' })",
                                      R"(server_name = "shop.example"
    hostname = "web-1"
    schema = "https"
    status = 200
    request_tags = { dc = "fra" })"));
  const Sent sent = scan(
      forwarder, {counter("status.404", 5, "0"), counter("status.500.cart", 2, "0"), counter("hits", 9)});
  std::map<std::string, std::string> seen;
  for (const auto& request : sent.requests) {
    CHECK(request.hostname() == "web-1");
    CHECK(request.server_name() == "shop.example");
    CHECK(request.schema() == "https");
    std::string text = std::to_string(request.status()) + " " + std::to_string(request.timer_hit_count(0));
    for (const auto& [name, value] : request_tags(request)) text += " " + name + "=" + value;
    seen[request.script_name()] += text;
  }
  CHECK(seen == std::map<std::string, std::string>{{"/", "404 5 class=404 dc=fra"},
                                                   {"/cart", "500 2 class=500 dc=fra vhost=cart"},
                                                   {"mmstats", "200 9 dc=fra"}});
}

TEST_CASE("a status that is no number is left out and named") {
  RequestMapper forwarder(with_metric(R"(match = 's\.(.*)'
    status = '\1')"));
  const Sent sent = scan(forwarder, {counter("s.ok", 1, "0"), counter("s.70000", 1, "0")});
  for (const auto& request : sent.requests) CHECK_FALSE(request.has_status());
  CHECK(sent.of("s.ok").hits == 1);
  CHECK(forwarder.take_problems().size() == 2);
}

TEST_CASE("tags of the group and of the metric come together, and the metric's win") {
  RequestMapper forwarder(with_metric(R"(match = '(\w+)\.(\w*)'
    tags = { op = '\2', metric = '\1', env = '' })",
                                      "tags = { env = \"prod\", op = \"none\" }"));
  const Sent sent = scan(forwarder, {counter("db.get", 1, "0"), counter("db.", 2, "0"), counter("hits", 4)});
  CHECK(sent.of(TagTexts{{"metric", "db"}, {"op", "get"}}).hits == 1);
  CHECK(sent.of(TagTexts{{"metric", "db"}}).hits == 2);
  CHECK(sent.of(TagTexts{{"env", "prod"}, {"metric", "hits"}, {"op", "none"}}).hits == 4);
}

TEST_CASE("a timer whose tags are all empty keeps its label") {
  RequestMapper forwarder(with_metric("match = 'x'\ntags = { metric = '' }"));
  CHECK(scan(forwarder, {counter("x", 1, "0")}).of("x").hits == 1);
}

TEST_CASE("labels with equal tags are one timer") {
  RequestMapper forwarder(with_metric(R"(match = 's\.(\d).*'
    tags = { metric = 's', class = '\1' })"));
  const Sent sent =
      scan(forwarder, {counter("s.200", 1, "0"), counter("s.204", 2, "0"), counter("s.404", 4, "0")});
  CHECK(sent.requests.size() == 1);
  CHECK(sent.requests[0].timer_hit_count_size() == 2);
  CHECK(sent.of(TagTexts{{"class", "2"}, {"metric", "s"}}).hits == 3);
  CHECK(sent.of(TagTexts{{"class", "4"}, {"metric", "s"}}).hits == 4);
}

TEST_CASE("workers that are kept apart have a tag") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series{counter("x.count", 3), seconds("x.sum", 1), counter("x.count", 4),
                             seconds("x.sum", 2)};
  series[0].slot = series[1].slot = 0;
  series[2].slot = series[3].slot = 1;
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of(TagTexts{{"metric", "x"}, {"worker", "0"}}).hits == 3);
  CHECK(sent.of(TagTexts{{"metric", "x"}, {"worker", "1"}}).value == 2);
}

TEST_CASE("request fields are added up from counters and gauges") {
  RequestMapper forwarder(mapping(R"([[group]]
name = "web"
[[group.metric]]
match = 'bytes\..*'
as = "request_field"
field = "document_size"
[[group.metric]]
match = 'rss'
as = "request_field"
field = "memory_peak"
[[group.metric]]
match = 'cpu'
as = "request_field"
field = "ru_utime"
[[group.metric]]
match = 'footprint'
as = "request_field"
field = "memory_footprint"
)"));
  std::vector<Series> series{counter("bytes.in", 100, "0"), counter("bytes.out", 11, "0"),
                             level("rss", 4096, "1"), seconds("cpu", 0.5, "2"), level("footprint", 77, "3")};
  Sent sent = scan(forwarder, series);
  REQUIRE(sent.requests.size() == 1);
  CHECK(sent.timers.empty());
  CHECK(sent.requests[0].document_size() == 111);
  CHECK(sent.requests[0].memory_peak() == 4096);
  CHECK(sent.requests[0].memory_footprint() == 77);
  CHECK(sent.requests[0].ru_utime() == 0.5);
  sent = scan(forwarder, series);
  CHECK(sent.requests[0].document_size() == 0);
  CHECK(sent.requests[0].memory_peak() == 4096);

  // What 32 bits do not hold comes with the next requests.
  move(series[0], 2 * kMostHits + 5);
  std::uint64_t got = 0;
  for (int i = 0; i < 3; ++i) got += scan(forwarder, series).requests[0].document_size();
  CHECK(got == 2 * kMostHits + 5);
}

TEST_CASE("another mapping goes on where the one before stood") {
  std::vector<Series> series{counter("hits", 10), counter("db.count", 4), seconds("db.sum", 1),
                             counter("bytes", 50)};
  RequestMapper forwarder(mapping());
  scan(forwarder, series);
  move(series[0], 1);
  move(series[1], 2);
  series[2].value += 0.5;
  move(series[3], 3);
  forwarder.remap(mapping("[[group]]\nname = \"web\"\ntags = { dc = \"fra\" }"));
  Sent sent = scan(forwarder, series);
  CHECK(sent.of(TagTexts{{"dc", "fra"}, {"metric", "hits"}}).hits == 1);
  CHECK(sent.of(TagTexts{{"dc", "fra"}, {"metric", "db"}}).hits == 2);
  CHECK(sent.of(TagTexts{{"dc", "fra"}, {"metric", "db"}}).value == 0.5);
  CHECK(sent.of(TagTexts{{"dc", "fra"}, {"metric", "bytes"}}).hits == 3);
  CHECK(sent.requests[0].server_name() == "web");
  forwarder.remap(mapping());
  CHECK(scan(forwarder, series).requests.empty());
}

TEST_CASE("no two labels become one text, and all are fit for a packet") {
  const std::string_view nul("nul\0byte", 8);
  const auto many = [](const std::string& character, const std::string& end) {
    std::string text;
    for (int i = 0; i < 100; ++i) text += character;
    return text + end;
  };
  const std::vector<std::string> labels{"plain",
                                        std::string(nul),
                                        "nul\\x00byte",
                                        "\xff\xfe",
                                        "\\xFF\\xFE",
                                        "",
                                        "<empty>",
                                        "caf\u00e9 \u2603",
                                        many("\u00e9", "1"),
                                        many("\u00e9", "2"),
                                        "x" + many("\u00e9", "1"),
                                        many("\u2603", "1"),
                                        "x" + many("\u2603", "1"),
                                        "xx" + many("\u2603", "1"),
                                        many("\U0001F680", "1"),
                                        "xxx" + many("\U0001F680", "1"),
                                        std::string(5000, 'l') + "1",
                                        std::string(5000, 'l') + "2",
                                        std::string(200, '\xff'),
                                        "likehash-0123456789ab",
                                        "new\nline"};
  for (const std::size_t limit : {16, 64, 127}) {
    // A label may be just what another one becomes.
    auto all = labels;
    all.push_back(mmstats::forward::distinct_text("\xff\xfe", limit));
    std::set<std::string> texts;
    for (const auto& label : all) {
      const auto text = mmstats::forward::distinct_text(label, limit);
      CAPTURE(text);
      CHECK(text.size() <= limit);
      CHECK_FALSE(text.empty());
      CHECK(pinba::is_clean(text));
      texts.insert(text);
    }
    CHECK(texts.size() == all.size());
  }
  CHECK(mmstats::forward::distinct_text("plain", 16) == "plain");
  // The hash of tests/integration/series_names.py, which has its own FNV.
  CHECK(mmstats::forward::distinct_text(nul, 127) == "nul\\x00byte-180094b78689");
}

TEST_CASE("a packet has the texts of its own timers alone, whatever was sent before") {
  RequestMapper forwarder(
      with_metric("match = 'status\\.(\\d+)'\nstatus = '\\1'", "request_tags = { dc = \"fra\" }"));
  std::vector<Series> series{counter("hits", 1), counter("status.404", 1, "0"), counter("misses", 1)};
  const auto texts_of = [](const pinba_wire::Request& message) {
    return std::vector<std::string>(message.dictionary().begin(), message.dictionary().end());
  };
  using Texts = std::vector<std::string>;
  const Sent first = scan(forwarder, series);
  REQUIRE(first.requests.size() == 2);
  CHECK(texts_of(first.requests[0]) == Texts{"dc", "fra", "metric", "hits", "misses"});
  CHECK(texts_of(first.requests[1]) == Texts{"dc", "fra", "metric", "status.404"});
  move(series[2], 1);
  const Sent second = scan(forwarder, series);
  REQUIRE(second.requests.size() == 1);
  CHECK(texts_of(second.requests[0]) == Texts{"dc", "fra", "metric", "misses"});
  CHECK(request_tags(second.requests[0]) == TagTexts{{"dc", "fra"}});
}

TEST_CASE("thousands of series arrive in many packets, each whole") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series;
  for (int i = 0; i < 5000; ++i) series.push_back(counter("web.requests.kind" + std::to_string(i), i + 1U));
  const Sent sent = scan(forwarder, series);
  CHECK(sent.requests.size() > 50);
  CHECK(sent.timers.size() == series.size());
  for (const auto& one : series) CHECK(sent.of(one.name()).hits == one.total);
}

TEST_CASE("texts that the classic engines cut are short enough for them") {
  using mmstats::forward::ServerKind;
  for (const auto& [kind, most] :
       {std::pair(ServerKind::kClassic, 64U), {ServerKind::kOriginalClassic, 32U}}) {
    RequestMapper forwarder(
        mapping("[[group]]\nname = \"" + std::string(80, 'g') + "\"", mmstats::forward::text_limits(kind)));
    const Sent sent =
        scan(forwarder, {counter(std::string(100, 'x') + "1", 1), counter(std::string(100, 'x') + "2", 2)});
    CHECK(sent.requests[0].server_name().size() == most);
    CHECK(sent.timers.size() == 2);
    for (const auto& text : sent.requests[0].dictionary()) CHECK(text.size() <= 64);
  }
}

namespace {

// Of a family: each combination's label and value.
Series of_family(Series series, std::string family, std::vector<mmstats::Dimension> dimensions) {
  edit(series)->family = std::move(family);
  edit(series)->dimensions = std::move(dimensions);
  return series;
}

}  // namespace

TEST_CASE("a series of a family is a timer with the family's label, and a tag for each dimension") {
  RequestMapper forwarder(mapping());
  const auto responses = [](Series series, std::string method, std::string status) {
    return of_family(std::move(series), "responses",
                     {{"method", std::move(method)}, {"status", std::move(status)}});
  };
  std::vector<Series> series{responses(counter("responses.GET.200", 5), "GET", "200"),
                             responses(counter("responses.GET.404", 2), "GET", "404"),
                             responses(counter("responses.a%2Eb.200", 1), "a.b", "200"),
                             counter("responses", 9),
                             of_family(level("queue.mail", 3.5), "queue", {{"name", "mail"}})};
  const Sent sent = scan(forwarder, series);
  CHECK(sent.timers.size() == series.size());
  CHECK(sent.of(TagTexts{{"method", "GET"}, {"metric", "responses"}, {"status", "200"}}).hits == 5);
  CHECK(sent.of(TagTexts{{"method", "GET"}, {"metric", "responses"}, {"status", "404"}}).hits == 2);
  CHECK(sent.of(TagTexts{{"method", "a.b"}, {"metric", "responses"}, {"status", "200"}}).hits == 1);
  CHECK(sent.of("responses").hits == 9);
  CHECK(sent.of(TagTexts{{"metric", "queue"}, {"name", "mail"}}).value == 3.5);
}

TEST_CASE("dimensions keep their values whatever other tags are called") {
  RequestMapper forwarder(with_metric(R"(match = 'b\..*'
    tags = { dc = 'all' })",
                                      "tags = { dc = \"fra\", env = \"prod\" }"));
  std::vector<Series> series{of_family(counter("a.1.2.3.4", 1), "a",
                                       {{"metric", "1"}, {"worker", "2"}, {"metric_", "3"}, {"dc", "4"}}),
                             of_family(counter("b.x", 2, "0"), "b", {{"dc", "x"}}),
                             of_family(counter("b.y", 4, "0"), "b", {{"dc", "y"}})};
  series[0].slot = 7;
  const Sent sent = scan(forwarder, series);
  CHECK(sent.timers.size() == 2);
  CHECK(sent.of(TagTexts{{"dc", "4"},
                         {"env", "prod"},
                         {"metric", "a"},
                         {"metric_", "3"},
                         {"metric__", "1"},
                         {"worker", "7"},
                         {"worker_", "2"}})
            .hits == 1);
  // The metric's own tag is what somebody wanted.
  CHECK(sent.of(TagTexts{{"dc", "all"}, {"env", "prod"}, {"metric", "b"}}).hits == 6);
}

TEST_CASE("values of dimensions stay apart, and a timer with many long ones is sent") {
  using mmstats::forward::ServerKind;
  for (const auto kind : {ServerKind::kPinba2, ServerKind::kOriginalClassic}) {
    RequestMapper forwarder(mapping("", mmstats::forward::text_limits(kind)));
    std::vector<Series> series;
    for (const std::string value : {"", "<empty>", "\xff", "\\xFF", "-cbf29ce48422", "plain"})
      series.push_back(of_family(counter("v." + value, 1), "v", {{"value", value}}));
    for (const char last : {'1', '2'}) {
      std::vector<mmstats::Dimension> many;
      for (char name = 'a'; name < 'a' + char{mmstats::kMaxDimensions}; ++name)
        many.push_back({std::string(20, name), std::string(254, name) + last});
      series.push_back(of_family(counter(std::string("many.") + last, 1), "many", many));
    }
    const Sent sent = scan(forwarder, series);
    CHECK(sent.timers.size() == series.size());
    CHECK(sent.of(TagTexts{{"metric", "v"}, {"value", "<empty>"}}).hits == 1);
    CHECK(sent.of(TagTexts{{"metric", "v"}, {"value", "plain"}}).hits == 1);
    for (const auto& [tags, sum] : sent.timers) {
      if (std::find(tags.begin(), tags.end(), std::pair<std::string, std::string>("metric", "many")) ==
          tags.end())
        continue;
      CHECK(tags.size() == mmstats::kMaxDimensions + 1);
    }
  }
}

TEST_CASE("a value is the same text in all timers of its family") {
  RequestMapper forwarder(mapping());
  const std::string route = "/" + std::string(100, 'r');
  std::vector<Series> series;
  for (const std::string& other : {std::string("x"), std::string(255, 'x')})
    series.push_back(of_family(counter("f." + other, 1), "f", {{"other", other}, {"route", route}}));
  for (const auto& [tags, sum] : scan(forwarder, series).timers) CHECK(tags.back().second == route);
}

TEST_CASE("count and sum of a family's histogram are one timer with its dimensions") {
  RequestMapper forwarder(mapping());
  std::vector<Series> series;
  for (const std::string method : {"GET", "PUT"}) {
    for (Series one : {counter("time." + method + ".count", 4), seconds("time." + method + ".sum", 0.5),
                       level("time." + method + ".p99", 0.25)}) {
      const std::string ending = one.name().substr(one.name().rfind('.'));
      series.push_back(of_family(std::move(one), "time" + ending, {{"method", method}}));
    }
  }
  const Sent sent = scan(forwarder, series);
  CHECK(sent.timers.size() == 4);
  for (const std::string method : {"GET", "PUT"}) {
    CHECK(sent.of(TagTexts{{"method", method}, {"metric", "time"}}).hits == 4);
    CHECK(sent.of(TagTexts{{"method", method}, {"metric", "time"}}).value == 0.5);
    CHECK(sent.of(TagTexts{{"method", method}, {"metric", "time.p99"}}).value == 0.25);
  }
}

TEST_CASE("dimensions name requests, and where a series has none the group does") {
  RequestMapper forwarder(with_metric(R"(match = '(\w+).*'
    hostname = '%{host}'
    server_name = '%{site}.example'
    script_name = '%{route}'
    schema = '%{schema}'
    status = '%{code}'
    request_tags = { of = '\1 %{route}' }
    tags = { metric = '\1', code = '' })",
                                      "script_name = \"/\"\nstatus = 200"));
  const Sent sent = scan(forwarder, {of_family(counter("r.x", 5, "0"), "r",
                                               {{"host", "h1"},
                                                {"site", "shop"},
                                                {"route", "/a\\1%{site}"},
                                                {"schema", "https"},
                                                {"code", "404"}}),
                                     counter("other", 2, "0")});
  REQUIRE(sent.requests.size() == 2);
  const auto& own = sent.requests[0];
  CHECK(own.hostname() == "h1");
  CHECK(own.server_name() == "shop.example");
  CHECK(own.script_name() == "/a\\1%{site}");
  CHECK(own.schema() == "https");
  CHECK(own.status() == 404);
  CHECK(request_tags(own) == TagTexts{{"of", "r /a\\1%{site}"}});
  const auto& other = sent.requests[1];
  CHECK(other.hostname() == "host");
  CHECK(other.server_name() == "web");
  CHECK(other.script_name() == "/");
  CHECK(other.schema() == "<empty>");
  CHECK(other.status() == 200);
  // What names the request is a tag of the timer, too, unless an empty one takes it away.
  CHECK(sent.of(TagTexts{{"host", "h1"},
                         {"metric", "r"},
                         {"route", "/a\\1%{site}"},
                         {"schema", "https"},
                         {"site", "shop"}})
            .hits == 5);
  CHECK(forwarder.take_problems().empty());
}

TEST_CASE("an average of a family finds the counter with the same values") {
  RequestMapper forwarder(with_metric(R"(match = 'time\..*'
    hits = 'requests.%{method}')"));
  std::vector<Series> series{of_family(level("time.a%2Eb", 0.5, "0"), "time", {{"method", "a.b"}}),
                             of_family(counter("requests.a%2Eb", 4), "requests", {{"method", "a.b"}})};
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of(TagTexts{{"method", "a.b"}, {"metric", "time"}}).value == 2);
  CHECK(forwarder.take_problems().empty());
}

TEST_CASE("keys of the configuration choose families and their dimensions") {
  struct Row {
    std::string keys, group_keys;
    TagTexts want;
  };
  const mmstats::FieldMetadata known{
      .family = "responses", .dimensions = "method status", .values = "GET.404"};
  const std::vector<Row> rows{
      {"family = 'respon(.*)'\ntags = { rest = '\\1' }",
       "",
       {{"method", "GET"}, {"metric", "responses"}, {"rest", "ses"}, {"status", "404"}}},
      {"family = 'responses'\nkeep = ['status']", "", {{"metric", "responses"}, {"status", "404"}}},
      {"family = 'responses'\ndrop = ['status']", "", {{"method", "GET"}, {"metric", "responses"}}},
      {"match = '.*'\nkeep = []", "", {{"metric", "responses"}}},
      {"match = '.*'", "drop = 'method'", {{"metric", "responses"}, {"status", "404"}}},
      {"match = '.*'\ndrop = ['status']", "keep = []", {{"method", "GET"}, {"metric", "responses"}}},
      {"match = '.*'\nwhere = { status = '4..', method = 'GET' }\ntags = { bad = 'yes' }",
       "",
       {{"bad", "yes"}, {"method", "GET"}, {"metric", "responses"}, {"status", "404"}}},
      {"match = '.*'\nwhere = { status = '5..' }\ntags = { bad = 'yes' }",
       "",
       {{"method", "GET"}, {"metric", "responses"}, {"status", "404"}}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.keys);
    RequestMapper forwarder(with_metric(row.keys, row.group_keys));
    mmstats::Field field;
    field.type_text = "Q";
    field.type = mmstats::parse_type("Q").value();
    field.buffered = true;
    const auto binding = rules.bind("responses.GET.404", field, known);
    Series series = of_family(counter(binding.name, 3), binding.family, binding.dimensions);
    edit(series)->rule = binding.rule;
    edit(series)->groups = binding.groups;
    CHECK(scan(forwarder, {series}).of(row.want).hits == 3);
  }
}

TEST_CASE("of dimensions that are dropped, texts may ask for the values, and tags do not have them") {
  RequestMapper forwarder(with_metric(R"(family = 'responses'
    drop = ['method', 'host']
    script_name = '/%{method}')"));
  const mmstats::FieldMetadata known{.family = "responses", .dimensions = "method host status", .values = ""};
  std::vector<Series> all;
  for (const char* values : {"GET.a.404", "GET.b.404", "PUT.a.404"}) {
    mmstats::Field field;
    field.type_text = "Q";
    field.type = mmstats::parse_type("Q").value();
    field.buffered = true;
    auto said = known;
    said.values = values;
    const auto binding = rules.bind(std::string("responses.") + values, field, said);
    Series series = of_family(counter(binding.name, 3), binding.family, binding.dimensions);
    edit(series)->asked = binding.asked;
    edit(series)->rule = binding.rule;
    edit(series)->groups = binding.groups;
    all.push_back(series);
  }
  CHECK(all[0].name() == all[1].name());
  CHECK(all[0].asked() == all[1].asked());
  CHECK(all[0].name() != all[2].name());
  all.erase(all.begin());  // the fold adds equal ones up
  const Sent sent = scan(forwarder, all);
  REQUIRE(sent.requests.size() == 2);
  CHECK(sent.requests[0].script_name() == "/GET");
  CHECK(sent.requests[1].script_name() == "/PUT");
  CHECK(sent.of(TagTexts{{"metric", "responses"}, {"status", "404"}}).hits == 6);
}

TEST_CASE("a text that asks for a dimension that a series does not have says nothing") {
  RequestMapper forwarder(with_metric(R"(match = 'time.*'
    script_name = '/s%{m}'
    request_tags = { a = 'x%{m}' }
    tags = { b = 'x%{m}', metric = 'of %{m}' }
    hits = 'hits%{m}')",
                                      "script_name = \"/\"\nrequest_tags = { a = 'group' }"));
  const Sent sent = scan(forwarder, {level("time", 0.5, "0"), counter("hits", 3)});
  CHECK(sent.of("time").hits == 1);
  REQUIRE(sent.requests.size() == 1);
  CHECK(sent.requests[0].script_name() == "/");
  CHECK(request_tags(sent.requests[0]) == TagTexts{{"a", "group"}});
  const auto problems = forwarder.take_problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("hits%{m}") != std::string::npos);
}

TEST_CASE("of counters with one name, sums and counts with the same dimensions belong together") {
  RequestMapper forwarder(mapping());
  const auto late = [](Series series, std::string family) {
    return of_family(std::move(series), std::move(family), {{"m", "GET"}});
  };
  const std::vector<Series> series{late(counter("late.GET.count", 5), "late.count"),
                                   counter("late.GET.count", 2), seconds("late.GET.sum", 0.5),
                                   late(seconds("late.GET.sum", 4), "late.sum")};
  const Sent sent = scan(forwarder, series);
  CHECK(sent.of("late.GET").hits == 2);
  CHECK(sent.of("late.GET").value == 0.5);
  CHECK(sent.of(TagTexts{{"m", "GET"}, {"metric", "late"}}).hits == 5);
  CHECK(sent.of(TagTexts{{"m", "GET"}, {"metric", "late"}}).value == 4);
}
