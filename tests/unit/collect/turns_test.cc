#include "collect/turns.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <random>

namespace {

using mmstats::Turn;
using mmstats::Turns;

constexpr uid_t kTurnsSelf = 998;
constexpr uid_t kTurnsGreedy = 1000;
constexpr uid_t kTurnsHonest = 1001;

struct TurnsThing {
  uid_t owner = 0;
  Turn turn = {};
  std::size_t waited = 0;  // scans in a row
};

// One scan; returns how many of each owner's were looked at.
std::map<uid_t, std::size_t> take_turns(Turns& turns, std::list<TurnsThing>& things, std::uint64_t scan) {
  std::map<uid_t, std::size_t> looked;
  std::map<uid_t, std::size_t> waiting;
  std::map<uid_t, std::size_t> told;
  for (auto& thing : things) turns.add(thing.owner, thing.turn);
  turns.choose(scan, [&](uid_t owner, std::size_t count) { told[owner] += count; });
  for (auto& thing : things) {
    ++(thing.turn.waits ? waiting : looked)[thing.owner];
    thing.waited = thing.turn.waits ? thing.waited + 1 : 0;
    if (!thing.turn.waits && thing.owner != 0 && thing.owner != kTurnsSelf) CHECK(thing.turn.looked == scan);
  }
  CHECK(told == waiting);
  return looked;
}

}  // namespace

TEST_CASE("one user's many things are looked at in turn, and nobody else's wait") {
  Turns turns(10, kTurnsSelf);
  std::list<TurnsThing> things;
  for (const auto& [owner, count] :
       std::map<uid_t, int>{{kTurnsGreedy, 95}, {kTurnsHonest, 10}, {0, 50}, {kTurnsSelf, 50}})
    for (int i = 0; i < count; ++i) things.push_back({.owner = owner});
  for (std::uint64_t scan = 1; scan <= 100; ++scan) {
    CHECK(take_turns(turns, things, scan) ==
          std::map<uid_t, std::size_t>{{kTurnsGreedy, 10}, {kTurnsHonest, 10}, {0, 50}, {kTurnsSelf, 50}});
    if (scan > 10) CHECK(std::ranges::all_of(things, [](const auto& thing) { return thing.waited < 10; }));
  }
}

TEST_CASE("each is looked at in time while others come and go, and one that is to come first does") {
  std::mt19937 dice(4711);
  Turns turns(7, kTurnsSelf);
  std::list<TurnsThing> things;
  std::size_t most = 0;
  for (std::uint64_t scan = 1; scan <= 500; ++scan) {
    for (int i = 0; i < 3; ++i)
      things.push_back({dice() % 4 == 0 ? kTurnsHonest : kTurnsGreedy, {.looked = scan}});
    if (things.size() > 90) {
      for (int i = 0; i < 3; ++i)
        things.erase(std::next(things.begin(), static_cast<std::ptrdiff_t>(dice() % things.size())));
    }
    TurnsThing& first = things.back();
    if (scan % 5 == 0) first.turn.looked = 0;
    most = std::max(most, things.size());
    take_turns(turns, things, scan);
    if (scan % 5 == 0) CHECK_FALSE(first.turn.waits);
    CHECK(std::ranges::all_of(things, [&](const auto& thing) { return thing.waited <= (most + 6) / 7; }));
  }
}
