#include "collect/looks.h"

#include <doctest/doctest.h>

#include <limits>
#include <set>

using mmstats::Looks;

namespace {

constexpr uid_t kThatUser = 4000;
constexpr uid_t kOtherUser = 4001;

// Looks at `names` names of `owner` in vain, and returns at how many it could.
std::size_t look_in_vain(Looks& looks, uid_t owner, std::size_t names) {
  std::size_t looked = 0;
  for (std::size_t i = 0; i < names; ++i) {
    if (!looks.may_look(owner)) continue;
    looks.in_vain(owner);
    ++looked;
  }
  return looked;
}

}  // namespace

TEST_CASE("looks in vain are bounded in a scan, more of them after quiet scans, and others are not") {
  Looks looks(100);
  for (int i = 0; i < 10'000; ++i) CHECK(looks.may_look(0));
  CHECK(look_in_vain(looks, 0, 10'000) == 400);
  std::size_t looked = 0;
  for (int scans = 0; scans < 100; ++scans) {
    looks.begin_scan();
    looked += look_in_vain(looks, 0, 10'000);
  }
  CHECK(looked <= 10'000);
  CHECK(looked >= 9'000);
  for (int scans = 0; scans < 4; ++scans) looks.begin_scan();
  CHECK(look_in_vain(looks, 0, 10'000) == 400);
}

TEST_CASE("names in one user's folders leave looks for those in another's") {
  Looks looks(100);
  CHECK(look_in_vain(looks, kThatUser, 10'000) == 300);
  CHECK(look_in_vain(looks, kOtherUser, 10) == 10);
  for (int scans = 0; scans < 10; ++scans) {
    looks.begin_scan();
    look_in_vain(looks, kThatUser, 10'000);
    CHECK(look_in_vain(looks, kOtherUser, 10) == 10);
  }
}

TEST_CASE("every name that waits is looked at some day, wherever it stands") {
  Looks looks(100);
  std::set<int> seen;
  // With these odds one of the names would be missed once in 10^20 runs.
  for (int scans = 0; scans < 700 && seen.size() < 1000; ++scans) {
    looks.begin_scan();
    for (int name = 0; name < 1000; ++name) {
      if (!looks.may_look(0)) continue;
      looks.in_vain(0);
      seen.insert(name);
    }
  }
  CHECK(seen.size() == 1000);
}

TEST_CASE("as many looks as there can be names are no bound") {
  Looks looks(std::numeric_limits<std::size_t>::max());
  CHECK(look_in_vain(looks, kThatUser, 100'000) == 100'000);
  looks.begin_scan();
  CHECK(look_in_vain(looks, kThatUser, 100'000) == 100'000);
}
