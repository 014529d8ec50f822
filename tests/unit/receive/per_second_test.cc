// How many of what a second has room for.
#include "plugin_pinba/receive/per_second.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using mmstats::receive::PerSecond;
using std::chrono::milliseconds;
using PacketClock = std::chrono::system_clock;

namespace {

constexpr PacketClock::time_point kNoon{std::chrono::hours(12)};

int taken_of(PerSecond& budget, std::uint64_t source, PacketClock::time_point now, int tries) {
  int taken = 0;
  for (int i = 0; i < tries; ++i) taken += budget.take(source, now) ? 1 : 0;
  return taken;
}

}  // namespace

TEST_CASE("one sender gets a quarter of a second's room, and all of them together all of it") {
  PerSecond budget(40);
  CHECK(taken_of(budget, 1, kNoon, 100) == 10);
  int all = 10;
  for (std::uint64_t source = 2; source < 200; ++source) all += taken_of(budget, source, kNoon, 1);
  CHECK(all == 40);
  CHECK(taken_of(budget, 1, kNoon + milliseconds(999), 100) == 0);
  CHECK(taken_of(budget, 1, kNoon + milliseconds(1000), 100) == 10);
  // The clock may be set back.
  CHECK(taken_of(budget, 1, kNoon, 100) == 10);
}

TEST_CASE("of a small room one sender gets one, and of none nobody any") {
  PerSecond one(1);
  CHECK(taken_of(one, 1, kNoon, 5) == 1);
  CHECK(taken_of(one, 1, kNoon + milliseconds(1000), 5) == 1);
  PerSecond none(0);
  CHECK(taken_of(none, 1, kNoon, 5) == 0);
}

TEST_CASE("threads that take at the same time get no more than there is") {
  PerSecond budget(1000);
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 5000; ++i) taken += budget.take(4 * i + thread, kNoon) ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(taken == 1000);
}
