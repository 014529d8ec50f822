// One user's files never take the memory and the series that another's need, and what nobody needs is given
// back.
#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>

#include "collect/departed.h"
#include "collect/fold.h"
#include "collect/fold_world.h"
#include "collect/layout.h"
#include "collect/series_table.h"
#include "format/metadata_index.h"
#include "mmstats/parse.h"

using namespace mmstats;
using namespace folded;

namespace {

constexpr uid_t kGreedy = 70001;
constexpr uid_t kHonest = 70002;

// So many counters called after `stem`, each of which is 5.
MadeFile many(std::uint32_t pid, const std::string& stem, int counters) {
  auto made = MadeFile().owner(pid, 100);
  for (int i = 0; i < counters; ++i) made.buffered(stem + std::to_string(i), "Q", std::uint64_t{5});
  return made;
}

void put_of(World& world, FileKey key, uid_t user, const MadeFile& made) {
  world.put(key, made);
  world.files[key].user = user;
}

std::size_t named(const World& world) {
  return static_cast<std::size_t>(
      std::ranges::count_if(world.fold.series(), [](const Series& one) { return !one.name().empty(); }));
}

// What the series that are there take, as each binding that some have is there once.
std::size_t memory_of_series(const World& world) {
  std::set<const SharedBinding*> bindings;
  std::size_t bytes = 0;
  for (const Series& one : world.fold.series()) {
    if (!one.binding) continue;
    bytes += SeriesTable::kEntry;
    if (bindings.insert(one.binding.get()).second) bytes += one.binding->memory();
  }
  return bytes;
}

constexpr std::size_t kMiB = std::size_t{1} << 20U;

}  // namespace

TEST_CASE("what files lost is counted, and one user's leave room for others'") {
  // 40 files of 1,000 labels that shrink keep 40 * 1,000 * 72 bytes, 2.9 MB, if nobody counts them.
  World world({}, {.max_memory = 4 * kMiB});
  for (FileKey key = 0; key < 40; ++key) {
    put_of(world, key, kGreedy, many(1000 + key, "c", 1000));
    world.scan();
    put_of(world, key, kGreedy, many(1000 + key, "c", 1));
    world.scan();
  }
  CHECK(world.fold.stats().memory > kMiB);
  CHECK(world.fold.stats().memory <= 3 * kMiB / 2);
  put_of(world, 300, kHonest, worker(10, 100, 3));
  CHECK(world.scan().empty());
  CHECK(world.total("hits") == 3);
  // What was lost goes before what is here is refused.
  put_of(world, 301, kGreedy, many(10, "c", 1000));
  CHECK(world.scan().empty());
}

TEST_CASE("what one user has no memory for is one complaint, and others' files are read") {
  World world({}, {.max_memory = 2 * kMiB});
  // Each has another shape.
  for (FileKey key = 0; key < 40; ++key)
    put_of(world, key, kGreedy, many(1000 + key, "a" + std::to_string(key), 100));
  put_of(world, 100, kHonest, worker(10, 100, 3));
  const auto errors = world.scan();
  CHECK(world.total("hits") == 3);
  REQUIRE(errors.size() > 1);
  CHECK(errors.size() < 40);
  for (const Error& error : errors) {
    CHECK(error.kind == ErrorKind::kLimit);
    CHECK(error.path.empty());
    CHECK(error.message == errors[0].message);
    CHECK(error.message.find("MaxMemory") != std::string::npos);
  }
  CHECK(world.fold.stats().memory <= kMiB);

  SUBCASE("a file that was refused is not read again") {
    for (auto& [key, file] : world.files) file.readings = 0;
    CHECK(world.scan().size() == errors.size());
    int unread = 0;
    for (auto& [key, file] : world.files) unread += file.readings == 0 ? 1 : 0;
    CHECK(unread == static_cast<int>(errors.size()));
  }
  SUBCASE("until a minute has passed: it may have less by then") {
    world.now += std::chrono::minutes(2);
    for (auto& [key, file] : world.files) file.readings = 0;
    CHECK(world.scan().size() == errors.size());
    for (auto& [key, file] : world.files) CHECK(file.readings > 0);
  }
  SUBCASE("it is read when there is room, though the others' lives are not forgotten yet") {
    for (FileKey key = 0; key < 20; ++key) world.gone.push_back(key);
    const std::size_t before = errors.size();
    CHECK(world.scan().size() < before);
  }
}

TEST_CASE("lives that are away are forgotten before a file is refused, the user's own alone") {
  World world({}, {.max_memory = 2 * kMiB});
  put_of(world, 100, kHonest, worker(10, 100, 3));
  world.names[100] = "honest";
  world.scan();
  world.gone = {100};
  world.scan();
  // Each file takes a name of its own, and departs.
  for (FileKey key = 0; key < 60; ++key) {
    put_of(world, key, kGreedy, many(1000 + key, "a" + std::to_string(key % 2), 100 + static_cast<int>(key)));
    CHECK(world.scan().empty());
    world.gone = {key};
    world.scan();
  }
  CHECK(world.fold.stats().memory <= kMiB);
  put_of(world, 100, kHonest, worker(10, 100, 4));
  world.names[100] = "honest";
  world.scan();
  CHECK(world.total("hits") == 4);  // its life went on
}

