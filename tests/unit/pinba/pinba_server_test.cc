// What servers show of what the library sends: that large requests arrive whole, and that percentiles of
// timers are right.
#include "pinba/pinba_server.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

#include "patience.h"
#include "pinba/monitor.h"

using namespace std::chrono_literals;
using pinba::Client;
using pinba::ClientOptions;
using pinba::EqualTimers;
using pinba::RequestMonitor;

namespace {

using Row = PinbaReport::Row;

// Longer than this machine may hold a thread up, which would send two bursts at once then.
constexpr auto kBurstPause = 500ms;

// A request of so many different timers.
void send_large_request(const PinbaServer& server, int timers, pinba::SenderOptions options) {
  options.servers = {server.address()};
  const auto client = Client::make(options);
  REQUIRE(client);
  RequestMonitor request(*client, "/large");
  for (int i = 0; i < timers; ++i) request.add_timer({{"group", "mysql"}, {"query", i}}, 1, 0.25);
  CHECK(request.send());
  CHECK(client->sender().flush(kPatience));
  CHECK(client->sender().counts().dropped == 0);
}

Row row_of(const PinbaServer& server, const std::string& operation) {
  const auto found = server.report().rows.find({{"op", operation}});
  return found == server.report().rows.end() ? Row() : found->second;
}

}  // namespace

TEST_CASE("all timers of a large request arrive at a server whose buffer holds a hundred packets") {
  CHECK(pinba::SenderOptions().burst_pause == 1ms);
  for (const int timers : {6'000, 9'999}) {
    CAPTURE(timers);
    PinbaServer server;
    if (!server.serve([&] { send_large_request(server, timers, {.burst_pause = kBurstPause}); })) return;
    REQUIRE(server.report().rows.size() == static_cast<std::size_t>(timers));
    for (const auto& [tags, row] : server.report().rows) CHECK((row.hits == 1 && row.value == 0.25));

    PinbaServer other;
    other.serve_late([&] { send_large_request(other, timers, {.burst_packets = 0}); });
    CHECK(other.report().rows.size() < static_cast<std::size_t>(timers));
  }
}

TEST_CASE("a server finds the percentiles of timers, few, many, and of several requests") {
  for (const bool one_entry : {false, true}) {
    PinbaServer server;
    const bool done = server.serve([&] {
      ClientOptions options;
      if (one_entry) options.equal_timers = EqualTimers::kOne;
      const auto client = Client::make({.servers = {server.address()}, .burst_pause = kBurstPause}, options);
      REQUIRE(client);
      RequestMonitor request(*client, "/");
      const auto add = [&](const std::string& operation, int count, double seconds) {
        for (int i = 0; i < count; ++i) request.add_timer({{"op", operation}}, 1, seconds);
      };
      add("few", 9, 0.001);
      add("few", 1, 1);
      add("some", 98, 0.001);
      add("some", 2, 1);
      add("many", 5'000, 0.001);
      add("many", 4'800, 0.002);
      add("many", 190, 1);
      CHECK(request.send());
      for (int i = 0; i < 50; ++i) {
        RequestMonitor next(*client, "/");
        next.add_timer({{"op", "of several"}}, 1, 0.001);
        if (i % 25 == 0) next.add_timer({{"op", "of several"}}, 1, 1);
      }
      CHECK(client->sender().flush(kPatience));
    });
    if (!done) return;
    const Row some = row_of(server, "some");
    CHECK(some.hits == 100);
    CHECK(some.value == doctest::Approx(2.098));
    if (one_entry) {
      // A server cannot know better: 21 ms, though none took that.
      CHECK(some.percentile(0.5) == doctest::Approx(0.02098));
      CHECK(some.percentile(0.99) == doctest::Approx(0.02098));
      continue;
    }
    CHECK(some.percentile(0.5) == doctest::Approx(0.001));
    CHECK(some.percentile(0.98) == doctest::Approx(0.001));
    CHECK(some.percentile(0.99) == doctest::Approx(1));
    const Row few = row_of(server, "few");
    CHECK(few.hits == 10);
    CHECK(few.percentile(0.9) == doctest::Approx(0.001));
    CHECK(few.percentile(0.95) == doctest::Approx(1));
    const Row many = row_of(server, "many");
    CHECK(many.hits == 9'990);
    CHECK(many.value == doctest::Approx(5 + 9.6 + 190));
    CHECK(many.percentile(0.5) == doctest::Approx(0.001).epsilon(0.04));
    CHECK(many.percentile(0.95) == doctest::Approx(0.002).epsilon(0.04));
    CHECK(many.percentile(0.99) == doctest::Approx(1).epsilon(0.04));
    const Row of_several = row_of(server, "of several");
    CHECK(of_several.hits == 52);
    CHECK(of_several.percentile(0.5) == doctest::Approx(0.001));
    CHECK(of_several.percentile(0.97) == doctest::Approx(1));
  }
}
