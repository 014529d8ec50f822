// What a fold believes of values that change while it reads them, and of numbers that are none.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "collect/fold.h"
#include "collect/fold_world.h"

using namespace mmstats;
using namespace folded;

TEST_CASE("a counter has begun again only if three readings never fall") {
  struct Row {
    const char* name;
    std::vector<double> readings;
    double total;  // of a counter that was 5
  };
  const Row rows[] = {
      {"it falls from the first reading to the second", {4, 2, 3, 8, 9}, 8},
      {"it falls from the second reading to the third", {2, 4, 3, 8, 9}, 8},
      {"it is above its last value in the third", {2, 4, 1000006, 7, 8}, 7},
      {"it stays below, and grows", {2, 3, 4}, 5 + 4},
      {"it stays where it is, below", {4, 4, 4}, 5 + 4},
  };
  for (const bool fraction : {false, true}) {
    for (const Row& row : rows) {
      CAPTURE(row.name);
      CAPTURE(fraction);
      World world(
          with({.pattern = "count", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
      const auto at = [&](double value) {
        auto made = MadeFile().owner(10, 100);
        if (fraction) return made.buffered("count", "d", value).padded();
        return made.buffered("count", "Q", static_cast<std::uint64_t>(value)).padded();
      };
      world.files[0].bytes = at(5);
      world.scan();
      for (const double value : row.readings) world.files[0].scripted.push_back(at(value));
      world.scan();
      REQUIRE(world.find("count") != nullptr);
      CHECK(world.find("count")->value == row.total);
      CHECK(world.fold.stats().resets == (row.total > 8 ? 1 : 0));
      CHECK(world.fold.stats().unstable == 0);
    }
  }
}

TEST_CASE("the second reading has all of the last field, whichever buffer is published") {
  for (const std::uint8_t write_buffer : {std::uint8_t{0}, std::uint8_t{1}}) {
    CAPTURE(write_buffer);
    World world;
    const auto at = [&](double value) {
      // Both buffers are the last bytes of the file's list of fields.
      auto bytes = MadeFile().owner(10, 100).buffered("latency", "d", value).bytes();
      const std::size_t end = bytes.size();
      bytes[end - 17] = std::byte{write_buffer};
      if (write_buffer == 1) std::swap_ranges(bytes.end() - 16, bytes.end() - 8, bytes.end() - 8);
      bytes.resize(end + 2);
      return bytes;
    };
    world.files[0].bytes = at(0.5);
    world.scan();
    world.scan();
    CHECK(world.gauge("latency") == 0.5);
    // What the first reading has is a mixture: no later one agrees with it.
    world.files[0].scripted = {at(1.0), at(2.0), at(2.0)};
    world.scan();
    CHECK(world.gauge("latency") == 2.0);
    CHECK(world.files[0].scripted.empty());
  }
}

// On machines that reorder, one reading may have the size of a label that was added last of all, and not yet
// what was stored before it.
TEST_CASE("what a file is made of is believed when two readings have it") {
  constexpr auto kGauge = "jobs.waiting.in.the.second.queue\tgauge\n";
  constexpr std::string_view kLabel = "jobs.waiting.in.the.second.queue";
  const auto made = [&](std::string_view lines) {
    return MadeFile().text("sys.metadata", lines, 100).owner(10, 100);
  };
  const auto with_field = [&](std::string_view lines) {
    return made(lines).buffered(kLabel, "Q", std::uint64_t{5}).padded();
  };
  const auto whole = with_field(kGauge);
  const auto label_at = static_cast<std::ptrdiff_t>(made({}).bytes().size()) + 2;
  auto early = whole;
  SUBCASE("a part of the label") { std::fill_n(early.begin() + label_at + 8, 8, std::byte{0}); }
  SUBCASE("the type") {
    std::fill_n(early.begin() + label_at + static_cast<std::ptrdiff_t>(kLabel.size()), 3, std::byte{0});
  }
  SUBCASE("metadata") { early = with_field({}); }
  SUBCASE("an end of metadata") { early = with_field("jobs.waiting.in.the.second.queue\tgau"); }
  SUBCASE("a write buffer byte") {
    early[static_cast<std::size_t>(label_at) + kLabel.size() + 3] = std::byte{0xFF};
  }
  for (const bool known : {false, true}) {
    CAPTURE(known);
    World world;
    if (known) {
      world.put(0, made({}));
      CHECK(world.scan().empty());
    }
    // What was known is found to be other first.
    if (known) world.files[0].scripted.push_back(early);
    world.files[0].scripted.push_back(early);
    world.files[0].scripted.push_back(whole);
    CHECK(world.scan().empty());
    CHECK(world.files[0].scripted.empty());
    CHECK(world.gauge(kLabel) == 5);
    const Series* const series = world.find(kLabel);
    CHECK((series != nullptr && series->kind == Kind::kGauge));
    CHECK(world.fold.series().size() == 1);
  }
}

TEST_CASE("a file that becomes another one with each reading has another chance at the next scan") {
  World world;
  const auto at = [](int fields) {
    auto made = MadeFile().owner(10, 100);
    for (int i = 0; i < fields; ++i) made.buffered("count" + std::to_string(i), "Q", std::uint64_t{5});
    return made.padded();
  };
  for (int i = 1; i < 20; ++i) world.files[0].scripted.push_back(at(i));
  CHECK(world.scan().empty());
  CHECK(world.fold.series().empty());
  CHECK(!world.files[0].scripted.empty());
  world.files[0].scripted = {at(1)};
  CHECK(world.scan().empty());
  CHECK(world.total("count0") == 5);
  CHECK(world.fold.series().size() == 1);
}

TEST_CASE("what a thread left is none of its gauges, though the first reading still has the thread") {
  const auto at = [](std::int64_t tid, double waiting) {
    return MadeFile()
        .owner(10, 100)
        .unbuffered("sys.tid", "q", tid)
        .text("sys.metadata", "sys.writer\tproperty\t\tmaps the file while it lives\n", 100)
        .buffered("waiting", "d", waiting)
        .padded();
  };
  World world;
  world.files[0].bytes = at(77, 3);
  world.scan();
  world.scan();
  CHECK(world.gauge("waiting") == 3);
  // It left its number first, and then its gauge.
  world.files[0].scripted = {at(77, 0), at(0, 0)};
  world.scan();
  CHECK(!world.gauge("waiting"));
}

TEST_CASE("a fraction counter that is infinite or no number leaves its total as good as it was") {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), std::nan("")}) {
    CAPTURE(bad);
    World world(
        with({.pattern = "seconds", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
    const auto put = [&](double seconds) {
      world.put(0, MadeFile().owner(10, 100).buffered("seconds", "d", seconds));
      world.put(1, MadeFile().owner(11, 100).buffered("seconds", "d", 1.0));
      world.scan();
      REQUIRE(world.find("seconds") != nullptr);
      return world.find("seconds")->value;
    };
    CHECK(put(2.0) == 3.0);
    CHECK(put(bad) == 3.0);
    CHECK(put(bad) == 3.0);
    const double after = put(7.0);
    CHECK(std::isfinite(after));
    CHECK(after >= 3.0);
    CHECK(put(8.0) == after + 1.0);
  }
}

TEST_CASE("a fraction counter that is infinite at first counts what follows") {
  World world(
      with({.pattern = "seconds", .kind = Kind::kCounter, .aggregate = {}, .name = {}, .sink_type = {}}));
  world.put(0, MadeFile().owner(10, 100).buffered("seconds", "d", std::numeric_limits<double>::infinity()));
  world.scan();
  world.put(0, MadeFile().owner(10, 100).buffered("seconds", "d", 7.0));
  world.scan();
  CHECK(world.find("seconds")->value == 7.0);
}

TEST_CASE("bytes right behind damage are looked at in every scan, those far behind are not") {
  World world;
  const auto good = MadeFile().owner(10, 100).buffered("hits", "Q", std::uint64_t{3});
  const std::size_t end = good.bytes().size();
  const std::string head("\x04\x00late\x01\x00", 8);
  world.put(0, MadeFile(good).raw(head + "Z"));
  CHECK(world.scan().size() == 1);
  world.files[0].readings = 0;
  CHECK(world.scan().size() == 1);
  CHECK(world.files[0].readings == 1);

  SUBCASE("the field is finished") {
    world.put(0, MadeFile(good).buffered("late", "Q", std::uint64_t{4}));
    CHECK(world.scan().empty());
    CHECK(world.total("late") == 4);
  }
  SUBCASE("a byte within the window changes: the file is parsed again") {
    world.files[0].bytes[end + 40] = std::byte{1};
    world.scan();
    CHECK(world.files[0].readings > 2);
  }
  SUBCASE("a byte far behind changes nothing") {
    world.files[0].bytes[end + 200] = std::byte{1};
    world.scan();
    CHECK(world.files[0].readings == 2);
  }
  CHECK(world.total("hits") == 3);
}

TEST_CASE("a counter of fractions is scaled, too") {
  World world(with({.pattern = "seconds",
                    .kind = Kind::kCounter,
                    .aggregate = {},
                    .name = {},
                    .sink_type = {},
                    .scale = 1000}));
  for (const double seconds : {0.25, 0.75}) {
    world.put(0, MadeFile().owner(10, 100).buffered("seconds", "d", seconds));
    world.scan();
  }
  CHECK(world.find("seconds")->value == 750);
}

TEST_CASE(
    "who answers for owners may remember something for each life, and is told whether it stands still") {
  std::vector<bool> remembered;
  std::vector<bool> stood_still;
  Fold fold({}, {}, [&](const Fold::OwnerQuestion& question) {
    remembered.push_back(std::exchange(question.memory.was_alive, true));
    stood_still.push_back(question.stands_still);
    return OwnerState::kAlive;
  });
  MemoryFile file;
  for (const auto& made : {worker(10, 100, 5), worker(10, 100, 5), worker(10, 100, 6), worker(10, 101, 6)}) {
    file.bytes = made.padded();
    fold.begin({});
    fold.read(0, "file", file);
    fold.finish();
  }
  CHECK(remembered == std::vector<bool>{false, true, true, false});
  CHECK(stood_still == std::vector<bool>{false, true, false, false});
}
