// What a life is, and that nothing in it counts twice: whatever becomes of its file, its shape and its owner.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "fold_world.h"

using namespace folded;
using namespace std::chrono_literals;

namespace {

MadeFile many_counters(int count, std::uint64_t value) {
  auto made = MadeFile().owner(10, 100);
  for (int i = 0; i < count; ++i) {
    std::string label = std::to_string(i) + ".requests.of.a.long.enough.name";
    label.resize(32, 'x');
    made.buffered(label, "Q", value);
  }
  return made;
}

std::uint64_t sum(const World& world) {
  std::uint64_t all = 0;
  for (const Series& one : world.fold.series()) all += one.kind == Kind::kCounter ? one.total : 0;
  return all;
}

// A file of one counter, by the thread `tid` of a process.
MadeFile thread_file(std::uint32_t pid, std::int64_t tid, double created, std::uint64_t hits) {
  return MadeFile().buffered("hits", "Q", hits).owner(pid, created).unbuffered("sys.tid", "q", tid);
}

Rules kept_apart() {
  Rules rules;
  rules.aggregate(Aggregate::kNone);
  return rules;
}

template <class T>
MadeFile one_value(std::uint32_t pid, std::string_view label, std::string_view type, T value) {
  return MadeFile().owner(pid, 100).buffered(label, type, value);
}

}  // namespace