TEST_CASE("one user's lives that are away push out none of another's") {
  World world;
  world.interval = std::chrono::milliseconds(1);
  put_of(world, 0, kHonest, worker(10, 100, 3));
  world.names[0] = "honest";
  world.scan();
  world.gone = {0};
  world.scan();
  for (std::uint32_t i = 0; i < DepartedLives::kMaxLives + 10; ++i) {
    put_of(world, 1, kGreedy, worker(1000 + i, 100, 0));
    world.scan();
    world.gone = {1};
    world.scan();
  }
  put_of(world, 0, kHonest, worker(10, 100, 4));
  world.names[0] = "honest";
  world.scan();
  CHECK(world.total("hits") == 4);
}

TEST_CASE("another user's file does not go on with a life, though it has its name and says so") {
  World world;
  put_of(world, 0, kHonest, worker(10, 100, 3));
  world.names[0] = "file";
  world.scan();
  world.gone = {0};
  world.scan();
  put_of(world, 1, kGreedy, worker(10, 100, 3));
  world.names[1] = "file";
  world.scan();
  CHECK(world.total("hits") == 6);
  world.gone = {1};
  world.scan();
  put_of(world, 0, kHonest, worker(10, 100, 4));
  world.names[0] = "file";
  world.scan();
  CHECK(world.total("hits") == 7);
}

TEST_CASE("a user with many labels leaves a quarter of the series to others") {
  World world({}, {.max_series = 100});
  put_of(world, 0, kGreedy, many(10, "a", 200));
  world.scan();
  CHECK(named(world) == 75);
  CHECK(world.fold.stats().series_refused == 125);
  put_of(world, 1, kHonest, worker(11, 100, 3));
  world.scan();
  CHECK(world.total("hits") == 3);
  CHECK(world.gauge("latency") == 0.5);
}

TEST_CASE("what one user was refused another gets, though their files have the same shape") {
  World world({}, {.max_series = 100});
  put_of(world, 0, kGreedy, many(10, "a", 200));
  put_of(world, 1, kGreedy, worker(11, 100, 3));
  world.scan();
  CHECK(world.find("hits") == nullptr);
  put_of(world, 2, kHonest, worker(12, 100, 4));
  world.scan();
  CHECK(world.total("hits") == 4);
}

TEST_CASE("series that no file has had for ten minutes make room, and what was refused is bound then") {
  World world({}, {.max_series = 100, .reuse_series = true});
  put_of(world, 0, kGreedy, many(10, "a", 75));
  world.scan();
  world.gone = {0};
  world.scan();
  put_of(world, 1, kGreedy, many(11, "b", 30));
  world.scan();
  CHECK(named(world) == 75);
  CHECK(world.find("b0") == nullptr);
  CHECK(world.total("a0") == 5);  // nobody's, but not for long
  CHECK(world.fold.stats().series_reused == 0);
  world.now += std::chrono::minutes(9);
  world.scan();
  CHECK(world.find("b0") == nullptr);
  world.now += std::chrono::minutes(2);
  world.scan();
  CHECK(world.fold.stats().series_reused == 30);
  CHECK(named(world) == 75);
  for (int i = 0; i < 30; ++i) REQUIRE(world.find("b" + std::to_string(i)) != nullptr);
  // The index of one that has room yet is what it was; another one's says that it has another series.
  std::size_t changed = 0;
  for (const Series& series : world.fold.series()) {
    CHECK((series.name()[0] == 'b') == (series.generation == 2));
    changed += series.generation > 0 ? 1 : 0;
  }
  CHECK(changed == 30);
  CHECK(world.fold.stats().generations == 60);
  SUBCASE("one that made room and comes back begins at 0") {
    world.gone = {1};
    world.scan();
    world.now += std::chrono::minutes(11);
    put_of(world, 2, kGreedy, many(12, "a", 75));
    world.scan();
    world.scan();
    std::uint64_t fives = 0;
    std::uint64_t tens = 0;
    for (int i = 0; i < 75; ++i) {
      const std::uint64_t total = world.total("a" + std::to_string(i));
      fives += total == 5 ? 1 : 0;
      tens += total == 10 ? 1 : 0;
    }
    CHECK(fives == 30);
    CHECK(tens == 45);
  }
}

TEST_CASE("series that files have do not make room, however long, and none do where nobody looks") {
  bool reuse = false;
  SUBCASE("files have them") { reuse = true; }
  SUBCASE("nobody looks at generations") { reuse = false; }
  World world({}, {.max_series = 100, .reuse_series = reuse});
  put_of(world, 0, kGreedy, many(10, "a", 75));
  world.scan();
  if (!reuse) {
    world.gone = {0};
    world.scan();
  }
  world.now += std::chrono::hours(2);
  put_of(world, 1, kGreedy, many(11, "b", 30));
  world.scan();
  world.now += std::chrono::hours(2);
  world.scan();
  CHECK(world.find("b0") == nullptr);
  CHECK(world.total("a0") == 5);
  CHECK(world.fold.stats().series_reused == 0);
}

