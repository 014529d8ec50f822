#include "collect/fold.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>

#include "collect/fold_world.h"

using namespace mmstats;
using namespace folded;

TEST_CASE("workers are put together by kind") {
  World world;
  world.put(0, worker(10, 100, 5, 0.25, 3).unbuffered("busy", "?", true));
  world.put(1, worker(11, 100, 7, 0.75, 4).unbuffered("busy", "?", false));
  world.put(2, worker(12, 100, 0, 0.50, 0).unbuffered("busy", "?", std::uint8_t{7}));
  CHECK(world.scan().empty());
  CHECK(world.total("hits") == 12);
  CHECK(world.gauge("latency") == doctest::Approx(0.5));
  CHECK(world.gauge("depth") == 7);
  CHECK(world.gauge("busy") == 2);
  CHECK(world.find("sys.pid") == nullptr);
  CHECK(world.fold.stats().files == 3);
}

TEST_CASE("a counter's total survives the ends and beginnings of lives") {
  World world;
  world.put(0, worker(10, 100, 5));
  world.scan();
  CHECK(world.total("hits") == 5);

  SUBCASE("a file that went on counting until it was gone is read to its end") {
    world.put(0, worker(10, 100, 9));
    world.gone = {0};
    world.scan();
    CHECK(world.total("hits") == 9);
    CHECK_FALSE(world.gauge("latency").has_value());
  }
  SUBCASE("a new file under the freed key starts from zero") {
    world.gone = {0};
    world.scan();
    world.put(0, worker(10, 200, 2));
    world.scan();
    CHECK(world.total("hits") == 7);
  }
  SUBCASE("a recycled pid in the same file is a new life") {
    world.put(0, worker(10, 200, 6));
    world.scan();
    CHECK(world.total("hits") == 11);
    CHECK(world.fold.stats().truncated_lives == 1);
  }
  SUBCASE("another pid in the same file is a new life") {
    world.put(0, worker(11, 100, 6));
    world.scan();
    CHECK(world.total("hits") == 11);
  }
  SUBCASE("a value that falls within a life is a reset") {
    world.put(0, worker(10, 100, 3));
    world.scan();
    CHECK(world.total("hits") == 8);
    CHECK(world.fold.stats().resets == 1);
  }
  SUBCASE("a file that is cut, and whole again, is the same life") {
    world.files[0].bytes = MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes();
    CHECK(world.scan().size() == 1);
    world.put(0, worker(10, 100, 6));
    CHECK(world.scan().empty());
    CHECK(world.total("hits") == 6);
  }
  SUBCASE("a file that is emptied, and whole again, is the same life") {
    world.files[0].bytes.clear();
    const auto errors = world.scan();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].kind == ErrorKind::kUnfinished);
    CHECK_FALSE(world.gauge("latency").has_value());
    world.put(0, worker(10, 100, 6));
    world.scan();
    CHECK(world.total("hits") == 6);
  }
  SUBCASE("a file that grows by a field is the same life") {
    world.put(0, worker(10, 100, 8).buffered("misses", "Q", std::uint64_t{4}));
    world.scan();
    CHECK(world.total("hits") == 8);
    CHECK(world.total("misses") == 4);
  }
  SUBCASE("a file that loses a counter and gets it back does not count it twice") {
    world.put(0, MadeFile().owner(10, 100));
    world.scan();
    world.put(0, worker(10, 100, 6));
    world.scan();
    CHECK(world.total("hits") == 6);
  }
  SUBCASE("a dead owner's file adds nothing more, and its gauges are out") {
    world.owners[10] = OwnerState::kDead;
    world.scan();
    CHECK(world.total("hits") == 5);
    CHECK_FALSE(world.gauge("latency").has_value());
    CHECK_FALSE(world.fold.dead_since(0).has_value());
    world.scan();
    CHECK(world.fold.dead_since(0).has_value());
    CHECK(world.fold.stats().dead == 1);
  }
}

