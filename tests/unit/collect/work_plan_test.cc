#include "collect/work_plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace {

using mmstats::FileKey;
using mmstats::WorkPlan;

constexpr uid_t kPlanSelf = 998;
constexpr uid_t kPlanGreedy = 1000;
constexpr uid_t kPlanHonest = 1001;

struct PlannedFile {
  uid_t owner = 0;
  std::uint64_t work = 0;      // that it takes
  std::uint64_t expected = 0;  // that can be known before; 0: all
};
using PlannedFiles = std::map<FileKey, PlannedFile>;

// One scan; returns the files that were read, in order.
std::vector<FileKey> read_planned(WorkPlan& plan, const PlannedFiles& files) {
  std::vector<FileKey> keys;
  for (const auto& [key, file] : files) keys.push_back(key);
  const auto expected = [&](FileKey file) {
    return files.at(file).expected != 0 ? files.at(file).expected : files.at(file).work;
  };
  std::vector<FileKey> read;
  plan.begin();
  for (const FileKey key : plan.order(keys, [&](FileKey file) { return files.at(file).owner; }, expected)) {
    if (!plan.may_read(key, files.at(key).owner)) continue;
    read.push_back(key);
    plan.did(files.at(key).owner, files.at(key).work);
    plan.expect(key, expected(key));
  }
  CHECK(plan.put_off() == files.size() - read.size());
  return read;
}

std::uint64_t work_of(uid_t owner, const std::vector<FileKey>& read, const PlannedFiles& files) {
  std::uint64_t work = 0;
  for (const FileKey key : read) work += files.at(key).owner == owner ? files.at(key).work : 0;
  return work;
}

// After the first scan, which may do more.
WorkPlan begun(std::uint64_t limit) {
  WorkPlan plan(limit, kPlanSelf);
  plan.begin();
  return plan;
}

}  // namespace

