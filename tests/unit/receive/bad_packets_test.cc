// Packets in which something is wrong, as JSON lines.
#include "plugin_pinba/receive/bad_packets.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "pinba/decode.h"
#include "pinba/packet_check.h"
#include "receive/sender_address.h"

using namespace mmstats::receive;
using nlohmann::json;

namespace {

constexpr std::chrono::system_clock::time_point kBadTime{std::chrono::milliseconds(1'795'877'218'007)};

void add_bad_timer(pinba_wire::Request& message) {
  message.add_timer_hit_count(0);
  message.add_timer_value(-1);
  message.add_timer_tag_count(1);
  message.add_timer_tag_name(0);
  message.add_timer_tag_value(1);
}

std::string bad_datagram() {
  auto message = sound_message();
  add_bad_timer(message);
  return message.SerializeAsString();
}

pinba::Datagram datagram_of(const std::string& text) { return std::as_bytes(std::span(text)); }

FaultCounts faults_of(const std::string& datagram) {
  FaultCounts faults{};
  PacketReader reader;
  reader.read(datagram_of(datagram), faults);
  return faults;
}

std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

TEST_CASE("a bad packet's line has its bytes, its faults and what servers make of it") {
  LastLines lines({});
  BadPackets bad({}, lines);
  const auto datagram = bad_datagram();
  bad.take(datagram_of(datagram), sender_address("192.0.2.1"), faults_of(datagram), kBadTime);
  CHECK(lines.last(5).empty());  // the linter's work is not for the thread that receives
  bad.judge();
  REQUIRE(lines.last(5).size() == 1);
  const auto line = json::parse(lines.last(1)[0]);
  CHECK(line["time"] == "2026-11-28T14:46:58.007Z");
  CHECK(line["from"] == "192.0.2.1:4711");
  CHECK(line["size"] == datagram.size());
  CHECK(line["faults"] == json{"bad_number", "no_hits"});
  CHECK(unhex(line["hex"]) == datagram);
  CHECK(line["findings_left_out"] == 0);
  std::string want;
  for (const auto& finding : pinba::check(datagram_of(datagram))) want += finding.message + "\n";
  std::string got;
  for (const auto& finding : line["findings"]) got += finding["message"].get<std::string>() + "\n";
  CHECK(got == want);
  CHECK(line["findings"][0]["server"] == "Pinba2");
  CHECK(line["findings"][0]["effect"] == "dropped");
  CHECK(line["findings"][0]["offset"] > 0);
  bad.judge();
  CHECK(lines.last(5).size() == 1);
}

TEST_CASE("a packet without faults is not kept") {
  LastLines lines({});
  BadPackets bad({}, lines);
  const auto good = sound_message().SerializeAsString();
  bad.look(datagram_of(good), sender_address("192.0.2.1"), faults_of(good));
  const std::string none = "GET / HTTP/1.1";
  bad.look(datagram_of(none), sender_address("192.0.2.1"), faults_of(none));
  bad.judge();
  REQUIRE(lines.last(5).size() == 1);
  CHECK(json::parse(lines.last(1)[0])["faults"] == json{"no_message"});
  CHECK(bad.left_out() == 0);
}

TEST_CASE("a line is bounded, whatever is in the packet") {
  auto message = sound_message();
  message.set_dictionary(0, std::string(20'000, '\x1b'));
  for (int i = 0; i < 2000; ++i) add_bad_timer(message);
  const auto datagram = message.SerializeAsString();
  const auto text = bad_packet_line({.time = kBadTime,
                                     .from = sender_address("192.0.2.1"),
                                     .faults = faults_of(datagram),
                                     .bytes = {datagram_of(datagram).begin(), datagram_of(datagram).end()}});
  CHECK(text.size() < std::size_t{64} << 10);
  const auto line = json::parse(text);
  CHECK(line["size"] == datagram.size());
  CHECK(unhex(line["hex"]) == datagram.substr(0, kKeptBytes));
  CHECK(line["findings"].size() <= 4 * kMostFindings);
  CHECK(line["findings"].size() + line["findings_left_out"].get<std::size_t>() ==
        pinba::check(datagram_of(datagram)).size());
  // The worst ones.
  for (const auto& finding : line["findings"]) {
    if (finding["server"] == "Pinba2") CHECK(finding["effect"] == "dropped");
  }
}

TEST_CASE("so many bad packets are kept in a second, and the others are counted") {
  LastLines lines({});
  BadPackets bad({.most_a_second = 20, .most_waiting = 100}, lines);
  const auto datagram = bad_datagram();
  const auto faults = faults_of(datagram);
  for (int i = 0; i < 1000; ++i)
    bad.take(datagram_of(datagram), sender_address("192.0.2.1"), faults, kBadTime);
  bad.judge();
  CHECK(lines.last(100).size() == 5);
  CHECK(bad.left_out() == 995);
  // Many others, as some share their room with the first one: which of them is chance.
  for (int i = 0; i < 200; ++i)
    bad.take(datagram_of(datagram), sender_address(fmt::format("198.51.100.{}", i).c_str()), faults,
             kBadTime);
  bad.judge();
  CHECK(lines.last(100).size() == 20);
  CHECK(bad.left_out() == 1180);
}

TEST_CASE("bad packets that nobody judges are bounded") {
  LastLines lines({});
  BadPackets bad({.most_a_second = 1000, .most_waiting = 10}, lines);
  const auto datagram = bad_datagram();
  const auto faults = faults_of(datagram);
  for (int i = 0; i < 50; ++i) bad.take(datagram_of(datagram), sender_address("192.0.2.1"), faults, kBadTime);
  bad.judge();
  CHECK(lines.last(100).size() == 10);
  CHECK(bad.left_out() == 40);
}

TEST_CASE("threads that meet in it lose packets, and count them, but wait for none") {
  LastLines lines({.path = {}, .most_bytes = std::size_t{64} << 20});
  BadPackets bad({.most_a_second = 1'000'000, .most_waiting = 1'000'000}, lines);
  const auto datagram = bad_datagram();
  const auto faults = faults_of(datagram);
  std::atomic<int> running = 4;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i)
        bad.take(datagram_of(datagram), sender_address("192.0.2.1"), faults, kBadTime);
      --running;
    });
  }
  while (running > 0) bad.judge();
  for (auto& thread : threads) thread.join();
  bad.judge();
  CHECK(lines.last(100'000).size() + bad.left_out() == 8000);
}