TEST_CASE("a file that grows, or is described otherwise, or is damaged for a while counts nothing again") {
  World world;
  world.put(0, many_counters(4000, 100));
  world.scan();
  REQUIRE(sum(world) == 400'000);
  for (int added = 1; added <= 3; ++added) {
    auto grown = many_counters(4000, 100);
    for (int i = 0; i < added; ++i) grown.buffered("more" + std::to_string(i), "d", 1.5);
    world.put(0, grown);
    world.scan();
    CHECK(sum(world) == 400'000);
  }
  world.put(0, many_counters(4000, 101).text("sys.metadata", "0.requests\tcounter\trequests", 100));
  world.scan();
  CHECK(sum(world) == 404'000);
  auto damaged = many_counters(4000, 102);
  const std::string whole(reinterpret_cast<const char*>(damaged.bytes().data()), damaged.bytes().size());
  const auto last = whole.rfind("3000.requests");
  world.files[0].bytes = damaged.padded();
  world.files[0].bytes[last - 1] = std::byte{0xFF};  // the label's size
  CHECK(world.scan().size() == 1);
  CHECK(sum(world) == 404'000 + 3000);
  world.put(0, many_counters(4000, 102));
  CHECK(world.scan().empty());
  CHECK(sum(world) == 408'000);
}

TEST_CASE("a life goes on in another file of the same pid and start, if the inode or the name is the same") {
  struct Row {
    const char* what;
    std::uint32_t pid;
    double created;
    const char* name;
    ino_t inode;
    std::uint64_t want;  // of 100 and then 101
  };
  for (const Row& row : {
           Row{"published by rename", 10, 100, "a", 2, 101},
           Row{"moved", 10, 100, "b", 1, 101},
           Row{"another start under the same name", 10, 200, "a", 2, 201},
           Row{"another process under the same name", 11, 100, "a", 2, 201},
           Row{"another file of the same process", 10, 100, "b", 2, 201},
           Row{"a recycled inode", 11, 200, "b", 1, 201},
       }) {
    CAPTURE(row.what);
    for (const int scans_away : {0, 1, 5}) {
      CAPTURE(scans_away);
      World world;
      world.put(0, worker(10, 100, 100));
      world.names[0] = "a";
      world.files[0].inode = {1, 1};
      world.scan();
      world.gone = {0};
      for (int i = 0; i < scans_away; ++i) world.scan();
      world.put(1, worker(row.pid, row.created, 101));
      world.names[1] = row.name;
      world.files[1].inode = {1, row.inode};
      world.scan();
      CHECK(world.total("hits") == row.want);
      CHECK(world.fold.stats().lives == (row.want == 101 ? 1 : 2));
    }
  }
}

TEST_CASE("a file published by rename again and again is one life, whatever shape it has") {
  World world;
  for (FileKey key = 0; key < 20; ++key) {
    auto made = worker(10, 100, 100 + key);
    if (key % 3 == 1) made.buffered("extra", "Q", std::uint64_t{7});
    world.put(key, made);
    world.names[key] = "a";
    world.files[key].inode = {1, key + 1};
    world.scan();
    world.gone = {key};
  }
  CHECK(world.total("hits") == 119);
  CHECK(world.total("extra") == 7);
  CHECK(world.fold.stats().lives == 1);
}

TEST_CASE("files that say nothing of their writer are of one life under one name") {
  World world;
  for (FileKey key = 0; key < 4; ++key) {
    world.put(key, MadeFile().buffered("hits", "Q", std::uint64_t{100} + key));
    world.names[key] = "a";
    world.scan();
    world.gone = {key};
  }
  CHECK(world.total("hits") == 103);
}

TEST_CASE("a life that was away for more than an hour is another one") {
  World world;
  world.put(0, worker(10, 100, 100));
  world.scan();
  world.gone = {0};
  world.scan();
  world.now += 1h;
  world.put(0, worker(10, 100, 101));
  world.scan();
  CHECK(world.total("hits") == 201);
}

TEST_CASE("lives that are away are bounded, and the oldest are forgotten first") {
  World world;
  constexpr FileKey kLives = 10'100;
  for (FileKey key = 0; key < kLives; ++key) world.put(key, worker(10 + key, 100, 1));
  world.scan();
  for (FileKey key = 0; key < kLives; ++key) world.gone.push_back(key);
  world.scan();
  world.put(0, worker(10, 100, 1));
  world.put(kLives - 1, worker(10 + kLives - 1, 100, 1));
  world.scan();
  CHECK(world.total("hits") == kLives + 1);
}

TEST_CASE("a counter whose type changes goes on") {
  World world(with({.pattern = "n", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
  const auto total = [&] {
    world.scan();
    const Series* const series = world.find("n");
    REQUIRE(series != nullptr);
    return series->value;
  };
  world.put(0, one_value(10, "n", "Q", std::uint64_t{100}));
  CHECK(total() == 100);
  world.put(0, one_value(10, "n", "d", 101.5));
  CHECK(total() == 101.5);
  world.put(0, one_value(10, "n", ">Q", __builtin_bswap64(102)));
  CHECK(total() == 102.5);  // from 101, as whole numbers count
  world.put(0, one_value(10, "n", "I", std::uint32_t{102}));
  CHECK(total() == 102.5);
  world.put(0, one_value(10, "n", "I", std::uint32_t{105}));
  CHECK(total() == 105.5);
  world.put(0, one_value(10, "n", "q", std::int64_t{4}));  // it began again
  CHECK(total() == 109.5);
}

TEST_CASE("a worker keeps its number when its file grows or is published again") {
  World world(kept_apart());
  for (std::uint32_t pid = 10; pid < 13; ++pid) {
    world.put(pid, thread_file(pid, pid, 100, pid));
    world.names[pid] = std::to_string(pid);
  }
  world.scan();
  world.gone = {10};  // number 0 is free
  world.put(11, thread_file(11, 11, 100, 111).buffered("more", "Q", std::uint64_t{1}));
  world.scan();
  CHECK(world.total("hits", 0) == 10);
  CHECK(world.total("hits", 1) == 111);
  CHECK(world.total("more", 1) == 1);
  CHECK(world.find("more", 0) == nullptr);
  // Both are replaced in one scan, by files that come in another order.
  world.gone = {11, 12};
  world.put(21, thread_file(12, 12, 100, 112));
  world.put(22, thread_file(11, 11, 100, 211).buffered("more", "Q", std::uint64_t{1}));
  world.names[21] = "12";
  world.names[22] = "11";
  world.scan();
  CHECK(world.total("hits", 0) == 10);
  CHECK(world.total("hits", 1) == 211);
  CHECK(world.total("hits", 2) == 112);
  // A process that restarts under the same name takes the lowest free number, its predecessor's or a lower
  // one.
  world.gone = {21};
  world.put(31, thread_file(99, 99, 300, 5));
  world.names[31] = "12";
  world.scan();
  CHECK(world.total("hits", 0) == 15);
  CHECK(world.find("hits", 3) == nullptr);
}

TEST_CASE("processes of several containers that have one pid have a number each, and their threads do") {
  World world(kept_apart());
  world.put(0, thread_file(1, 1, 100, 5));
  world.put(1, thread_file(1, 8, 100, 6));
  world.put(2, thread_file(1, 1, 150, 50));
  world.scan();
  CHECK(world.total("hits", 0) == 11);
  CHECK(world.total("hits", 1) == 50);
  // Two Models of one thread are of one process.
  world.put(3, MadeFile()
                   .buffered("other", "Q", std::uint64_t{7})
                   .owner(1, 100)
                   .unbuffered("sys.tid", "q", std::int64_t{1}));
  world.scan();
  CHECK(world.total("other", 0) == 7);
}

TEST_CASE("gauges of who died since the last scan do not count, though his file changed") {
  World world;
  for (std::uint32_t pid = 10; pid < 13; ++pid) world.put(pid, worker(pid, 100, 1, 0.5, 1));
  world.scan();
  CHECK(world.gauge("depth") == 3);
  world.put(11, worker(11, 100, 2, 0.5, 1));
  world.owners[11] = OwnerState::kDead;
  world.scan();
  CHECK(world.gauge("depth") == 2);
  CHECK(world.total("hits") == 4);
  // And one that is dead when it is seen first.
  world.put(13, worker(13, 100, 1, 0.5, 1));
  world.owners[13] = OwnerState::kDead;
  world.scan();
  CHECK(world.gauge("depth") == 2);
  CHECK(world.total("hits") == 5);
}

TEST_CASE("a counter that is no number is no sign of life") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    CAPTURE(bad);
    World world(with({.pattern = "n", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
    world.owners[10] = OwnerState::kDead;
    world.put(0, one_value(10, "n", "d", bad).buffered("busy", "i", std::int32_t{4}));
    for (int scans = 0; scans < 5; ++scans) {
      world.files[0].readings = 0;
      world.scan();
      CHECK_FALSE(world.gauge("busy").has_value());
      if (scans > 1) CHECK(world.files[0].readings == 1);
    }
    CHECK(world.fold.dead_since(0).has_value());
  }
}

TEST_CASE("who writes though he was found dead is believed for a while, longer each time, and not for ever") {
  World world;
  world.owners[10] = OwnerState::kDead;
  world.put(0, worker(10, 100, 1, 0.5, 4));
  world.scan();
  CHECK_FALSE(world.gauge("depth").has_value());
  std::uint64_t hits = 1;
  for (const auto believed : {30s, 60s, 120s}) {
    world.put(0, worker(10, 100, ++hits, 0.5, 4));
    world.scan();
    world.put(0, worker(10, 100, ++hits, 0.5, 4));
    world.scan();
    CHECK(world.gauge("depth") == 4);
    world.now += believed - 2s;
    world.scan();
    CHECK(world.gauge("depth") == 4);
    world.scan();
    CHECK_FALSE(world.gauge("depth").has_value());
  }
  CHECK(world.total("hits") == hits);
  world.scan();
  CHECK(world.fold.dead_since(0).has_value());
}

TEST_CASE("the default way to put values together does not depend on which file is seen first") {
  for (const bool fraction_first : {false, true}) {
    CAPTURE(fraction_first);
    World world;
    for (FileKey key = 0; key < 3; ++key) {
      const bool fraction = fraction_first ? key == 0 : key == 2;
      if (fraction) {
        world.put(key, one_value(10 + key, "load", "d", 2.0));
      } else {
        world.put(key, one_value(10 + key, "load", "I", std::uint32_t{10}));
      }
    }
    world.scan();
    CHECK(world.gauge("load") == doctest::Approx(22.0 / 3));
    const auto notices = world.fold.take_notices();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].find("\"load\"") != std::string::npos);
    world.put(3, one_value(20, "load", "h", std::int16_t{10}));
    world.scan();
    CHECK(world.gauge("load") == 8);
    CHECK(world.fold.take_notices().empty());
  }
}

TEST_CASE("the first rule decides how values are put together, whichever file is seen first") {
  for (const bool second_first : {false, true}) {
    CAPTURE(second_first);
    Rules rules;
    REQUIRE(
        rules.add({.pattern = "a", .kind = {}, .aggregate = Aggregate::kMax, .name = "x", .sink_type = {}}));
    REQUIRE(
        rules.add({.pattern = "b", .kind = {}, .aggregate = Aggregate::kMin, .name = "x", .sink_type = {}}));
    World world(std::move(rules));
    world.put(0, one_value(10, second_first ? "b" : "a", "d", 2.0));
    world.put(1, one_value(11, second_first ? "a" : "b", "d", 3.0));
    world.scan();
    CHECK(world.gauge("x") == 3);
  }
}

TEST_CASE("labels that meet because a prefix is stripped are told") {
  Rules rules;
  rules.strip_prefix("shop");
  World world(std::move(rules));
  world.put(0, one_value(10, "shop.x", "Q", std::uint64_t{1}));
  world.put(1, one_value(11, "shop.y", "Q", std::uint64_t{1}));
  world.scan();
  CHECK(world.fold.take_notices().empty());
  world.put(2, one_value(12, "x", "Q", std::uint64_t{2}));
  world.scan();
  const auto notices = world.fold.take_notices();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].find("\"x\"") != std::string::npos);
  CHECK(world.total("x") == 3);
}

TEST_CASE("what is no number is no value of a series, and an infinite sum is none") {
  const double inf = std::numeric_limits<double>::infinity();
  struct Row {
    const char* aggregate;
    std::optional<double> of_both;  // of inf, -inf and 1
    std::optional<double> of_one;   // of inf and 1
  };
  for (const Row& row : {Row{"sum", {}, {}}, Row{"avg", {}, inf}, Row{"min", -inf, 1.0}, Row{"max", inf, inf},
                         Row{"nonzero-avg", {}, inf}, Row{"nonzero-min", -inf, 1.0}}) {
    CAPTURE(row.aggregate);
    Rules rules;
    rules.aggregate(*parse_aggregate(row.aggregate));
    World world(std::move(rules));
    world.put(0, one_value(10, "both", "d", inf).buffered("one", "d", inf));
    world.put(1, one_value(11, "both", "d", -inf).buffered("one", "d", 1.0));
    world.put(2, one_value(12, "both", "d", 1.0).buffered("one", "d", std::nan("")));
    world.scan();
    CHECK(world.gauge("both") == row.of_both);
    CHECK(world.gauge("one") == row.of_one);
  }
}
