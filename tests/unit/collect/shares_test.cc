#include "collect/shares.h"

#include <doctest/doctest.h>

namespace {

using mmstats::Shares;

constexpr uid_t kRoot = 0;
constexpr uid_t kSelf = 998;
constexpr uid_t kApp = 1000;
constexpr uid_t kOther = 1001;

std::size_t take_all(Shares& shares, uid_t owner) {
  std::size_t taken = 0;
  while (shares.take(owner, 1)) ++taken;
  return taken;
}

TEST_CASE("one user leaves a quarter to whoever comes next") {
  Shares shares(1000, kSelf);
  CHECK(take_all(shares, kApp) == 750);
  CHECK(take_all(shares, kOther) == 188);
  CHECK(take_all(shares, kRoot) == 62);  // all of the rest
  CHECK(take_all(shares, kSelf) == 0);
  CHECK(shares.total() == 1000);
}

TEST_CASE("root and the user that we run as may have all") {
  for (const uid_t trusted : {kRoot, kSelf}) {
    Shares shares(1000, kSelf);
    CHECK(take_all(shares, trusted) == 1000);
  }
}

TEST_CASE("what is given back is there for all") {
  Shares shares(1000, kSelf);
  CHECK(take_all(shares, kApp) == 750);
  CHECK(!shares.take(kOther, 189));
  CHECK(shares.held(kOther) == 0);
  shares.give(kApp, 750);
  CHECK(shares.held(kApp) == 0);
  CHECK(shares.take(kOther, 750));
  CHECK(!shares.take(kOther, 1));
}

TEST_CASE("who has more than may be, as others came, gets no more, and loses nothing") {
  Shares shares(1000, kSelf);
  CHECK(take_all(shares, kApp) == 750);
  CHECK(shares.take(kRoot, 200));
  CHECK(shares.room(kApp) == 0);
  CHECK(shares.held(kApp) == 750);
  shares.give(kApp, 200);
  CHECK(shares.room(kApp) == 50);
}

TEST_CASE("a limit of one is one file for anybody, and of nothing is none") {
  Shares one(1, kSelf);
  CHECK(one.take(kApp, 1));
  CHECK(!one.take(kRoot, 1));
  Shares none(0, kSelf);
  CHECK(!none.take(kRoot, 1));
  CHECK(none.take(kRoot, 0));
}

TEST_CASE("who holds nothing is not remembered") {
  Shares shares(1000, kSelf);
  for (uid_t owner = kApp; owner < kApp + 100; ++owner) CHECK(shares.take(owner, 0));
  CHECK(shares.owners() == 0);
  CHECK(shares.take(kApp, 5));
  CHECK(shares.take(kApp, 0));
  CHECK(shares.owners() == 1);
  shares.give(kApp, 5);
  CHECK(shares.owners() == 0);
}

}  // namespace
