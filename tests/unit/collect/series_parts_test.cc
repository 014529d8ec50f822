// What each holder of files has of a series, against what a test put into the files.
#include "collect/series_parts.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/buckets.h"
#include "collect/distributions.h"
#include "collect/fold_world.h"

using namespace mmstats;
using namespace folded;

namespace {

std::uint32_t index_of(const Fold& fold, std::string_view name, int slot = -1) {
  const auto all = fold.series();
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    if (all[i].name() == name && all[i].slot == slot) return i;
  }
  FAIL("no series ", name);
  return 0;
}

// Each file is a holder's, by its key, unless `holder_of` says otherwise.
struct Parts {
  SeriesParts parts;
  std::vector<std::string> names;

  Parts(const World& world, std::vector<std::string> of, const std::map<FileKey, std::size_t>& holder_of = {})
      : parts(world.fold, indices(world.fold, of)), names(std::move(of)) {
    for (const auto& [key, file] : world.files) {
      const auto holder = holder_of.find(key);
      parts.add(key, holder == holder_of.end() ? key : holder->second);
    }
  }
  static std::vector<std::uint32_t> indices(const Fold& fold, const std::vector<std::string>& names) {
    std::vector<std::uint32_t> all;
    for (const auto& name : names) all.push_back(index_of(fold, name));
    return all;
  }
  [[nodiscard]] SeriesParts::Part of(std::size_t holder, std::string_view name) const {
    for (std::size_t at = 0; at < names.size(); ++at) {
      if (names[at] == name) return parts.part(holder, at);
    }
    return {};
  }
  [[nodiscard]] std::uint64_t total(std::size_t holder, std::string_view name = "hits") const {
    const auto part = of(holder, name);
    CHECK(part.integral);
    CHECK(part.present == part.held);
    return part.total;
  }
  [[nodiscard]] std::optional<double> value(std::size_t holder, std::string_view name) const {
    const auto part = of(holder, name);
    return part.present ? std::optional(part.value) : std::nullopt;
  }
};

}  // namespace

TEST_CASE("a part is what the holder's files have, put together as the series is") {
  World world;
  world.put(0, worker(10, 100, 3, 0.5, 1));
  world.put(1, worker(10, 100, 4, 1.5, 5));
  world.put(2, worker(11, 100, ~std::uint64_t{0}, 9.0, 2));
  world.put(3, MadeFile().owner(12, 100).buffered("other", "Q", std::uint64_t{1}));
  world.scan();
  const Parts parts(world, {"hits", "latency", "depth"}, {{0, 0}, {1, 0}, {2, 1}, {3, 2}});
  CHECK(parts.total(0) == 7);
  CHECK(parts.total(1) == ~std::uint64_t{0});
  CHECK(parts.value(0, "latency") == 1.0);
  CHECK(parts.value(0, "depth") == 6);
  CHECK(parts.value(1, "depth") == 2);
  CHECK_FALSE(parts.of(2, "hits").held);
  CHECK_FALSE(parts.of(2, "depth").held);
  CHECK_FALSE(parts.of(77, "hits").held);
}

TEST_CASE("what has no value yet, and gauges of the dead, have none in parts; counters stay") {
  World world;
  world.put(0, worker(10, 100, 3, std::nan(""), 1));
  world.put(1, worker(11, 100, 4, std::numeric_limits<double>::infinity(), 5));
  world.owners[11] = OwnerState::kDead;
  world.scan();
  const Parts parts(world, {"hits", "latency", "depth"});
  CHECK(parts.of(0, "latency").held);
  CHECK_FALSE(parts.value(0, "latency").has_value());
  CHECK(parts.value(0, "depth") == 1);
  CHECK(parts.total(1) == 4);
  CHECK(parts.of(1, "depth").held);
  CHECK_FALSE(parts.value(1, "depth").has_value());
  const std::vector<FileKey> files{0, 1};
  const auto held = SeriesParts::who_has(world.fold, files);
  CHECK(held[index_of(world.fold, "depth")] == (kHeldByDead | kHeldByLiving));
  CHECK(SeriesParts::who_has(world.fold, std::span(files).subspan(1))[index_of(world.fold, "depth")] ==
        kHeldByDead);
}

TEST_CASE("parts follow rules: scales, other names, and series that are kept apart") {
  Rules rules;
  Rule scaled{.pattern = "hits", .aggregate = {}, .name = {}, .sink_type = {}};
  scaled.scale = 0.5;
  REQUIRE(rules.add(std::move(scaled)).has_value());
  REQUIRE(rules.add({.pattern = "depth", .aggregate = Aggregate::kNone, .name = {}, .sink_type = {}})
              .has_value());
  REQUIRE(rules.add({.pattern = "latency", .aggregate = Aggregate::kMax, .name = "late", .sink_type = {}})
              .has_value());
  World world(std::move(rules));
  world.put(0, worker(10, 100, 3, 0.5, 1));
  world.put(1, worker(11, 100, 4, 1.5, 5));
  world.scan();
  const Parts parts(world, {"hits", "late"}, {{0, 0}, {1, 0}});
  CHECK_FALSE(parts.of(0, "hits").integral);
  CHECK(parts.value(0, "hits") == 3.5);
  CHECK(parts.value(0, "late") == 1.5);
  for (const int slot : {0, 1}) {
    SeriesParts apart(world.fold, std::vector{index_of(world.fold, "depth", slot)});
    apart.add(0, 0);
    apart.add(1, 1);
    CHECK(apart.part(0, 0).held == (slot == 0));
    CHECK(apart.part(1, 0).held == (slot == 1));
    CHECK(apart.part(static_cast<std::size_t>(slot), 0).value == (slot == 0 ? 1 : 5));
  }
}

