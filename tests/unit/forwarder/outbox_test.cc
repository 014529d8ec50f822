// What waits to be sent, and in which portions it leaves.
#include "plugin_pinba/forward/outbox.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "patience.h"
#include "plugin_pinba/forward/delivery.h"
#include "udp_receiver.h"

using mmstats::forward::Outbox;
using Spread = pinba::SenderOptions::Spread;

namespace {

pinba::Sender made_for(std::vector<std::string> servers, Spread spread = Spread::kAll) {
  auto sender = pinba::Sender::make({.servers = std::move(servers), .spread = spread, .burst_packets = 0});
  REQUIRE(sender);
  return std::move(*sender);
}

void put(Outbox& outbox, const std::vector<std::string>& packets, const std::string& script) {
  std::vector<pinba::Datagram> datagrams;
  for (const auto& packet : packets) datagrams.push_back(std::as_bytes(std::span(packet)));
  outbox.add(datagrams, script);
}

std::vector<std::string> numbered(const std::string& prefix, std::size_t count) {
  std::vector<std::string> packets;
  for (std::size_t i = 0; i < count; ++i) packets.push_back(prefix + std::to_string(i));
  return packets;
}

}  // namespace

TEST_CASE("no more than a burst leaves at once, and all of it in order") {
  UdpReceiver receiver;
  auto sender = made_for({receiver.server()});
  Outbox outbox;
  CHECK(outbox.empty());
  put(outbox, numbered("a", 40), "/a");
  put(outbox, numbered("b", 30), "/b");
  std::vector<std::string> all;
  for (const std::size_t burst : {Outbox::kBurst, Outbox::kBurst, 70 - 2 * Outbox::kBurst}) {
    CHECK(!outbox.empty());
    outbox.send_burst(sender);
    const auto packets = receiver.received(burst);
    CHECK(packets.size() == burst);
    all.insert(all.end(), packets.begin(), packets.end());
  }
  CHECK(outbox.empty());
  auto want = numbered("a", 40);
  for (auto& packet : numbered("b", 30)) want.push_back(packet);
  CHECK(all == want);
  // Once more, with nothing of what was there before.
  put(outbox, {"c"}, "/c");
  outbox.send_burst(sender);
  CHECK(receiver.received(1) == std::vector<std::string>{"c"});
  CHECK(outbox.empty());
}

TEST_CASE("what has left leaves no memory behind") {
  UdpReceiver receiver;
  auto sender = made_for({receiver.server()});
  Outbox outbox;
  const std::vector<std::string> packets(20, std::string(1000, 'x'));
  const auto used = [] {
    const auto all = ::mallinfo2();  // under sanitizers it says nothing
    return all.uordblks + all.hblkhd;
  };
  std::size_t before = 0;
  for (int round = 0; round < 300; ++round) {
    put(outbox, packets, "/" + std::to_string(round));
    while (!outbox.empty()) outbox.send_burst(sender);
    CHECK(receiver.received(packets.size()).size() == packets.size());
    if (round == 10) before = used();
  }
  CHECK(used() < before + (std::size_t{1} << 20U));
}

TEST_CASE("each datagram goes to the server of its own script") {
  UdpReceiver one;
  UdpReceiver two;
  auto sender = made_for({one.server(), two.server()}, Spread::kByScript);
  // Which server has which script, as the sender itself says.
  std::map<std::string, bool> of_one;
  std::size_t count_of_one = 0;
  for (int i = 0; i < 16; ++i) {
    const auto script = "/script" + std::to_string(i);
    sender.send(std::as_bytes(std::span(script)), script);
    of_one[script] = !received_by({&one, &two}, 1).front().empty();
    count_of_one += of_one[script] ? 1 : 0;
  }
  REQUIRE(count_of_one > 0);
  REQUIRE(count_of_one < 16);

  Outbox outbox;
  for (const auto& [script, ignored] : of_one) put(outbox, {script, script}, script);
  // The first script again, after the others.
  put(outbox, {of_one.begin()->first}, of_one.begin()->first);
  while (!outbox.empty()) outbox.send_burst(sender);
  const auto arrived = received_by({&one, &two}, 33);
  CHECK(arrived[0].size() + arrived[1].size() == 33);
  for (const auto& packet : arrived[0]) CHECK(of_one.at(packet));
  for (const auto& packet : arrived[1]) CHECK(!of_one.at(packet));
}

TEST_CASE("a delivery counts a scan, and sends what waits before its servers change") {
  UdpReceiver first;
  UdpReceiver second;
  mmstats::forward::DaemonLog log("mmstats-pinba");
  mmstats::forward::Delivery delivery(log, false);
  mmstats::forward::Config config;
  config.servers = {first.server()};
  REQUIRE(delivery.configure(config));
  CHECK(!delivery.waits());
  pinba::Request request;
  request.script_name = "/a";
  delivery.begin_scan();
  for (int i = 0; i < 100; ++i) delivery.take(request);
  delivery.end_scan();
  CHECK(delivery.requests() == 100);
  CHECK(delivery.datagrams() == 100);
  CHECK(delivery.waits());
  CHECK(first.received().empty());
  // The same servers: what waits goes on waiting.
  REQUIRE(delivery.configure(config));
  CHECK(delivery.waits());
  delivery.send_burst();
  CHECK(first.received(Outbox::kBurst).size() == Outbox::kBurst);
  config.servers = {second.server()};
  REQUIRE(delivery.configure(config));
  CHECK(!delivery.waits());
  CHECK(first.received(100 - Outbox::kBurst).size() == 100 - Outbox::kBurst);
  CHECK(second.received().empty());
  delivery.begin_scan();
  CHECK(delivery.requests() == 0);
  CHECK(delivery.datagrams() == 0);
  delivery.take(request);
  delivery.send_all(kPatience);
  CHECK(second.received(1).size() == 1);
  CHECK(first.received().empty());
  CHECK(delivery.is_all_sent());
}
