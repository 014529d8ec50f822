// Processor time that some work takes, for ratios.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <vector>

// Of this thread alone: what others do on the machine meanwhile shall not count, and nothing that is
// measured here waits.
inline double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double processor_seconds_of(auto&& work) {
  const double begin = processor_seconds();
  work();
  return processor_seconds() - begin;
}

// Of at least one value; reorders them.
inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}
