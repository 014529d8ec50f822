// What one input may take: the fuzzer's own bound is by the clock, and a machine that stands still breaks it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <ctime>

// While it lives, this thread works for ten seconds at most; else the program is aborted when it ends.
class BoundedWork {
 public:
  BoundedWork() = default;
  BoundedWork(const BoundedWork&) = delete;
  BoundedWork& operator=(const BoundedWork&) = delete;
  ~BoundedWork() {
    constexpr double kMost = 10;
    const double took = seconds() - begin_;
    if (took < kMost) return;
    std::fprintf(stderr, "this input takes %.1f s of processor time\n", took);
    std::abort();
  }

 private:
  static double seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  }

  double begin_ = seconds();
};
