// The applications of many hosts: whole files by the real library, and the truth about them.
//
//   fleet_writer FOLDER HOSTS WORKERS
//
// Host N of 1 to HOSTS is FOLDER/web<N>. Forks WORKERS times; each process has one Model for each host, whose
// file is in FOLDER/web<N>/run, as if it were a worker there. Every host counts otherwise, and has latencies
// of its own. Prints "ready" when all files are there, and counts in steps. At the first line of its input it
// ends the present steps, and prints the truth as JSON: how many steps there were, of all workers together,
// and the latencies of one step. The files stay as they are until its input ends.
#include <mmstats/fields.h>
#include <mmstats/histogram.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr unsigned kCounters = 20;
constexpr unsigned kGauges = 6;
constexpr unsigned kLatencies = 8;  // in each step
constexpr int kStepMs = 200;

struct Shared {
  std::atomic<bool> stop{false};
  std::atomic<unsigned> ready{0};
  std::atomic<unsigned> ended{0};
  std::atomic<std::uint64_t> steps{0};
};

// Seconds: of most hosts some milliseconds, of every tenth half a second; smooth, so that each percentile has
// neighbours.
double latency(unsigned host, unsigned worker, unsigned number) {
  const double base = host % 10 == 3 ? 0.5 : 0.005 + 0.00005 * host;
  return base * (1 + 0.13 * number + 0.006 * worker);
}

struct Host : mmstats::Model {
  Host(const std::string& folder, unsigned host)
      : Model({.label_prefix = "shop", .path = folder, .file_name = "shop-{PID}-{TID}.mmstats"}),
        number(host) {
    for (unsigned i = 0; i < kCounters; ++i)
      counters.emplace_back(*this, i == 0 ? "requests" : "counted." + std::to_string(i));
    for (unsigned i = 0; i < kGauges; ++i) gauges.emplace_back(*this, "level." + std::to_string(i));
  }
  void step(unsigned worker) const {
    // What a step adds is known: host and counter.
    for (unsigned i = 0; i < kCounters; ++i) counters[i].incr(number + i);
    for (unsigned i = 0; i < kGauges; ++i) gauges[i].set(static_cast<std::int32_t>(number + i));
    for (unsigned i = 0; i < kLatencies; ++i) times.add(latency(number, worker, i));
  }
  unsigned number;
  std::vector<mmstats::Counter> counters;
  std::vector<mmstats::Gauge<std::int32_t>> gauges;
  mmstats::Histogram times{*this, "latency", {.unit = "seconds"}};
};

int work(const std::string& folder, unsigned hosts, unsigned worker, Shared& shared) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<std::unique_ptr<Host>> all;
  for (unsigned host = 1; host <= hosts; ++host) {
    all.push_back(std::make_unique<Host>(folder + "/web" + std::to_string(host) + "/run", host));
    if (!all.back()->open()) return 1;
  }
  ++shared.ready;
  while (!shared.stop) {
    for (const auto& host : all) host->step(worker);
    ++shared.steps;
    ::poll(nullptr, 0, kStepMs);
  }
  ++shared.ended;
  // Killed by the parent, or with it.
  for (;;) ::pause();
}

void print_truth(unsigned hosts, unsigned workers, const Shared& shared) {
  std::printf("{\"steps\": %llu, \"latencies\": [", static_cast<unsigned long long>(shared.steps));
  for (unsigned host = 1; host <= hosts; ++host) {
    for (unsigned worker = 0; worker < workers; ++worker) {
      for (unsigned i = 0; i < kLatencies; ++i) {
        std::printf("%s%.9g", host + worker + i > 1 ? ", " : "", latency(host, worker, i));
      }
    }
  }
  std::puts("]}");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto hosts = static_cast<unsigned>(std::atoi(argv[2]));
  const auto workers = static_cast<unsigned>(std::atoi(argv[3]));
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto& shared = *new (memory) Shared;

  std::vector<pid_t> children;
  for (unsigned worker = 0; worker < workers; ++worker) {
    const pid_t child = ::fork();
    if (child < 0) return 1;
    if (child == 0) ::_exit(work(argv[1], hosts, worker, shared));
    children.push_back(child);
  }
  const auto wait_for = [&](const std::atomic<unsigned>& number) {
    while (number < workers) {
      ::poll(nullptr, 0, 10);
      if (::waitpid(-1, nullptr, WNOHANG) > 0) std::exit(1);
    }
  };
  wait_for(shared.ready);
  std::puts("ready");
  std::fflush(stdout);
  char byte = 0;
  bool more = true;
  while (more && byte != '\n') more = ::read(STDIN_FILENO, &byte, 1) == 1;
  shared.stop = true;
  wait_for(shared.ended);
  if (more) print_truth(hosts, workers, shared);
  while (more) more = ::read(STDIN_FILENO, &byte, 1) == 1;
  for (const pid_t child : children) ::kill(child, SIGKILL);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  return 0;
}
