// What a fold does for each file is counted, and files may be left for a later scan.
#include <doctest/doctest.h>

#include <string>

#include "collect/file_reading.h"
#include "collect/fold_world.h"
#include "collect/work.h"

using namespace mmstats;
using namespace folded;

namespace {

MadeFile labelled(const std::string& stem, int counters, std::uint64_t value = 5) {
  auto made = MadeFile().owner(10, 100);
  for (int i = 0; i < counters; ++i) made.buffered(stem + std::to_string(i), "Q", value);
  return made;
}

}  // namespace

TEST_CASE("a file that is left for a later scan keeps its values") {
  World world;
  world.put(0, worker(10, 100, 3, 0.5));
  world.put(1, worker(11, 100, 4, 1.5));
  world.scan();
  CHECK(world.gauge("latency") == 1.0);
  world.put(0, worker(10, 100, 9, 2.5));
  world.kept = {0};
  const int readings = world.files[0].readings;
  for (int scan = 0; scan < 2; ++scan) {
    CHECK(world.scan().empty());
    CHECK(world.total("hits") == 7);
    CHECK(world.gauge("latency") == 1.0);
    CHECK(world.gauge("depth") == 2);
    CHECK(world.fold.stats().files == 2);
  }
  CHECK(world.files[0].readings == readings);
  world.kept.clear();
  world.scan();
  CHECK(world.total("hits") == 13);
  CHECK(world.gauge("latency") == 2.0);
}

TEST_CASE("a new file that is left for a later scan is not there yet") {
  World world;
  world.put(0, worker(10, 100, 3));
  world.kept = {0};
  CHECK(world.scan().empty());
  CHECK(world.find("hits") == nullptr);
  CHECK(world.fold.stats().files == 0);
  CHECK(world.fold.stats().lives == 0);
  world.kept.clear();
  world.scan();
  CHECK(world.total("hits") == 3);
}

TEST_CASE("what is wrong with a file is still wrong while it is not read") {
  World world;
  auto damaged = worker(10, 100, 3);
  damaged.raw("\x09");
  world.files[0].bytes = damaged.bytes();
  world.files[1].bytes = {std::byte{0}};
  world.put(2, worker(10, 100, 3, 4));
  world.scan();
  world.files[2].bytes.clear();
  const auto errors = world.scan();
  REQUIRE(errors.size() == 3);
  CHECK(world.gauge("latency") == 0.5);  // of the damaged file alone
  world.kept = {0, 1, 2};
  const auto again = world.scan();
  REQUIRE(again.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(again[i].text() == errors[i].text());
  CHECK(world.fold.stats().damaged == 3);
  CHECK(world.gauge("latency") == 0.5);
  CHECK(world.total("hits") == 6);
}

TEST_CASE("a dead owner is not asked for while his file is not read, and is dead since he was found so") {
  World world;
  world.put(0, worker(10, 100, 3));
  world.scan();
  world.owners[10] = OwnerState::kDead;
  world.scan();
  const auto since = world.now;
  world.scan();
  CHECK(world.fold.dead_since(0) == since);
  world.kept = {0};
  world.owners[10] = OwnerState::kAlive;
  world.scan();
  // Whether it is folded to the last byte is not known now.
  CHECK(!world.fold.dead_since(0));
  CHECK(world.fold.stats().dead == 1);
  CHECK(!world.gauge("latency"));
  world.kept.clear();
  world.owners[10] = OwnerState::kDead;
  world.scan();
  CHECK(world.fold.dead_since(0) == since);
}

TEST_CASE("a file that is left and then gone ends with what it had, and comes back") {
  World world;
  world.put(0, worker(10, 100, 3));
  world.names[0] = "file";
  world.scan();
  world.fold.begin(world.now += world.interval);
  world.fold.end_life(0, "file", nullptr, false);
  world.fold.finish();
  CHECK(world.total("hits") == 3);
  world.put(0, worker(10, 100, 5));
  world.scan();
  CHECK(world.total("hits") == 5);
}

TEST_CASE("bytes, values, fields and patterns count as work") {
  World world;
  world.put(0, labelled("c", 1000));
  const std::uint64_t first = work_of_scan(world);
  CHECK(first > 1000 * (work::kBound + work::kParsed));
  const std::uint64_t still = work_of_scan(world);
  CHECK(still >= work::kFile + 1000 * work::kValue + work::of_bytes(world.files[0].bytes.size() / 2));
  CHECK(still < first / 50);
  CHECK(still <= world.fold.usual_work(0));
  world.put(0, labelled("c", 1000, 6));
  const std::uint64_t changed = work_of_scan(world);
  CHECK(changed > still + 1000 * work::kValue);
  CHECK(changed <= world.fold.usual_work(0));
  SUBCASE("a file of another shape is new work, one of the same is not") {
    world.put(1, labelled("c", 1000));
    CHECK(work_of_scan(world) < first / 5);
    world.put(2, labelled("d", 1000));
    CHECK(work_of_scan(world) > first * 9 / 10);
  }
  SUBCASE("a value that does not settle") {
    for (std::uint64_t i = 0; i < 10; ++i) {
      world.files[0].scripted.push_back(labelled("c", 1000, 100 - 10 * i).padded());
    }
    CHECK(work_of_scan(world) > 3 * changed);
  }
  SUBCASE("each pattern that is tried") {
    Rules rules;
    for (int i = 0; i < 20; ++i) REQUIRE(rules.ignore("x" + std::to_string(i)).has_value());
    World other(std::move(rules));
    other.put(0, labelled("c", 1000));
    CHECK(work_of_scan(other) > first + 1000 * 20 * work::kMatched);
  }
  SUBCASE("what is left for later costs next to nothing") {
    world.kept = {0};
    CHECK(work_of_scan(world) == 0);
  }
}

TEST_CASE("buffers that one large file needed are given back when it is gone") {
  FileReading reading;
  reading.reserve(4 * kSmallBuffer);
  reading.values.resize(kSmallBuffer);
  reading.end_scan();
  CHECK(reading.bytes.size() >= 4 * kSmallBuffer);  // it may come again
  CHECK(reading.values.capacity() == 0);
  reading.reserve(100);
  reading.end_scan();
  CHECK(reading.bytes.capacity() == 0);
  reading.reserve(kSmallBuffer / 2);
  reading.end_scan();
  reading.end_scan();
  CHECK(reading.bytes.size() >= kSmallBuffer / 2);
}
