// What a C program sends that uses the C functions.
#include <doctest/doctest.h>

#include <cstdlib>
#include <utility>

#include "pinba/packet_check.h"
#include "udp_receiver.h"

TEST_CASE("a C program measures and sends requests") {
  UdpReceiver server;
  const std::string command = std::string(PINBA_C_CLIENT) + " " + server.server();
  REQUIRE(std::system(command.c_str()) == 0);
  const auto packets = server.received(7);
  REQUIRE(packets.size() == 7);
  for (const auto& packet : packets) CHECK(broken_rule(std::as_bytes(std::span(packet))) == "");
  auto message = parsed(std::as_bytes(std::span(packets[0])));
  CHECK(message.script_name() == "/old");
  CHECK(message.ru_utime() + message.ru_stime() > 0);
  message = parsed(std::as_bytes(std::span(packets[1])));
  CHECK(message.hostname() == "web1");
  CHECK(message.server_name() == "srv");
  CHECK(message.script_name() == "/c/cart");
  CHECK(message.schema() == "https");
  CHECK(message.status() == 404);
  CHECK(message.document_size() == 2048);
  CHECK(message.memory_peak() == 4096);
  CHECK(message.memory_footprint() == 8192);
  CHECK(request_tags(message) == TagTexts{{"app", "shop"}, {"release", "12"}, {"from", "below"}});
  std::map<TagTexts, TimerSum> timers;
  add_timers(message, timers);
  CHECK(timers.size() == 1);
  CHECK(timers[{{"group", "mysql"}, {"op", "select"}}].hits == 42);
  CHECK(timers[{{"group", "mysql"}, {"op", "select"}}].value >= 2.5);
  message = parsed(std::as_bytes(std::span(packets[2])));
  CHECK(message.hostname() == "web2");
  CHECK(message.script_name() == "/c/flushed");
  message = parsed(std::as_bytes(std::span(packets[3])));
  CHECK(message.script_name() == "/c/chosen");
  CHECK(message.ru_utime() + message.ru_stime() == 0);
  CHECK(message.timer_hit_count_size() == 1);
  CHECK(message.timer_hit_count(0) == 3);
  for (const auto& [i, size] : {std::pair(4, 100), {5, 64}, {6, 32}}) {
    message = parsed(std::as_bytes(std::span(packets[static_cast<std::size_t>(i)])));
    CHECK(message.server_name().size() == static_cast<std::size_t>(size));
    REQUIRE(message.timer_ru_utime_size() == 1);
    CHECK(message.timer_ru_utime(0) + message.timer_ru_stime(0) > 0);
  }
}
