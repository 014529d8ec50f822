// Slow requests as JSON lines.
#include "plugin_pinba/receive/slow_log.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plugin_pinba/receive/line_json.h"
#include "receive/sender_address.h"

using namespace mmstats::receive;
using nlohmann::json;

namespace {

constexpr std::chrono::system_clock::time_point kSlowTime{std::chrono::milliseconds(1'795'877'218'007)};

Packet slow_packet(double seconds) {
  Packet packet;
  packet.host = "web1";
  packet.server = "shop.example";
  packet.script = "/cart";
  packet.schema = "https";
  packet.seconds = seconds;
  return packet;
}

// What a terminal obeys, or JSON lines cannot have.
bool is_plain_ascii(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7F; });
}

json slow_json(const Packet& packet, const char* from = "192.0.2.1") {
  const auto line = slow_line(packet, sender_address(from), kSlowTime);
  CHECK(is_plain_ascii(line));
  CHECK(line.size() <= kMostSlowLine);
  return json::parse(line);
}

}  // namespace

TEST_CASE("a slow request's line has all that its packet tells") {
  std::vector<Tag> tags{{.name = "region", .value = "eu"}};
  std::vector<Tag> query{{.name = "group", .value = "db"}, {.name = "server", .value = "db1"}};
  std::vector<TimerEntry> timers{
      {.hits = 1, .seconds = 0.25F, .user_seconds = 0, .system_seconds = 0, .tags = {}},
      {.hits = 3, .seconds = 1.5F, .user_seconds = 0.1F, .system_seconds = 0.01F, .tags = query},
  };
  Packet packet = slow_packet(2.1F);
  packet.status = 500;
  packet.user_seconds = 0.3F;
  packet.system_seconds = 1e-7F;
  packet.bytes = 12'345;
  packet.memory = 4'294'967'295;
  packet.tags = tags;
  packet.timers = timers;
  CHECK(slow_json(packet) == json::parse(R"({
    "time": "2026-11-28T14:46:58.007Z", "from": "192.0.2.1:4711", "host": "web1", "server": "shop.example",
    "script": "/cart", "schema": "https", "status": 500, "seconds": 2.1, "user_seconds": 0.3,
    "system_seconds": 1e-7, "bytes": 12345, "memory": 4294967295, "tags": {"region": "eu"}, "timers": [
      {"hits": 3, "seconds": 1.5, "user_seconds": 0.1, "system_seconds": 0.01, "tags": {"group": "db", "server": "db1"}},
      {"hits": 1, "seconds": 0.25, "user_seconds": 0.0, "system_seconds": 0.0, "tags": {}}]})"));
}

TEST_CASE("a sender is an address and a port") {
  const struct {
    const char* address;
    const char* want;
  } rows[] = {
      {"10.1.2.3", "10.1.2.3:4711"},
      {"2001:db8::1", "[2001:db8::1]:4711"},
      {"::ffff:10.1.2.3", "10.1.2.3:4711"},  // IPv4, of a socket of both
  };
  for (const auto& row : rows) CHECK(slow_json(slow_packet(1), row.address)["from"] == row.want);
}

TEST_CASE("texts of packets become JSON that harms nobody") {
  const struct {
    std::string text;
    std::string want;
  } rows[] = {
      {"\"}\n{\"a\":\"b\\", "\"}\n{\"a\":\"b\\"},
      {std::string("\0\x1b[2J\x7f", 6), std::string("\0\x1b[2J\x7f", 6)},
      {"\xc3\xa4", "\xc3\xa4"},
      {"a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xe2\x80\xae</script>", "\xe2\x80\xae</script>"},
      {std::string(600, 'x'), std::string(kMostText, 'x')},
      // No character is halved.
      {std::string(511, 'x') + "\xc3\xa4", std::string(511, 'x')},
  };
  for (const auto& row : rows) {
    std::vector<Tag> tags{{.name = row.text, .value = row.text}};
    std::vector<TimerEntry> timers{
        {.hits = 1, .seconds = 1, .user_seconds = 0, .system_seconds = 0, .tags = tags}};
    Packet packet = slow_packet(1);
    packet.host = packet.server = packet.script = packet.schema = row.text;
    packet.tags = tags;
    packet.timers = timers;
    const auto line = slow_json(packet);
    for (const char* name : {"host", "server", "script", "schema"}) CHECK(line[name] == row.want);
    CHECK(line["tags"] == json{{row.want, row.want}});
    CHECK(line["timers"][0]["tags"] == json{{row.want, row.want}});
  }
}