TEST_CASE("where there is work for all files, they are read in their order") {
  WorkPlan plan = begun(1000);
  const PlannedFiles files{
      {0, {kPlanGreedy, 300}}, {1, {kPlanHonest, 10}}, {2, {kPlanGreedy, 200}}, {3, {0, 100'000}}};
  for (int scan = 0; scan < 3; ++scan) {
    CHECK(read_planned(plan, files) == std::vector<FileKey>{0, 1, 2, 3});
    CHECK(plan.late().empty());
  }
}

TEST_CASE("one user's many files leave the scan to others' and are read in turn") {
  WorkPlan plan = begun(1000);
  PlannedFiles files;
  for (FileKey key = 0; key < 100; ++key) files[key] = {kPlanGreedy, 100};
  for (FileKey key = 100; key < 110; ++key) files[key] = {kPlanHonest, 10};
  files[110] = {0, 5000};
  files[111] = {kPlanSelf, 5000};
  std::map<FileKey, int> times;
  for (int scan = 0; scan < 60; ++scan) {
    const auto read = read_planned(plan, files);
    for (const FileKey key : read) ++times[key];
    CHECK(work_of(kPlanGreedy, read, files) <= 750);
    CHECK(work_of(kPlanGreedy, read, files) >= 600);
    CHECK(plan.late() == std::vector<uid_t>{kPlanGreedy});
  }
  for (FileKey key = 0; key < 100; ++key) CHECK(times[key] >= 3);
  for (FileKey key = 100; key < 112; ++key) CHECK(times[key] == 60);
}

TEST_CASE("who used least comes first, and of his files the cheap ones, but for what has waited long") {
  WorkPlan plan = begun(1000);
  const PlannedFiles files{
      {0, {kPlanGreedy, 700}}, {1, {kPlanGreedy, 90}}, {2, {kPlanGreedy, 20}}, {3, {kPlanHonest, 60}}};
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t scan = 0; scan < WorkPlan::kOverdue; ++scan) {
      CHECK(read_planned(plan, files) == std::vector<FileKey>{3, 2, 1});
    }
    CHECK(read_planned(plan, files) == std::vector<FileKey>{3, 0});
  }
}

TEST_CASE("a file that takes more than there is in a scan is read all the same, and then paid for") {
  WorkPlan plan = begun(1000);
  const PlannedFiles files{
      {0, {kPlanGreedy, 5000}}, {1, {kPlanGreedy, 4000}}, {2, {kPlanGreedy, 10}}, {3, {kPlanHonest, 60}}};
  std::map<FileKey, int> times;
  std::uint64_t work = 0;
  constexpr int kScans = 200;
  for (int scan = 0; scan < kScans; ++scan) {
    const auto read = read_planned(plan, files);
    for (const FileKey key : read) ++times[key];
    work += work_of(kPlanGreedy, read, files);
  }
  CHECK(work <= kScans * 750 + 5000);
  for (FileKey key = 0; key < 3; ++key) CHECK(times[key] >= 5);
  CHECK(times[2] >= kScans / 3);
  CHECK(times[3] == kScans);
}

TEST_CASE("work that nobody could know of is bounded, and others' files are read first from then on") {
  WorkPlan plan = begun(1000);
  PlannedFiles files;
  for (FileKey key = 0; key < 100; ++key) files[key] = {kPlanGreedy, 300, 1};
  for (FileKey key = 100; key < 120; ++key) files[key] = {kPlanHonest, 20};
  for (int scan = 0; scan < 30; ++scan) {
    const auto read = read_planned(plan, files);
    CHECK(work_of(kPlanGreedy, read, files) <= 750 + 300);
    if (scan > 0) CHECK(work_of(kPlanHonest, read, files) == 400);
  }
}

TEST_CASE("who is in debt gets no more of it by files that seem small") {
  WorkPlan plan = begun(1000);
  PlannedFiles files;
  for (FileKey key = 0; key < 100; ++key) files[key] = {kPlanGreedy, 5000, 1};
  std::uint64_t work = 0;
  constexpr int kScans = 200;
  for (int scan = 0; scan < kScans; ++scan) work += work_of(kPlanGreedy, read_planned(plan, files), files);
  CHECK(work <= kScans * 750 + 2 * 5000);
  CHECK(work >= kScans * 500);
}

TEST_CASE("what one uses beyond his share nobody else loses") {
  WorkPlan plan = begun(1000);
  plan.begin();
  plan.did(kPlanGreedy, 700);
  plan.expect(1, 50);
  CHECK(plan.may_read(1, kPlanGreedy));
  plan.did(kPlanGreedy, 100'000);
  CHECK(!plan.may_read(1, kPlanGreedy));
  plan.expect(2, 180);
  CHECK(plan.may_read(2, kPlanHonest));
}

TEST_CASE("quiet scans between change nothing of who comes first") {
  WorkPlan plan = begun(1000);
  PlannedFiles files;
  for (FileKey key = 0; key < 100; ++key) files[key] = {kPlanGreedy, 300, 1};
  for (FileKey key = 100; key < 120; ++key) files[key] = {kPlanHonest, 20};
  read_planned(plan, files);
  for (int scan = 0; scan < 50; ++scan) {
    for (FileKey key = 0; key < 100; ++key) files[key].work = scan % 2 == 0 ? 1 : 300;
    CHECK(work_of(kPlanHonest, read_planned(plan, files), files) == 400);
  }
}

TEST_CASE("the first scan may do more, as all files are new") {
  WorkPlan plan(1000, kPlanSelf);
  PlannedFiles files;
  for (FileKey key = 0; key < 100; ++key) files[key] = {kPlanHonest, 50};
  CHECK(read_planned(plan, files).size() == 60);
  CHECK(read_planned(plan, files).size() == 15);
}

TEST_CASE("many users at once do not make a scan long, and each has his turn") {
  WorkPlan plan = begun(1000);
  PlannedFiles files;
  for (FileKey key = 0; key < 50; ++key) files[key] = {kPlanGreedy + key, 400};
  std::map<FileKey, int> times;
  for (int scan = 0; scan < 100; ++scan) {
    const auto read = read_planned(plan, files);
    for (const FileKey key : read) ++times[key];
    CHECK(read.size() <= 3);
  }
  CHECK(times.size() == 50);
}

TEST_CASE("a new file of a key has no past, and who is late no more is forgotten") {
  WorkPlan plan = begun(1000);
  PlannedFiles files{{0, {kPlanGreedy, 700}}, {1, {kPlanGreedy, 700}}};
  CHECK(read_planned(plan, files).size() == 1);
  files[0].work = files[1].work = 10;
  plan.forget(0);
  plan.forget(1);
  CHECK(read_planned(plan, files).size() == 2);
  CHECK(plan.late().size() == 1);
  for (std::uint64_t scan = 0; scan < WorkPlan::kCalm; ++scan) CHECK(read_planned(plan, files).size() == 2);
  CHECK(plan.late().empty());
}
