// One tick over many files, everything included up to ready series, against a loop that does
// nothing but one pread of each file on descriptors that are open already.
//   tick_bench --benchmark_counters_tabular=true
// `ratio` is tick / floor of the same iterations; `idle`: no value moved since the last tick.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "mmstats/watch.h"
#include "worker_files.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(auto&& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void run(benchmark::State& state, bool busy) {
  const auto count = static_cast<int>(state.range(0));
  constexpr int kFields = 100;
  WorkerFiles files(count, kFields);
  mmstats::WatchOptions options;
  options.globs = {files.glob()};
  mmstats::Watch watch(std::move(options), mmstats::Rules{});
  // Long after the folder last changed, as a folder of steady workers is.
  auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  watch.tick(now, Clock::now());

  std::vector<int> descriptors;
  for (int i = 0; i < count; ++i) {
    descriptors.push_back(::open((files.folder() + "/worker-" + std::to_string(i) + ".mmstats").c_str(), O_RDONLY));
    if (descriptors.back() < 0) std::abort();
  }
  std::vector<std::byte> buffer(files.size());
  std::vector<double> floors;
  std::vector<double> ticks;
  for (auto _ : state) {
    if (busy) files.move_on();
    floors.push_back(seconds_of([&] {
      for (const int fd : descriptors) benchmark::DoNotOptimize(::pread(fd, buffer.data(), buffer.size(), 0));
    }));
    ticks.push_back(seconds_of([&] { watch.tick(now, Clock::now()); }));
    state.SetIterationTime(ticks.back());
  }
  for (const int fd : descriptors) ::close(fd);
  const double tick = median(ticks);
  const double floor = median(floors);
  state.counters["tick_ms"] = tick * 1e3;
  state.counters["floor_ms"] = floor * 1e3;
  state.counters["ratio"] = tick / floor;
  state.counters["ns_per_value"] = tick * 1e9 / count / kFields;
  state.counters["series"] = static_cast<double>(watch.series().size());
}

void busy_files(benchmark::State& state) { run(state, true); }
void idle_files(benchmark::State& state) { run(state, false); }

BENCHMARK(busy_files)->Arg(100)->Arg(1000)->Arg(10000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(idle_files)->Arg(100)->Arg(1000)->Arg(10000)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