TEST_CASE("gauges of a file that no thread has count in no scan, also in those that leave it for later") {
  constexpr auto kMaps = "sys.writer\tproperty\t\tmaps the file while it lives\n";
  World world;
  world.put(0,
            worker(10, 100, 5).unbuffered("sys.tid", "q", std::int64_t{0}).text("sys.metadata", kMaps, 100));
  world.put(1, worker(11, 100, 6, 1.5, 4)
                   .unbuffered("sys.tid", "q", std::int64_t{7})
                   .text("sys.metadata", kMaps, 100));
  for (const bool kept : {false, true}) {
    CAPTURE(kept);
    if (kept) world.kept = {0, 1};
    world.scan();
    CHECK(world.gauge("depth") == 4);
    const Parts parts(world, {"hits", "depth"});
    CHECK(parts.total(0) == 5);
    CHECK_FALSE(parts.value(0, "depth").has_value());
    CHECK(parts.value(1, "depth") == 4);
  }
}

TEST_CASE("over random histories parts are what is in the files, and grow as the series does") {
  struct File {
    std::uint32_t pid;
    std::uint64_t hits;
    double latency;
    std::int32_t depth;
  };
  for (unsigned seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](unsigned most) { return static_cast<unsigned>(random() % most); };
    World world;
    std::map<FileKey, File> files;
    std::map<FileKey, File> read;  // as at the last scan
    FileKey next = 0;
    std::uint64_t total = 0;
    for (int step = 0; step < 30; ++step) {
      CAPTURE(step);
      if (files.size() < 2 || pick(4) == 0) {
        files[next] = {.pid = 10 + pick(4), .hits = pick(100), .latency = 0.5, .depth = 1};
        ++next;
      }
      world.kept.clear();
      std::uint64_t gone = 0;
      for (auto one = files.begin(); one != files.end();) {
        auto& [key, file] = *one;
        const bool dead = world.owners[file.pid] == OwnerState::kDead;
        if (world.files.contains(key) && pick(8) == 0) {
          world.gone.push_back(key);
          gone += file.hits;  // it is read to its end
          one = files.erase(one);
          continue;
        }
        if (!dead && pick(2) == 0) file.hits += pick(1000);
        if (!dead && pick(3) == 0) file.latency = pick(3) == 0 ? std::nan("") : pick(100) / 4.0;
        if (!dead && pick(3) == 0) file.depth = static_cast<std::int32_t>(pick(50)) - 10;
        world.put(key, worker(file.pid, 100 + static_cast<double>(key), file.hits, file.latency, file.depth));
        if (read.contains(key) && pick(5) == 0) {
          world.kept.insert(key);
        } else {
          read[key] = file;
        }
        ++one;
      }
      // A process that ended, and does not come back, with all that its files hold.
      if (pick(10) == 0 && world.kept.empty()) world.owners[10 + pick(4)] = OwnerState::kDead;
      world.scan();
      std::map<FileKey, std::size_t> holder_of;
      for (const auto& [key, file] : files) holder_of[key] = file.pid - 10;
      const Parts parts(world, {"hits", "latency", "depth"}, holder_of);
      std::uint64_t sum = 0;
      for (std::uint32_t holder = 0; holder < 4; ++holder) {
        CAPTURE(holder);
        std::uint64_t hits = 0;
        Accumulator latency;
        Accumulator depth;
        const bool dead = world.owners[10 + holder] == OwnerState::kDead;
        for (const auto& [key, file] : files) {
          if (file.pid != 10 + holder) continue;
          hits += read[key].hits;
          if (dead) continue;
          accumulate(latency, Aggregate::kAvg, read[key].latency);
          accumulate(depth, Aggregate::kSum, read[key].depth);
        }
        const auto part = parts.of(holder, "hits");
        CHECK(part.total == hits);
        sum += part.total;
        const auto avg = parts.value(holder, "latency");
        CHECK(avg.has_value() == (latency.values > 0));
        if (avg) CHECK(*avg == doctest::Approx(result(latency, Aggregate::kAvg)));
        CHECK(parts.value(holder, "depth") == (depth.values > 0 ? std::optional(depth.value) : std::nullopt));
      }
      // What it holds no more went with the files.
      total += gone;
      CHECK(world.total("hits") == sum + total);
    }
  }
}

TEST_CASE("of a distribution each holder has the buckets of his files") {
  constexpr std::string_view kTold =
      "web.latency\thistogram\tseconds\tTime to answer\tlog-linear 32 -30 50\n";
  const auto file = [&](std::uint32_t pid, std::uint64_t many) {
    std::array<std::uint64_t, 32> counts{};
    counts[3] = many;
    counts[31] = 1;
    return MadeFile()
        .owner(pid, 100)
        .text("sys.metadata", kTold, 200)
        .unbuffered("web.latency.buckets.-1", "32Q", counts);
  };
  World world;
  world.put(0, file(10, 5));
  world.put(1, file(11, 7));
  world.put(2, worker(12, 100, 1));
  world.scan();
  REQUIRE(world.fold.distributions().size() == 1);
  const std::vector<std::uint32_t> of{0};
  SeriesParts parts(world.fold, {}, of);
  for (const FileKey key : {0, 1, 2}) parts.add(key, key);
  CHECK(parts.count(0, 0) == 6);
  CHECK(parts.count(1, 0) == 8);
  CHECK(parts.holds_distribution(1, 0));
  CHECK_FALSE(parts.holds_distribution(2, 0));
  BucketCounts all;
  for (const FileKey key : {0, 1, 2}) parts.add_buckets(key, 0, all);
  const auto& want = world.fold.distributions()[0]->total;
  CHECK(all.count() == want.count());
  REQUIRE(all.powers().size() == want.powers().size());
  CHECK(all.powers()[0].parts == want.powers()[0].parts);
}
