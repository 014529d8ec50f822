#include "collect/worker_slots.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace {

using mmstats::ReservedSlots;
using mmstats::WorkerFile;
using mmstats::WorkerSlots;

// What slots are, looked for in all of them.
struct PlainSlots {
  std::vector<std::multiset<std::pair<std::uint64_t, std::uint64_t>>> slots;  // pid and thread of their files

  std::int32_t take(const WorkerFile& file) {
    std::size_t slot = 0;
    for (; slot < slots.size(); ++slot) {
      const auto& files = slots[slot];
      if (file.pid == 0 || files.empty() || files.begin()->first != file.pid) continue;
      if (file.thread == 0 || !files.contains({file.pid, file.thread})) break;
    }
    for (std::size_t free = 0; slot == slots.size() && free < slots.size(); ++free) {
      if (slots[free].empty()) slot = free;
    }
    if (slot == slots.size()) slots.emplace_back();
    slots[slot].insert({file.pid, file.thread});
    return static_cast<std::int32_t>(slot);
  }
  void leave(const WorkerFile& file, std::int32_t slot) {
    auto& files = slots[static_cast<std::size_t>(slot)];
    files.erase(files.find({file.pid, file.thread}));
  }
};

TEST_CASE("each file has the lowest slot of a process that it can be of, or else the lowest free one") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    WorkerSlots slots;
    PlainSlots plain;
    std::vector<std::pair<WorkerFile, std::int32_t>> files;
    for (int step = 0; step < 3000; ++step) {
      if (!files.empty() && random() % (step / 500 % 2 == 0 ? 3 : 2) == 0) {
        std::swap(files[random() % files.size()], files.back());
        slots.leave(files.back().first, files.back().second);
        plain.leave(files.back().first, files.back().second);
        files.pop_back();
      } else {
        const WorkerFile file{.pid = random() % 4, .thread = random() % 5};
        files.emplace_back(file, slots.take(file));
        REQUIRE(files.back().second == plain.take(file));
      }
    }
  }
}

TEST_CASE("files that all say the same take no look at each of them") {
  constexpr std::uint64_t kFiles = 20'000;
  const auto steps_of = [](const auto& file) {
    WorkerSlots slots;
    std::vector<std::int32_t> taken;
    for (std::uint64_t i = 0; i < kFiles; ++i) taken.push_back(slots.take(file(i)));
    // Every second one makes room for another.
    for (std::uint64_t i = 0; i < kFiles; i += 2) slots.leave(file(i), taken[i]);
    for (std::uint64_t i = 0; i < kFiles; i += 2) taken[i] = slots.take(file(i));
    for (std::uint64_t i = 0; i < kFiles; ++i) slots.leave(file(i), taken[i]);
    return slots.steps();
  };
  constexpr std::uint64_t kMost = kFiles * 150;  // some binary searches for each of 60,000 calls
  CHECK(steps_of([](std::uint64_t) { return WorkerFile{.pid = 1, .thread = 1}; }) < kMost);
  CHECK(steps_of([](std::uint64_t i) { return WorkerFile{.pid = 1, .thread = 1 + i}; }) < kMost);
  CHECK(steps_of([](std::uint64_t i) { return WorkerFile{.pid = 1, .thread = 1 + i % 2}; }) < kMost);
  CHECK(steps_of([](std::uint64_t i) { return WorkerFile{.pid = 1, .thread = 1 + i / (kFiles / 2)}; }) <
        kMost);
  CHECK(steps_of([](std::uint64_t) { return WorkerFile{.pid = 1}; }) < kMost);
  CHECK(steps_of([](std::uint64_t i) { return WorkerFile{.pid = i}; }) < kMost);
  CHECK(steps_of([](std::uint64_t) { return WorkerFile{}; }) < kMost);
}

TEST_CASE("a slot is reserved for a life until it goes on, another has its name, or the scan ends") {
  WorkerSlots slots;
  ReservedSlots reserved;
  const WorkerFile one{.pid = 5, .thread = 0};
  const WorkerFile other{.pid = 6, .thread = 0};
  const auto slot = slots.take(one);
  const auto ticket = reserved.add("path", one, slot);
  CHECK(slots.take(other) == slot + 1);
  SUBCASE("goes on") {
    CHECK(reserved.redeem(ticket));
    CHECK(!reserved.redeem(ticket));
    reserved.give_back("path", slots);
    reserved.clear(slots);
    CHECK(slots.take(WorkerFile{}) == slot + 2);
  }
  SUBCASE("another has its name") {
    reserved.give_back("elsewhere", slots);
    CHECK(slots.take(WorkerFile{}) == slot + 2);
    reserved.give_back("path", slots);
    CHECK(!reserved.redeem(ticket));
    reserved.clear(slots);
    CHECK(slots.take(WorkerFile{}) == slot);
    CHECK(slots.take(WorkerFile{}) == slot + 3);
  }
  SUBCASE("the scan ends") {
    reserved.clear(slots);
    CHECK(slots.take(WorkerFile{}) == slot);
    // Another life's slot of the next scan is none of its.
    CHECK(reserved.add("path", other, slot + 1) != ticket);
    CHECK(!reserved.redeem(ticket));
    CHECK(!reserved.redeem(ReservedSlots::kNone));
  }
}

}  // namespace
