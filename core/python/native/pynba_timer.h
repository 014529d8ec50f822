// The type Timer.
#pragma once

#include <Python.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "python/native/pynba_state.h"

namespace pynba {

using Clock = std::chrono::steady_clock;

// Of one request; what is made then measures, and is not sent.
inline constexpr Py_ssize_t kMostTimers = 10'000;

enum class Phase : std::uint8_t { kNew, kRunning, kStopped };

// Runs of a timer that took about as long.
struct Runs {
  std::uint32_t hits = 0;
  double seconds = 0;  // of all
};

// Reads and changes want the GIL.
struct TimerObject {
  PyObject_HEAD State* state;
  PyObject* tags;
  PyObject* parent;
  PyObject* data;
  Clock::time_point begin;
  double elapsed;  // seconds of the last run
  Phase phase;
  Runs first;
  std::vector<Runs>* more;  // after the first; null if there are none

  // False, and nothing happens, if it runs already, or does not run.
  bool start() noexcept;
  bool stop() noexcept;
};

// A timer with these tags, which it takes, and this parent, which may be None.
PyObject* new_timer(State& state, PyObject* owned_tags, PyObject* parent);

// When something began that runs since `begin`, in seconds since 1970 as time.time() has them.
double wall_time_of(Clock::time_point begin);

}  // namespace pynba
