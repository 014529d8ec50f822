#include "collect/vain_names.h"

#include <doctest/doctest.h>

#include <map>

namespace {

using mmstats::VainNames;
using Answer = VainNames::Answer;

constexpr uid_t kVainGreedy = 4000;
constexpr uid_t kVainHonest = 4001;
constexpr std::size_t kVainFiles = 2000;

// Asks about the names from `begin` to `end`, in a folder of root, and finds nothing.
std::map<Answer, std::size_t> look_for_vain(VainNames& names, uid_t owner, std::uint64_t begin,
                                            std::uint64_t end, bool no_room = false) {
  std::map<Answer, std::size_t> answers;
  for (auto name = begin; name < end; ++name) {
    const Answer answer = names.ask(name, 0);
    ++answers[answer];
    if (answer == Answer::kLook) names.was_in_vain(name, 0, owner, no_room);
  }
  return answers;
}

}  // namespace

TEST_CASE("names in vain are looked at in turn, and leave new ones to be looked at") {
  constexpr std::size_t kMany = 4 * VainNames::kEachScan;
  for (const bool no_room : {false, true}) {
    CAPTURE(no_room);
    VainNames names(kVainFiles);
    names.begin_scan();
    look_for_vain(names, kVainGreedy, 0, kMany, no_room);
    for (std::uint64_t scan = 1; scan <= 200; ++scan) {
      names.begin_scan();
      auto answers = look_for_vain(names, kVainGreedy, 0, kMany, no_room);
      CHECK(answers[Answer::kLook] == VainNames::kEachScan);
      CHECK(answers[no_room ? Answer::kLeftOut : Answer::kNothing] == kMany - VainNames::kEachScan);
      // New ones, and those of one who has few.
      CHECK(names.ask(kMany + scan, 0) == Answer::kLook);
      CHECK(look_for_vain(names, kVainHonest, 1'000'000, 1'000'100)[Answer::kLook] == 100);
    }
  }
}

TEST_CASE("what cannot be remembered is looked at only so often, and what is gone is forgotten") {
  VainNames names(kVainFiles);
  constexpr std::size_t kMost = 4 * kVainFiles * 3 / 4;
  for (int scan = 0; scan < 40; ++scan) {
    names.begin_scan();
    look_for_vain(names, kVainGreedy, 0, 4 * kMost);
  }
  names.begin_scan();
  auto answers = look_for_vain(names, kVainGreedy, 0, 4 * kMost);
  CHECK(answers[Answer::kLook] <= VainNames::kEachScan + kVainFiles / 2);
  CHECK(answers[Answer::kNothing] == kMost - VainNames::kEachScan);
  for (int scan = 0; scan < 200; ++scan) names.begin_scan();
  look_for_vain(names, kVainGreedy, 1'000'000, 1'000'000 + kMost);
  for (int scan = 0; scan < 20; ++scan) {
    names.begin_scan();
    answers = look_for_vain(names, kVainGreedy, 1'000'000, 1'000'000 + kMost);
  }
  CHECK(answers[Answer::kNothing] == kMost - VainNames::kEachScan);
}

TEST_CASE("a name that is another user's by now counts for him") {
  VainNames names(kVainFiles);
  names.begin_scan();
  look_for_vain(names, kVainGreedy, 0, 2 * VainNames::kEachScan);
  for (int scan = 0; scan < 2; ++scan) {
    names.begin_scan();
    look_for_vain(names, kVainHonest, 0, 10);
  }
  for (int scan = 0; scan < 3; ++scan) {
    names.begin_scan();
    CHECK(look_for_vain(names, kVainHonest, 0, 5)[Answer::kLook] == 5);
  }
}
