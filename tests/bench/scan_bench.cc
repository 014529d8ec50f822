// One scan over many files, everything included up to ready series, against a loop that does
// nothing but one pread of each file on descriptors that are open already.
//   scan_bench --benchmark_counters_tabular=true
// `ratio` is scan / floor of the same iterations. `busy`: all values moved since the last scan; `idle`:
// none did, and all files belong to one process; `idle_workers`: each belongs to one of its own, which is
// asked for. `recheck_ms`: the scan that looks again when those processes began, every 30 seconds.
// `busy_histograms`, `idle_histograms`: each file has ten histograms of 200 used buckets; the floor is one
// pread of as many bytes as those have. `bytes_a_bucket`: what the agent keeps, by its own accounts.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "base/buckets.h"
#include "base/read_buffer.h"
#include "collect/watch.h"
#include "format/owner.h"
#include "held_files.h"
#include "mmstats/histogram.h"
#include "sleeping_processes.h"
#include "spent.h"
#include "worker_files.h"

namespace {

namespace fs = std::filesystem;

// Those that the watch holds.
std::vector<int> descriptors_below(const std::string& folder) {
  std::vector<int> found;
  for (const auto& held : held_files(folder)) found.push_back(held.descriptor);
  return found;
}

struct Workers {
  bool busy = false;
  bool own_processes = false;
};

void run(benchmark::State& state, Workers workers) {
  const auto count = static_cast<int>(state.range(0));
  constexpr int kFields = 100;
  const SleepingProcesses owners(workers.own_processes ? count : 0);
  WorkerFiles files(count, kFields, owners.pids());
  mmstats::WatchOptions options;
  options.globs = {files.glob()};
  mmstats::Watch watch(std::move(options), mmstats::Rules{});
  // Long after the folder last changed, as a folder of steady workers is.
  const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  const auto scan_once = [&] { watch.scan(now, std::chrono::steady_clock::now()); };
  scan_once();

  const auto descriptors = descriptors_below(files.folder());
  if (descriptors.size() != static_cast<std::size_t>(count)) {
    state.SkipWithError("needs more descriptors: raise the hard limit (ulimit -Hn)");
    return;
  }
  mmstats::ReadBuffer buffer(files.size());
  const auto read_once = [&] {
    for (const int fd : descriptors) benchmark::DoNotOptimize(::pread(fd, buffer.data(), buffer.size(), 0));
  };
  std::vector<double> floors;
  std::vector<double> scans;
  for (auto _ : state) {
    if (workers.busy) files.move_on();
    // By turns, as the second finds the files in the processor's caches.
    if (scans.size() % 2 == 0) floors.push_back(processor_seconds_of(read_once));
    scans.push_back(processor_seconds_of(scan_once));
    if (floors.size() < scans.size()) floors.push_back(processor_seconds_of(read_once));
    state.SetIterationTime(scans.back());
  }
  if (workers.own_processes) {
    state.counters["recheck_ms"] =
        1e3 * processor_seconds_of(
                  [&] { watch.scan(now, std::chrono::steady_clock::now() + 2 * mmstats::Owners::kRecheck); });
  }
  const double scan = median(scans);
  const double floor = median(floors);
  state.counters["scan_ms"] = scan * 1e3;
  state.counters["floor_ms"] = floor * 1e3;
  state.counters["ratio"] = scan / floor;
  state.counters["ns_per_value"] = scan * 1e9 / count / kFields;
  state.counters["series"] = static_cast<double>(watch.series().size());
}

constexpr int kHistograms = 10;
constexpr int kUsedBuckets = 200;

// On tmpfs, as /run is.
struct SharedFolder {
  std::string path = "/dev/shm/mmstats-bench-XXXXXX";
  SharedFolder() { static_cast<void>(::mkdtemp(path.data())); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  ~SharedFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

// One of them, published as an application does.
struct Latencies {
  mmstats::Model model;
  std::vector<mmstats::Histogram> all;

  Latencies(const std::string& folder, int number)
      : model({.path = folder, .file_name = std::to_string(number) + ".mmstats"}) {
    for (int i = 0; i < kHistograms; ++i) all.emplace_back(model, "latency" + std::to_string(i));
    move_on();
  }
  // A value more in each bucket.
  void move_on() const {
    for (const auto& one : all) {
      for (int i = 0; i < kUsedBuckets; ++i)
        one.add(mmstats::buckets::middle(static_cast<std::uint32_t>(20 * mmstats::buckets::kMostParts + i)));
    }
  }
};

void run_histograms(benchmark::State& state, bool busy) {
  const auto count = static_cast<int>(state.range(0));
  const SharedFolder folder;
  std::deque<Latencies> files;
  for (int i = 0; i < count; ++i) files.emplace_back(folder.path, i);
  mmstats::WatchOptions options;
  options.globs = {folder.path + "/*.mmstats"};
  mmstats::Watch watch(std::move(options), mmstats::Rules{});
  const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
  const auto scan_once = [&] { watch.scan(now, std::chrono::steady_clock::now()); };
  while (watch.stats().files < static_cast<std::size_t>(count)) scan_once();
  const auto descriptors = descriptors_below(folder.path);
  mmstats::ReadBuffer buffer(kHistograms * kUsedBuckets * sizeof(std::uint64_t));
  const auto read_once = [&] {
    for (const int fd : descriptors) benchmark::DoNotOptimize(::pread(fd, buffer.data(), buffer.size(), 0));
  };
  std::vector<double> floors;
  std::vector<double> scans;
  for (auto _ : state) {
    if (busy) {
      for (const Latencies& one : files) one.move_on();
    }
    if (scans.size() % 2 == 0) floors.push_back(processor_seconds_of(read_once));
    scans.push_back(processor_seconds_of(scan_once));
    if (floors.size() < scans.size()) floors.push_back(processor_seconds_of(read_once));
    state.SetIterationTime(scans.back());
  }
  state.counters["scan_ms"] = median(scans) * 1e3;
  state.counters["floor_ms"] = median(floors) * 1e3;
  state.counters["ratio"] = median(scans) / median(floors);
  state.counters["bytes_a_bucket"] =
      static_cast<double>(watch.stats().memory) / count / kHistograms / kUsedBuckets;
}

void busy_histograms(benchmark::State& state) { run_histograms(state, true); }
void idle_histograms(benchmark::State& state) { run_histograms(state, false); }

void busy(benchmark::State& state) { run(state, {.busy = true}); }
void idle(benchmark::State& state) { run(state, {}); }
void idle_workers(benchmark::State& state) { run(state, {.own_processes = true}); }

BENCHMARK(busy)->Arg(100)->Arg(1000)->Arg(10000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(idle)->Arg(100)->Arg(1000)->Arg(10000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(idle_workers)->Arg(100)->Arg(1000)->UseManualTime()->Unit(benchmark::kMillisecond);

BENCHMARK(busy_histograms)->Arg(100)->Arg(1000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(idle_histograms)->Arg(100)->Arg(1000)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