TEST_CASE("of a file that no thread has, only counters count, if its writer keeps it for the next thread") {
  const auto file_of_thread = [](std::int64_t tid, const char* says) {
    return worker(10, 100, 5)
        .unbuffered("sys.tid", "q", tid)
        .text("sys.metadata", std::string("depth\tgauge\n") + says, 100);
  };
  constexpr auto kMaps = "sys.writer\tproperty\t\tmaps the file while it lives\n";
  World world;
  SUBCASE("as ours do") {
    world.put(0, file_of_thread(77, kMaps));
    world.put(1, file_of_thread(0, kMaps));
    world.put(2, file_of_thread(0, kMaps));
    world.scan();
    CHECK(world.total("hits") == 15);
    CHECK(world.gauge("depth") == 1);
    CHECK(world.gauge("latency") == 0.5);
    world.put(0, file_of_thread(0, kMaps));
    world.scan();
    CHECK(world.total("hits") == 15);
    CHECK_FALSE(world.gauge("depth").has_value());
    CHECK_FALSE(world.gauge("latency").has_value());
    world.put(1, file_of_thread(78, kMaps));
    world.scan();
    CHECK(world.gauge("depth") == 1);
    CHECK(world.total("hits") == 15);
  }
  SUBCASE("but not of one that has no number for its thread, or names none") {
    world.put(0, file_of_thread(0, ""));
    world.put(1, worker(10, 100, 5).text("sys.metadata", kMaps, 100));
    world.put(2, file_of_thread(77, ""));
    world.scan();
    CHECK(world.gauge("depth") == 3);
  }
}

TEST_CASE("what a worker wrote just before it died is counted, and does not bring it back to life") {
  World world;
  world.put(0, worker(10, 100, 5));
  world.scan();
  world.owners[10] = OwnerState::kDead;
  // The first reading finds the file unchanged; then the owner adds one and dies.
  world.files[0].scripted = {worker(10, 100, 5).padded(), worker(10, 100, 6).padded()};
  world.scan();
  CHECK(world.total("hits") == 6);
  CHECK(world.fold.stats().dead == 1);
  world.scan();
  CHECK(world.fold.dead_since(0).has_value());
}

TEST_CASE("an owner that writes after it was found dead lives in another pid namespace") {
  World world;
  world.put(0, worker(10, 100, 5));
  world.owners[10] = OwnerState::kDead;
  world.scan();
  CHECK_FALSE(world.gauge("latency").has_value());
  world.put(0, worker(10, 100, 6));
  world.scan();
  CHECK(world.gauge("latency").has_value());
  world.scan();
  CHECK(world.gauge("latency").has_value());
  CHECK_FALSE(world.fold.dead_since(0).has_value());
  CHECK(world.total("hits") == 6);
}

TEST_CASE("a half-built file that did not say yet who wrote it is no other life") {
  World world;
  world.files[0].bytes = MadeFile().buffered("hits", "Q", std::uint64_t{3}).bytes();
  world.scan();
  world.put(0, worker(10, 100, 4));
  world.scan();
  CHECK(world.total("hits") == 4);
  CHECK(world.fold.stats().lives == 1);
}

TEST_CASE("gauges are put together as configured") {
  struct Row {
    const char* aggregate;
    double want;
  };
  const Row rows[] = {{"sum", 6.0}, {"avg", 1.5},         {"min", 0.0},
                      {"max", 4.0}, {"nonzero-avg", 3.0}, {"nonzero-min", 2.0}};
  for (const Row& row : rows) {
    CAPTURE(row.aggregate);
    Rules rules;
    rules.aggregate(*parse_aggregate(row.aggregate));
    World world(std::move(rules));
    world.put(0, worker(10, 100, 1, 0.0));
    world.put(1, worker(11, 100, 1, 2.0));
    world.put(2, worker(12, 100, 1, 4.0));
    world.put(3, worker(13, 100, 1, 0.0));
    world.put(4, worker(14, 100, 1, std::nan("")));
    world.scan();
    CHECK(world.gauge("latency") == row.want);
    CHECK(world.total("hits") == 5);
  }
}

TEST_CASE("series kept apart are named by a slot that the next worker takes over") {
  Rules rules;
  rules.aggregate(Aggregate::kNone);
  World world(std::move(rules));
  world.put(0, worker(10, 100, 5, 0.25));
  world.put(1, worker(11, 100, 7, 0.75));
  world.put(2, worker(10, 100, 1, 0.75, 2));  // a second thread of the first process
  world.scan();
  CHECK(world.total("hits", 0) == 6);
  CHECK(world.total("hits", 1) == 7);
  CHECK(world.gauge("latency", 0) == 0.5);
  CHECK(world.gauge("depth", 0) == 3);

  world.owners[10] = OwnerState::kDead;
  world.scan();
  CHECK_FALSE(world.gauge("latency", 0).has_value());
  world.put(3, worker(12, 200, 10, 0.125));
  world.scan();
  CHECK(world.gauge("latency", 0) == 0.125);
  CHECK(world.total("hits", 0) == 16);
  CHECK(world.find("hits", 2) == nullptr);
}