TEST_CASE("workers that are kept apart have their texts once") {
  Rules rules;
  rules.aggregate(Aggregate::kNone);
  World world(std::move(rules));
  constexpr int kWorkers = 100;
  const std::string help(10'000, 'h');
  for (int worker = 0; worker < kWorkers; ++worker) {
    put_of(world, static_cast<FileKey>(worker), worker % 2 == 0 ? kGreedy : kHonest,
           MadeFile()
               .owner(static_cast<std::uint32_t>(10 + worker), 100)
               .text("sys.metadata", "hits\tcounter\t\t" + help + "\n", 20'000)
               .buffered("hits", "Q", std::uint64_t{5}));
  }
  CHECK(world.scan().empty());
  CHECK(world.fold.series().size() == kWorkers);
  for (const Series& one : world.fold.series()) CHECK(&one.help() == &world.fold.series()[0].help());
  CHECK(world.fold.stats().series_memory == memory_of_series(world));
  CHECK(world.fold.stats().series_memory < help.size() + std::size_t{kWorkers} * 250);
}

TEST_CASE("texts that a shape shares with its series are counted once, as long as either is there") {
  constexpr std::size_t kFields = 100;
  World world;
  const auto made = many(10, std::string(1000, 'l'), kFields);
  put_of(world, 0, kGreedy, made);
  CHECK(world.scan().empty());
  const auto memory = [&] { return world.fold.stats().memory; };
  const std::size_t texts = memory_of_series(world) - kFields * SeriesTable::kEntry;
  REQUIRE(texts > kFields * 1000);
  const auto bytes = made.padded();
  ParsedFile content;
  parse(bytes, content);
  const Layout layout(content, bytes, Rules(), MetadataIndex(content));
  const std::size_t shape = layout.memory();
  const std::size_t one = memory();
  CHECK(one >= shape + kFields * SeriesTable::kEntry);
  CHECK(one < shape + kFields * (SeriesTable::kEntry + 32) + 4096);
  const auto leaves = [&](FileKey key) {
    world.gone = {key};
    world.scan();
    world.now += DepartedLives::kKept * 2;
    world.scan();
  };
  // Each user pays for a shape, whoever else does, and the last one for what is shared.
  put_of(world, 1, kHonest, made);
  world.scan();
  CHECK(memory() >= one + shape);
  leaves(0);
  CHECK(memory() == one);
  leaves(1);
  CHECK(memory() == memory_of_series(world));
  CHECK(world.fold.stats().series_memory == memory());
  // The series have kept the texts of a shape that is no more.
  put_of(world, 2, kGreedy, made);
  world.scan();
  CHECK(memory() == one + texts);
  leaves(2);
  CHECK(memory() == memory_of_series(world));
}

TEST_CASE("nothing is counted when all files are gone, whatever became of them") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Rules rules;
    if (seed % 2 != 0) rules.aggregate(Aggregate::kNone);
    World world(std::move(rules), {.max_series = 150, .max_memory = kMiB / 2, .reuse_series = true});
    for (int step = 0; step < 60; ++step) {
      for (int change = 0; change < 3; ++change) {
        const auto key = static_cast<FileKey>(random() % 12);
        const uid_t user = random() % 3 == 0 ? kHonest : kGreedy;
        if (world.files.contains(key) && random() % 3 == 0) {
          if (std::ranges::find(world.gone, key) == world.gone.end()) world.gone.push_back(key);
        } else if (std::ranges::find(world.gone, key) == world.gone.end()) {
          const bool known = world.files.contains(key);
          const uid_t before = known ? world.files[key].user : user;
          put_of(world, key, before,
                 many(10 + random() % 4, std::string(1, static_cast<char>('a' + random() % 5)),
                      static_cast<int>(random() % 120)));
        }
      }
      for (std::uint64_t pid = 10; pid < 14; ++pid) {
        world.owners[pid] = random() % 4 == 0 ? OwnerState::kDead : OwnerState::kAlive;
      }
      if (random() % 8 == 0) world.now += std::chrono::minutes(20);
      world.scan();
      const FoldStats& stats = world.fold.stats();
      CHECK(stats.memory <= kMiB / 4);
      CHECK(named(world) <= 150);
      CHECK(stats.series_memory == memory_of_series(world));
    }
    for (const auto& [key, file] : world.files) {
      if (std::ranges::find(world.gone, key) == world.gone.end()) world.gone.push_back(key);
    }
    world.scan();
    world.now += DepartedLives::kKept * 2;
    world.scan();
    const FoldStats& stats = world.fold.stats();
    CHECK(stats.memory == stats.series_memory);
  }
}
