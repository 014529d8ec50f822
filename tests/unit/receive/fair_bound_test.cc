// What is shared out among senders.
#include "plugin_pinba/receive/fair_bound.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace mmstats::receive;

namespace {

// As much as it can get, one by one.
std::size_t take_all(FairBound& bound, Source source) {
  std::size_t count = 0;
  while (bound.take(source)) ++count;
  return count;
}

}  // namespace

TEST_CASE("one sender has three quarters of what all others leave") {
  FairBound bound(100);
  CHECK(take_all(bound, 1) == 75);
  CHECK(!bound.is_full());
  CHECK(take_all(bound, 2) == 19);  // of 25
  CHECK(take_all(bound, 1) == 0);
  for (Source source = 3; !bound.is_full() && source < 100; ++source) CHECK(take_all(bound, source) > 0);
  CHECK(bound.is_full());
  CHECK(take_all(bound, 1000) == 0);
  bound.give(1, 75);
  CHECK(!bound.is_full());
  CHECK(bound.take(1000));
}

TEST_CASE("several are taken at once or not at all") {
  FairBound bound(100);
  CHECK(bound.take(1, 70));
  CHECK(!bound.take(1, 6));
  CHECK(bound.take(1, 5));
  CHECK(!bound.take(2, 20));
  CHECK(bound.take(2, 19));
}

TEST_CASE("of none there is nothing, and of one somebody has it") {
  FairBound none(0);
  CHECK(none.is_full());
  CHECK(!none.take(1));
  FairBound one(1);
  CHECK(one.take(7));
  CHECK(one.is_full());
  CHECK(!one.take(8));
}

TEST_CASE("with a lower bound nothing is taken until enough was given") {
  FairBound bound(100);
  CHECK(bound.take(1, 60));
  bound.set_most(40);
  CHECK(bound.is_full());
  CHECK(!bound.take(2));
  bound.give(1, 30);
  CHECK(!bound.take(1));  // three quarters of 40 are 30, and it has them
  CHECK(bound.take(2, 7));
  bound.set_most(100);
  CHECK(bound.take(1, 10));
}

TEST_CASE("however it goes, never more is taken than there is") {
  std::mt19937 random(17);
  FairBound bound(200);
  std::map<Source, std::size_t> have;
  std::size_t all = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Source source = random() % 12;
    const std::size_t count = 1 + random() % 5;
    if (random() % 3 != 0) {
      if (bound.take(source, count)) {
        have[source] += count;
        all += count;
      }
    } else if (have[source] >= count) {
      bound.give(source, count);
      have[source] -= count;
      all -= count;
    }
    REQUIRE(all <= 200);
    REQUIRE(bound.is_full() == (all == 200));
    REQUIRE(have[source] <= 150);
  }
}