TEST_CASE("rules scale values, counters too") {
  World world(with(
      {.pattern = "hits|latency", .kind = {}, .aggregate = {}, .name = {}, .sink_type = {}, .scale = 1000}));
  world.put(0, worker(10, 100, 5, 0.25));
  world.scan();
  CHECK(world.gauge("latency") == 250);
  const Series* hits = world.find("hits");
  REQUIRE(hits != nullptr);
  CHECK_FALSE(hits->integral);
  CHECK(hits->value == 5000);
}

TEST_CASE("counters of every type count, and negative ones do not yet") {
  World world(with({.pattern = "c.*", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
  const auto made = [](int step) {
    return MadeFile()
        .owner(10, 100)
        .buffered("c8", "B", static_cast<std::uint8_t>(step))
        .unbuffered("c16", "H", static_cast<std::uint16_t>(step * 2))
        .buffered("c32", "i", static_cast<std::int32_t>(step - 10))
        .buffered("c64be", ">Q", __builtin_bswap64(static_cast<std::uint64_t>(step)))
        .buffered("cd", "d", step * 0.5);
  };
  world.put(0, made(4));
  world.scan();
  world.put(0, made(14));
  world.scan();
  CHECK(world.total("c8") == 14);
  CHECK(world.total("c16") == 28);
  CHECK(world.total("c32") == 4);
  CHECK(world.total("c64be") == 14);
  REQUIRE(world.find("cd") != nullptr);
  CHECK(world.find("cd")->value == 7.0);
}

TEST_CASE("what a file says of itself decides about kinds") {
  World world;
  world.put(
      0, MadeFile()
             .buffered("app.started", "Q", std::uint64_t{1700000000})
             .buffered("app.jobs", "i", std::int32_t{4})
             .unbuffered("app.limit", "I", std::uint32_t{64})
             .text("app.sys.metadata",
                   "app.started\ttimestamp\tseconds\tWhen it began\napp.jobs\tcounter\napp.limit\tgauge", 200)
             .owner(10, 100));
  world.put(1, MadeFile()
                   .buffered("app.started", "Q", std::uint64_t{1800000000})
                   .owner(11, 100)
                   .text("app.sys.metadata", "app.started\ttimestamp\tseconds\tWhen it began", 200));
  CHECK(world.scan().empty());
  CHECK(world.gauge("app.started") == 1800000000);
  CHECK(world.find("app.started")->unit() == "seconds");
  CHECK(world.find("app.started")->help() == "When it began");
  CHECK(world.total("app.jobs") == 4);
  CHECK(world.gauge("app.limit") == 64);
}

TEST_CASE("a repeated value is a series for each item") {
  World world;
  struct Three {
    double a, b, c;
  };
  world.put(0, MadeFile().buffered("load", "3d", Three{1, 2, 3}).owner(10, 100));
  world.scan();
  CHECK(world.gauge("load.0") == 1);
  CHECK(world.gauge("load.2") == 3);
}

TEST_CASE("padding around a number may be large") {
  struct Padded {
    std::byte before[70'000];
    std::uint64_t number;
  };
  World world;
  auto made = std::make_unique<Padded>();
  made->number = 42;
  world.put(0, MadeFile().buffered("hits", "70000xQ", *made).owner(10, 100));
  CHECK(world.scan().empty());
  CHECK(world.total("hits") == 42);
}

TEST_CASE("damage is reported with its byte, and the fields before it count") {
  World world;
  const auto good = MadeFile().buffered("hits", "Q", std::uint64_t{3});
  world.files[0].bytes = MadeFile(good).raw(std::string("\x04\x00oops\x01\x00Z\xFF", 10)).bytes();
  const auto errors = world.scan();
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].kind == ErrorKind::kDamaged);
  CHECK(errors[0].offset >= good.bytes().size());
  CHECK(errors[0].path == "file0");
  CHECK(world.total("hits") == 3);
  CHECK(world.scan().size() == 1);
  CHECK(world.fold.stats().damaged == 1);
}

TEST_CASE("limits hold, and what is beyond them is told") {
  SUBCASE("file size") {
    World world({}, {.max_file_size = 4096, .max_series = 10});
    world.put(0, worker(10, 100, 5));
    world.files[1].bytes.resize(8192, std::byte{1});
    const auto errors = world.scan();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].kind == ErrorKind::kTooLarge);
    CHECK(world.total("hits") == 5);
  }
  SUBCASE("series") {
    World world({}, {.max_file_size = 1 << 20, .max_series = 2});
    world.put(0, worker(10, 100, 5));
    world.scan();
    CHECK(world.fold.series().size() == 2);
    CHECK(world.fold.stats().series_refused == 1);
  }
}

