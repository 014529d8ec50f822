// What a fold keeps of foreign files is bounded, and given back.
#include <doctest/doctest.h>

#include <string>

#include "collect/fold.h"
#include "collect/fold_world.h"

using namespace mmstats;
using namespace folded;

namespace {

// Counters with long names, each of which is 5.
MadeFile long_names(int counters, std::size_t label_size) {
  auto made = MadeFile().owner(10, 100);
  for (int i = 0; i < counters; ++i) {
    std::string label = std::to_string(i) + '.';
    label.resize(label_size, 'x');
    made.buffered(label, "Q", std::uint64_t{5});
  }
  return made;
}

}  // namespace

TEST_CASE("counters that a file lost are remembered, however many they are and however long their names") {
  World world;
  world.put(0, long_names(40, 3000));
  world.scan();
  world.put(0, MadeFile().owner(10, 100));
  world.scan();
  world.put(0, long_names(40, 3000));
  world.scan();
  CHECK(world.fold.series().size() == 40);
  for (const Series& series : world.fold.series()) CHECK(series.total == 5);
}

TEST_CASE("counters that come and go many times never count twice") {
  World world;
  for (int i = 0; i < 20; ++i) {
    world.put(0, long_names(10, 3000));
    world.scan();
    world.put(0, MadeFile().owner(10, 100));
    world.scan();
  }
  for (const Series& series : world.fold.series()) CHECK(series.total == 5);
  CHECK(world.fold.series().size() == 10);
}

TEST_CASE("all files together take so much memory at most, and that of a file that is gone is free") {
  // A file of 10,240 counters, of 9 bytes each; more of the same share its shape.
  constexpr int kFields = 10;
  constexpr std::size_t kValuesOfFile = kFields * 1024;
  constexpr std::size_t kMemory = std::size_t{64} << 20U;
  struct Items {
    std::uint64_t items[1024];
  };
  auto made = MadeFile().owner(10, 100);
  for (int i = 0; i < kFields; ++i) made.buffered("c" + std::to_string(i), "1024Q", Items{});
  MemoryFile file;
  file.bytes = made.padded();
  Fold fold({}, {.max_memory = 2 * kMemory}, [](const Fold::OwnerQuestion&) { return OwnerState::kAlive; });
  fold.begin({});
  FileKey most_files = 0;
  while (fold.read(most_files, "file", file) == nullptr) {
    REQUIRE(++most_files <= kMemory / (9 * kValuesOfFile));
  }
  CHECK(most_files > kMemory / (9 * kValuesOfFile) / 2);
  // One more is refused, and again at the next scan; a small one is not.
  for (int scan = 0; scan < 2; ++scan) {
    const Error* const error = fold.read(most_files, "file", file);
    REQUIRE(error != nullptr);
    CHECK(error->kind == ErrorKind::kLimit);
  }
  MemoryFile small;
  small.bytes = worker(11, 100, 1).padded();
  CHECK(fold.read(most_files + 1, "small", small) == nullptr);
  fold.end_life(3, "a", nullptr, false);
  CHECK(fold.read(most_files, "file", file) == nullptr);
  CHECK(fold.read(most_files + 2, "file", file) != nullptr);
  // A file may take another shape of as many values, if there is room for the shape, and has those alone from
  // then on.
  MemoryFile changed;
  changed.bytes = made.padded();
  changed.bytes[3] = std::byte{'d'};
  const FileKey ended = most_files / 2;
  for (FileKey key = 10; key < 10 + ended; ++key) fold.end_life(key, "a", nullptr, false);
  CHECK(fold.read(4, "file", changed) == nullptr);
  FileKey more = 0;
  while (fold.read(most_files + 2 + more, "file", file) == nullptr) REQUIRE(++more < ended);
  CHECK(more > 0);
  file.bytes = worker(10, 100, 1).padded();
  CHECK(fold.read(5, "file", file) == nullptr);
  file.bytes = made.padded();
  CHECK(fold.read(most_files + 2 + more, "file", file) == nullptr);
  CHECK(fold.read(most_files + 3 + more, "file", file) != nullptr);
  fold.finish();
  CHECK(fold.stats().memory <= kMemory);
}

TEST_CASE("a slot is free after the last file of its process, and the lowest free one is taken") {
  Rules rules;
  rules.aggregate(Aggregate::kNone);
  World world(std::move(rules));
  world.put(0, worker(10, 100, 1, 0.10));
  world.put(1, worker(10, 100, 1, 0.10));
  world.put(2, worker(11, 100, 1, 0.11));
  world.put(3, MadeFile().buffered("latency", "d", 0.5));  // it names no process
  world.put(4, MadeFile().buffered("latency", "d", 0.6));
  world.scan();
  CHECK(world.gauge("latency", 1) == 0.11);
  CHECK(world.gauge("latency", 2) == 0.5);
  CHECK(world.gauge("latency", 3) == 0.6);

  world.gone = {0};
  world.scan();
  world.put(5, worker(12, 100, 1, 0.12));
  world.scan();
  CHECK(world.gauge("latency", 0) == 0.10);  // the other file of its process is still there
  CHECK(world.gauge("latency", 4) == 0.12);

  world.gone = {1};
  world.scan();
  CHECK_FALSE(world.gauge("latency", 0).has_value());
  world.owners[11] = OwnerState::kDead;
  world.scan();
  world.put(6, worker(13, 100, 1, 0.13));
  world.put(7, worker(14, 100, 1, 0.14));
  world.put(8, worker(15, 100, 1, 0.15));
  world.scan();
  CHECK(world.gauge("latency", 0) == 0.13);
  CHECK(world.gauge("latency", 1) == 0.14);
  CHECK(world.gauge("latency", 5) == 0.15);

  // The dead one's file goes: its slot is another's by now.
  world.gone = {2};
  world.scan();
  world.put(9, worker(16, 100, 1, 0.16));
  world.scan();
  CHECK(world.gauge("latency", 1) == 0.14);
  CHECK(world.gauge("latency", 6) == 0.16);
}
