// A program that is instrumented (-fsanitize=thread), as an application may be, with a library that is not.
// The order in which its threads write is kept by relaxed atomics, which order nothing else: each access that
// the fields leave unordered is reported, and fails the program.
#include <stdlib.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "mmstats/fields.h"
#include "mmstats/model.h"

namespace {

struct Stats {
  explicit Stats(const std::string& path) : model({.path = path}) {}
  mmstats::Model model;
  mmstats::SharedCounter shared{model, "shared"};
  mmstats::SharedGauge<double> gauge{model, "gauge"};
  mmstats::Counter count{model, "count"};
  mmstats::Gauge<int> own{model, "own"};
};

void wait_for(const std::atomic<int>& step, int wanted) {
  while (step.load(std::memory_order_relaxed) < wanted) std::this_thread::yield();
}

}  // namespace

int main() {
  std::string path = "/tmp/tsan_host-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return 1;
  bool all_right = true;
  {
    std::deque<Stats> models;  // more than those that are the fastest
    for (int i = 0; i < 40; ++i) {
      Stats& stats = models.emplace_back(path);
      std::atomic<int> step = 0;
      const auto write = [&](int turn) {
        wait_for(step, turn);
        stats.shared.incr();
        stats.gauge.add(1);
        stats.count.incr();
        stats.own = turn;
        step.store(turn + 1, std::memory_order_relaxed);
        for (int more = 0; more < 100; ++more) stats.count.incr();
      };
      std::thread first(write, 0);
      std::thread second(write, 1);
      std::thread reader([&] {
        wait_for(step, 2);
        all_right =
            all_right && stats.count.total() >= 2 && stats.own.total() <= 1 && stats.shared.value() == 2;
      });
      first.join();
      second.join();
      reader.join();
      all_right = all_right && stats.count.total() == 202;
    }
  }
  std::filesystem::remove_all(path);
  if (!all_right) std::fputs("a count is wrong\n", stderr);
  return all_right ? 0 : 1;
}
