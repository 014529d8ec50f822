// Keys, values and what a filter lets pass.
#include "plugin_pinba/receive/filter.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace mmstats::receive;

namespace {

// A request with two tags, and a timer with two.
struct Sample {
  std::vector<Tag> request_tags{{"app", "shop"}, {"empty", ""}};
  std::vector<Tag> timer_tags{{"group", "db"}, {"app", "other"}};
  TimerEntry timer{.hits = 4, .seconds = 2, .user_seconds = 0, .system_seconds = 0, .tags = timer_tags};
  Packet packet;

  Sample() {
    packet.host = "web1";
    packet.server = "shop.example.com";
    packet.script = "/cart\n\xFF";
    packet.status = 404;
    packet.seconds = 0.25;
    packet.tags = request_tags;
  }
};

}  // namespace

TEST_CASE("a key is written as Pinba2's reports have it") {
  const struct {
    const char* text;
    std::optional<KeyPlace> want;
  } rows[] = {
      {"~host", KeyPlace{KeySource::kHost, {}}},
      {"~server", KeyPlace{KeySource::kServer, {}}},
      {"~script", KeyPlace{KeySource::kScript, {}}},
      {"~schema", KeyPlace{KeySource::kSchema, {}}},
      {"~status", KeyPlace{KeySource::kStatus, {}}},
      {"+app", KeyPlace{KeySource::kRequestTag, "app"}},
      {"@group", KeyPlace{KeySource::kTimerTag, "group"}},
      {"@~host", KeyPlace{KeySource::kTimerTag, "~host"}},
      {"+a b.c", KeyPlace{KeySource::kRequestTag, "a b.c"}},
      {"", {}},
      {"~", {}},
      {"+", {}},
      {"@", {}},
      {"~Host", {}},
      {"~time", {}},
      {"host", {}},
      {" ~host", {}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.text);
    CHECK(parse_key(row.text) == row.want);
  }
}

TEST_CASE("a value is what the packet has at its place, and there is none of a tag that it lacks") {
  const Sample sample;
  const struct {
    const char* key;
    std::optional<std::string> of_request;
    std::optional<std::string> of_timer;
  } rows[] = {
      {"~host", "web1", "web1"},
      {"~server", "shop.example.com", "shop.example.com"},
      {"~script", "/cart\n\xFF", "/cart\n\xFF"},
      {"~schema", "", ""},
      {"~status", "404", "404"},
      {"+app", "shop", "shop"},
      {"+empty", "", ""},
      {"+group", {}, {}},
      {"@group", {}, "db"},
      {"@app", {}, "other"},
      {"@empty", {}, {}},
  };
  std::string status;
  for (const auto& row : rows) {
    CAPTURE(row.key);
    const auto key = parse_key(row.key);
    REQUIRE(key);
    CHECK(value_at(*key, sample.packet, nullptr, status) == row.of_request);
    CHECK(value_at(*key, sample.packet, &sample.timer, status) == row.of_timer);
  }
}

TEST_CASE("a filter lets pass what takes as long, and whose values match as a whole") {
  const Sample sample;
  struct Condition {
    const char* key;
    const char* pattern;
  };
  const struct {
    std::optional<double> min_time;
    std::optional<double> max_time;
    std::vector<Condition> conditions;
    bool request;
    bool timer;  // which takes 0.5 s a hit
  } rows[] = {
      {{}, {}, {}, true, true},
      {0.25, {}, {}, true, true},
      {0.26, {}, {}, false, true},
      {0.51, {}, {}, false, false},
      {{}, 0.25, {}, true, false},
      {{}, 0.5, {}, true, true},
      {{}, 0.24, {}, false, false},
      {0.3, 0.6, {}, false, true},
      {{}, {}, {{"~host", "web1"}}, true, true},
      {{}, {}, {{"~host", "web"}}, false, false},
      {{}, {}, {{"~host", "web.*"}}, true, true},
      {{}, {}, {{"~script", "/cart(?s:..)"}}, true, true},
      {{}, {}, {{"~schema", ""}}, true, true},
      {{}, {}, {{"~status", "4.."}, {"~status", ".*4"}}, true, true},
      {{}, {}, {{"~status", "4.."}, {"~status", "40"}}, false, false},
      {{}, {}, {{"+app", "shop"}}, true, true},
      {{}, {}, {{"+none", ".*"}}, false, false},
      {{}, {}, {{"+empty", ".*"}}, true, true},
      {{}, {}, {{"@group", "db"}}, false, true},
      {{}, {}, {{"@group", "db|cache"}, {"+app", "shop"}}, false, true},
      {{}, {}, {{"@group", "cache"}}, false, false},
  };
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    CAPTURE(i);
    Filter filter;
    filter.min_time = rows[i].min_time;
    filter.max_time = rows[i].max_time;
    for (const auto& [key, pattern] : rows[i].conditions) REQUIRE(filter.require(*parse_key(key), pattern));
    CHECK(filter.passes(sample.packet, nullptr) == rows[i].request);
    CHECK(filter.passes(sample.packet, &sample.timer) == rows[i].timer);
  }
}

TEST_CASE("filters are equal if they ask for the same in the same order") {
  const auto made = [](const char* key, const char* pattern, std::optional<double> min_time = {}) {
    Filter filter;
    filter.min_time = min_time;
    REQUIRE(filter.require(*parse_key(key), pattern));
    return filter;
  };
  CHECK(made("~host", "a") == made("~host", "a"));
  CHECK(made("~host", "a") != made("~host", "b"));
  CHECK(made("~host", "a") != made("~script", "a"));
  CHECK(made("+x", "a") != made("+y", "a"));
  CHECK(made("~host", "a", 1) != made("~host", "a"));
  CHECK(made("~host", "a") != Filter());
}

TEST_CASE("a pattern that is none is refused with RE2's reason") {
  Filter filter;
  const auto refused = filter.require({KeySource::kHost, {}}, "web(");
  REQUIRE(!refused);
  CHECK(refused.error().kind == mmstats::ErrorKind::kInvalid);
  CHECK(refused.error().message.find("missing )") != std::string::npos);
  // It is as it was.
  CHECK(filter == Filter());
}
