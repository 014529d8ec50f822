// Parsing mapped files, against touching the same bytes once.
//   parse_bench --benchmark_counters_tabular=true
// What touching costs depends on how: byte by byte; in words, as a program does that sums what it reads;
// or in wide vectors, the least that looking at bytes can cost. Each ratio is parse / that way, in the same
// iterations. One file stays in the nearest cache; 10,000 are as a reader finds them that comes by every
// ten seconds.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "made_file.h"
#include "mmstats/parse.h"
#include "spent.h"
#include "worker_files.h"

namespace {

using Bytes = std::span<const std::byte>;
using Vector = std::uint64_t __attribute__((vector_size(32)));

// The sums keep nothing but registers busy. Vectors are forbidden where they are not meant, and where in
// memory a loop of four instructions begins is worth a factor of two.
[[gnu::optimize("no-tree-vectorize", "align-loops=64"), gnu::noinline]] std::uint64_t touch_bytes(
    Bytes bytes) {
  std::uint64_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<std::uint64_t>(byte);
  return sum;
}

[[gnu::optimize("no-tree-vectorize", "align-loops=64"), gnu::noinline]] std::uint64_t touch_words(
    Bytes bytes) {
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + sizeof sum <= bytes.size(); at += sizeof sum) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    sum += word;
  }
  return sum + touch_bytes(bytes.subspan(at));
}

#if defined(__x86_64__)
[[gnu::target_clones("avx2", "default"), gnu::noinline]]
#endif
std::uint64_t touch_vectors(Bytes bytes) {
  Vector sum{};
  Vector other{};  // two sums, as one would wait for itself
  std::size_t at = 0;
  for (; at + 2 * sizeof sum <= bytes.size(); at += 2 * sizeof sum) {
    Vector vector;
    std::memcpy(&vector, bytes.data() + at, sizeof vector);
    sum += vector;
    std::memcpy(&vector, bytes.data() + at + sizeof sum, sizeof vector);
    other += vector;
  }
  sum += other;
  return sum[0] + sum[1] + sum[2] + sum[3] + touch_words(bytes.subspan(at));
}

void compare(benchmark::State& state, const std::vector<Bytes>& files, std::size_t fields) {
  const std::size_t repeats =
      std::max<std::size_t>(1, 1000 / files.size());  // so that the clock costs nothing
  const auto time_of = [&](auto&& work) {
    return processor_seconds_of([&] {
      for (std::size_t i = 0; i < repeats; ++i) {
        for (const Bytes file : files) work(file);
      }
    });
  };
  mmstats::ParsedFile content;
  std::vector<double> parses;
  std::vector<double> bytes;
  std::vector<double> words;
  std::vector<double> vectors;
  for (auto _ : state) {
    bytes.push_back(time_of([](Bytes file) { benchmark::DoNotOptimize(touch_bytes(file)); }));
    words.push_back(time_of([](Bytes file) { benchmark::DoNotOptimize(touch_words(file)); }));
    vectors.push_back(time_of([](Bytes file) { benchmark::DoNotOptimize(touch_vectors(file)); }));
    parses.push_back(time_of([&](Bytes file) {
      mmstats::parse(file, content);
      benchmark::DoNotOptimize(content.fields.data());
    }));
    state.SetIterationTime(parses.back());
  }
  if (content.fields.size() != fields || content.damage) state.SkipWithError("not parsed");
  const double parse = median(parses);
  state.counters["ns_per_field"] = parse * 1e9 / static_cast<double>(repeats * files.size() * fields);
  state.counters["vs_bytes"] = parse / median(bytes);
  state.counters["vs_words"] = parse / median(words);
  state.counters["vs_vectors"] = parse / median(vectors);
}

void usual_files(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(0));
  constexpr int kFields = 100;
  const WorkerFiles made(count, kFields);
  std::vector<Bytes> files;
  for (int i = 0; i < count; ++i) files.push_back(made.mapped(i).first(made.content_size()));
  compare(state, files, kFields + 2);
}

// Types with blanks before them, as a writer puts there that aligns its values.
void padded_types(benchmark::State& state) {
  MadeFile made;
  constexpr std::size_t kFields = 100;
  for (std::size_t i = 0; i < kFields; ++i) {
    const std::string label = "web.stats.requests.kind" + std::to_string(i);
    const std::size_t before = made.bytes().size() + 2 + label.size() + 2 + 1 + 1;
    made.buffered(label, std::string((8 - before % 8) % 8, ' ') + "Q", std::uint64_t{1});
  }
  compare(state, {made.bytes()}, kFields);
}

// Values of other sizes, and without a second buffer.
void other_types(benchmark::State& state) {
  MadeFile made;
  constexpr std::size_t kRounds = 25;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const std::string label = "web.stats.requests.kind" + std::to_string(i);
    made.buffered(label, "I", std::uint32_t{1});
    made.buffered(label, "f", 1.0F);
    made.unbuffered(label, "?", true);
    made.text(label, "text", 16);
  }
  compare(state, {made.bytes()}, 4 * kRounds);
}

BENCHMARK(usual_files)->Arg(1)->Arg(1000)->Arg(10000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(padded_types)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(other_types)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
