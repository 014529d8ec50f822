// Packets that are passed on.
#include "plugin_pinba/receive/tee.h"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "patience.h"
#include "udp_receiver.h"

using mmstats::receive::Tee;

namespace {

void pass_text(Tee& tee, const std::string& packet) { tee.pass_on(std::as_bytes(std::span(packet))); }

}  // namespace

TEST_CASE("packets are passed on unchanged, whatever is in them, to every server") {
  UdpReceiver one;
  UdpReceiver two;
  auto tee = Tee::make({one.server(), two.server()});
  REQUIRE(tee);
  std::multiset<std::string> sent;
  for (int i = 0; i < 100; ++i) {
    // Some are of one size, and some are large: both leave in other ways.
    std::string packet =
        std::to_string(i) + std::string(i % 7 == 0 ? 20'000 : 300 + i % 3, static_cast<char>(i));
    pass_text(*tee, packet);
    sent.insert(std::move(packet));
  }
  for (UdpReceiver* server : {&one, &two}) {
    std::multiset<std::string> got;
    while (got.size() < sent.size()) {
      auto packet = server->receive();
      REQUIRE(packet);
      got.insert(std::move(*packet));
    }
    CHECK(got == sent);
    CHECK(!server->receive(std::chrono::milliseconds(0)));
  }
  CHECK(tee->counts().sent == 200);
  CHECK(tee->counts().lost == 0);
}

TEST_CASE("one packet alone does not wait for others") {
  UdpReceiver server;
  auto tee = Tee::make({server.server()});
  REQUIRE(tee);
  pass_text(*tee, "alone");
  CHECK(server.receive() == "alone");
}

TEST_CASE("many packets leave in few calls") {
  UdpReceiver server;
  auto options = mmstats::receive::tee_options({server.server()});
  options.linger = kPatience;  // or a slow machine would send some for their age
  auto sender = pinba::Sender::make(options);
  REQUIRE(sender);
  const std::string packet(500, 'x');
  for (int i = 0; i < 3200; ++i) sender->send(std::as_bytes(std::span(packet)));
  sender->flush();
  CHECK(sender->counts().sent == 3200);
  CHECK(sender->counts().calls <= 800);
}

TEST_CASE("what the other server did not take is counted") {
  const UnheardPort nobody;
  auto tee = Tee::make({nobody.server()});
  REQUIRE(tee);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (tee->counts().lost < 3 && std::chrono::steady_clock::now() < deadline) pass_text(*tee, "lost");
  CHECK(tee->counts().lost >= 3);
  UdpReceiver server(AF_INET, nobody.port());
  std::optional<std::string> got;
  while (!got && std::chrono::steady_clock::now() < deadline) {
    pass_text(*tee, "taken");
    got = server.receive(std::chrono::milliseconds(20));
  }
  CHECK(got == "taken");
}

TEST_CASE("packets to a name that is not found wait within a bound, and then are counted as lost") {
  auto tee = Tee::make({"no-such-host.invalid"});
  REQUIRE(tee);
  const std::string packet(60'000, 'x');
  for (int i = 0; i < 1000; ++i) pass_text(*tee, packet);
  const auto counts = tee->counts();
  CHECK(counts.sent == 0);
  CHECK(counts.lost > 900);
  CHECK(counts.lost < 1000);
}

TEST_CASE("what is no server is an error") {
  for (const char* server : {"", ":30002", "a:b", "host:0"}) {
    const auto tee = Tee::make({server});
    REQUIRE(!tee);
    CHECK(tee.error().kind == mmstats::ErrorKind::kInvalid);
  }
  CHECK(!Tee::make({}));
}
