// Parsing mapped bytes, against touching the same bytes once (eight at a time).
//   parse_bench --benchmark_counters_tabular=true
#include <benchmark/benchmark.h>

#include <cstring>

#include "made_file.h"
#include "mmstats/parse.h"

namespace {

constexpr int kFields = 100;

std::vector<std::byte> file_of_100_fields() {
  MadeFile made;
  for (int i = 0; i < kFields; ++i) {
    const auto label = "web.stats.requests.kind" + std::to_string(i);
    if (i % 2 == 0) {
      made.buffered(label, "Q", std::uint64_t{1});
    } else {
      made.buffered(label, "d", 1.0);
    }
  }
  return made.bytes();
}

void touch_bytes(benchmark::State& state) {
  const auto bytes = file_of_100_fields();
  for (auto _ : state) {
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      sum += word;
      benchmark::DoNotOptimize(sum);
    }
  }
  state.SetItemsProcessed(state.iterations() * kFields);
}

void parse_fields(benchmark::State& state) {
  const auto bytes = file_of_100_fields();
  mmstats::ParsedFile content;
  for (auto _ : state) {
    mmstats::parse(bytes, content);
    benchmark::DoNotOptimize(content.fields.data());
  }
  if (content.fields.size() != kFields) state.SkipWithError("not parsed");
  state.SetItemsProcessed(state.iterations() * kFields);
}

BENCHMARK(touch_bytes);
BENCHMARK(parse_fields);

}  // namespace

BENCHMARK_MAIN();
