// What 100,000 series take of the agent's memory: 1,000 files of 100 fields, no two of which are put
// together.
//   memory_bench
// `apart`: all files have the same labels, and Aggregate "none" keeps them apart; `own_labels`: no two files
// have a label in common. `anonymous`: pages of the process beyond those of a watch without files;
// `allocated`: what malloc gave out for it; `accounts`: what the fold says that it keeps. With the names that
// the plugin of collectd gives them. Each in a process of its own, as freed memory would serve the next one.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "collect/watch.h"
#include "plugin_collectd/values.h"
#include "worker_files.h"

namespace {

constexpr int kFiles = 1000;
constexpr int kFields = 100;

double anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

double allocated_bytes() {
  const auto info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

void run(const char* name, bool own_labels) {
  const WorkerFiles files(kFiles, kFields, std::vector<pid_t>(kFiles, 0), own_labels);
  const auto scan = [](const std::string& glob, std::size_t wanted) {
    static mmstats::WatchOptions options;
    options.globs = {glob};
    mmstats::Rules rules;
    rules.aggregate(mmstats::Aggregate::kNone);
    auto* const watch = new mmstats::Watch(options, std::move(rules));
    auto* const names = new mmstats::collectd::SeriesNames(
        {.slots = true}, [](const std::string& type) -> std::optional<mmstats::collectd::HostType> {
          const bool gauge = type == mmstats::collectd::kDefaultGaugeType;
          return mmstats::collectd::HostType{.source = gauge ? mmstats::collectd::DataSource::kGauge
                                                             : mmstats::collectd::DataSource::kDerive};
        });
    const auto now = std::chrono::system_clock::now() + std::chrono::seconds(5);
    for (int scans = 0; scans < 3 || watch->stats().files < wanted; ++scans) {
      watch->scan(now, std::chrono::steady_clock::now());
      names->extend(watch->series(), watch->stats().generations);
    }
    return watch;
  };
  scan(files.folder() + "/none", 0);
  const double anonymous = anonymous_bytes();
  const double allocated = allocated_bytes();
  const auto* const watch = scan(files.glob(), kFiles);
  const auto series = static_cast<double>(watch->series().size());
  std::printf(
      "%-10s %.0f series, bytes of each: anonymous %.0f, allocated %.0f, accounts %.0f, of series %.0f\n",
      name, series, (anonymous_bytes() - anonymous) / series, (allocated_bytes() - allocated) / series,
      static_cast<double>(watch->stats().memory) / series,
      static_cast<double>(watch->stats().series_memory) / series);
}

}  // namespace

int main() {
  for (const bool own_labels : {false, true}) {
    std::fflush(stdout);
    if (::fork() == 0) {
      run(own_labels ? "own_labels" : "apart", own_labels);
      std::fflush(stdout);
      return 0;
    }
    ::wait(nullptr);
  }
}