TEST_CASE("of many timers a line has those that took longest") {
  std::vector<TimerEntry> timers;
  for (int i = 0; i < 1000; ++i)
    timers.push_back({.hits = 1,
                      .seconds = static_cast<double>((i * 7) % 1000),
                      .user_seconds = 0,
                      .system_seconds = 0,
                      .tags = {}});
  Packet packet = slow_packet(1);
  packet.timers = timers;
  const auto line = slow_json(packet);
  REQUIRE(line["timers"].size() == kMostSlowTimers);
  CHECK(line["timers_left_out"] == 800);
  for (std::size_t i = 0; i < kMostSlowTimers; ++i) CHECK(line["timers"][i]["seconds"] == 999 - i);
}

TEST_CASE("a line is bounded, and tells what it has no room for") {
  // Whatever is escaped takes six times as much.
  const std::string text(kMostText, '\x01');
  std::vector<std::string> names;
  for (char i = 0; i < 64; ++i) names.push_back(std::string(1, static_cast<char>('0' + i)) + text);
  std::vector<Tag> tags;
  for (const auto& name : names) tags.push_back({.name = name, .value = text});
  std::vector<TimerEntry> timers(
      300,
      {.hits = 1, .seconds = 1, .user_seconds = 0, .system_seconds = 0, .tags = std::span(tags).first(2)});
  Packet packet = slow_packet(1);
  packet.host = packet.server = packet.script = packet.schema = text;
  packet.tags = tags;
  packet.timers = timers;
  auto line = slow_json(packet);
  CHECK(line["tags"].size() >= 3);
  CHECK(line["tags"].size() + line["tags_left_out"].get<std::size_t>() == 64);
  CHECK(line["timers"].size() >= 2);
  CHECK(line["timers"].size() + line["timers_left_out"].get<std::size_t>() == 300);
  // One that has more tags than a line has room for.
  std::vector<TimerEntry> large(
      1, {.hits = 1, .seconds = 1, .user_seconds = 0, .system_seconds = 0, .tags = tags});
  packet.timers = large;
  line = slow_json(packet);
  CHECK(line["timers"].empty());
  CHECK(line["timers_left_out"] == 1);
}

TEST_CASE("what is not slow makes no line") {
  LastLines lines({});
  SlowLog log({.seconds = 0.5, .most_a_second = 1000}, lines);
  const auto from = sender_address("192.0.2.1");
  for (const double seconds : {0.0, 0.1, 0.4999}) log.look(slow_packet(seconds), from);
  CHECK(lines.last(10).empty());
  for (const double seconds : {0.5, 7.0}) log.look(slow_packet(seconds), from);
  const auto made = lines.last(10);
  REQUIRE(made.size() == 2);
  CHECK(json::parse(made[0])["seconds"] == 0.5);
  CHECK(json::parse(made[1])["seconds"] == 7.0);
  CHECK(log.count() == 2);
  CHECK(log.left_out() == 0);
}

TEST_CASE("requests that are all slow make so many lines a second, and the others are counted") {
  LastLines lines({});
  SlowLog log({.seconds = 1, .most_a_second = 20}, lines);
  for (int i = 0; i < 1000; ++i) log.add(slow_packet(1), sender_address("192.0.2.1"), kSlowTime);
  CHECK(lines.last(100).size() == 5);
  CHECK(log.left_out() == 995);
  // Others are not hidden by it. Many, as some share their room with it: which of them is chance.
  for (int i = 0; i < 200; ++i)
    log.add(slow_packet(9), sender_address(fmt::format("198.51.100.{}", i).c_str()), kSlowTime);
  CHECK(lines.last(100).size() == 20);
  CHECK(log.left_out() == 1180);
  log.add(slow_packet(1), sender_address("192.0.2.1"), kSlowTime + std::chrono::seconds(1));
  CHECK(lines.last(100).size() == 21);
  CHECK(log.count() == 1201);
  CHECK(log.left_out() == 1180);
}