TEST_CASE("a value that changes between two readings is read until it stands still") {
  World world;
  const auto at = [](std::uint64_t hits, double latency) { return worker(10, 100, hits, latency).padded(); };
  world.files[0].bytes = at(5, 0.5);
  world.scan();

  SUBCASE("a counter between its last value and the second reading is true") {
    world.files[0].scripted = {at(7, 0.5), at(9, 0.5)};
    world.scan();
    CHECK(world.total("hits") == 7);
    CHECK(world.fold.stats().unstable == 0);
  }
  SUBCASE("a counter above the second reading is not believed") {
    world.files[0].scripted = {at(1000007, 0.5), at(8, 0.5), at(9, 0.5)};
    world.scan();
    CHECK(world.total("hits") == 8);
  }
  SUBCASE("a counter below its last value is not believed if it is not so for long") {
    world.files[0].scripted = {at(2, 0.5), at(2, 0.5), at(8, 0.5), at(9, 0.5)};
    world.scan();
    CHECK(world.total("hits") == 8);
    CHECK(world.fold.stats().resets == 0);
  }
  SUBCASE("a gauge is true when two readings agree") {
    world.files[0].scripted = {at(5, 1.0), at(5, 2.0), at(5, 3.0), at(5, 3.0)};
    world.scan();
    CHECK(world.gauge("latency") == 3.0);
    CHECK(world.fold.stats().unstable == 0);
  }
  SUBCASE("a gauge that never stands still keeps its last good value") {
    for (int i = 1; i < 12; ++i) world.files[0].scripted.push_back(at(5, i));
    world.scan();
    CHECK(world.gauge("latency") == 0.5);
    CHECK(world.fold.stats().unstable == 1);
  }
  SUBCASE("a new life that is met in the second reading brings no fall") {
    world.files[0].scripted = {at(6, 0.5), worker(10, 200, 1).padded()};
    world.scan();
    CHECK(world.fold.stats().resets == 0);
    CHECK(world.fold.stats().lives == 2);
    CHECK(world.total("hits") == 6);
  }
}

TEST_CASE("a gauge that never stood still is not reported at all") {
  World world;
  for (int i = 1; i < 20; ++i) world.files[0].scripted.push_back(worker(10, 100, 5, i).padded());
  world.scan();
  CHECK_FALSE(world.gauge("latency").has_value());
  CHECK(world.gauge("depth") == 1);
  CHECK(world.total("hits") == 5);
}

TEST_CASE("an unchanged file costs one reading, a changed one two") {
  World world;
  world.put(0, worker(10, 100, 5));
  world.scan();
  world.files[0].readings = 0;
  world.scan();
  CHECK(world.files[0].readings == 1);
  world.put(0, worker(10, 100, 6));
  world.files[0].readings = 0;
  world.scan();
  CHECK(world.files[0].readings == 2);
}

TEST_CASE("a file that takes another shape at every scan leaves nothing behind") {
  World world;
  world.put(0, worker(10, 100, 5));
  for (int scan = 0; scan < 200; ++scan) {
    // Two megabytes of one label that changes: kept for ever, they would fill the memory.
    auto made = worker(10, 100, 5);
    for (int i = 0; i < 40; ++i) {
      made.buffered(std::string(60'000, static_cast<char>('a' + scan % 26)) + std::to_string(scan) + "." +
                        std::to_string(i),
                    "d", 1.0);
    }
    world.files[1].bytes = made.padded();
    for (const Error& error : world.scan()) CHECK(error.kind != ErrorKind::kLimit);
    if (world.fold.stats().series_refused > 0) break;
  }
  // The names of series are kept, as totals are, but within bounds; the good file goes on.
  CHECK(world.fold.stats().series_refused > 0);
  world.put(0, worker(10, 100, 6, 0.25));
  world.scan();
  CHECK(world.total("hits") == 11);
}
