// The native base of DataCollector.
#pragma once

#include <Python.h>

#include "python/native/pynba_state.h"
#include "python/native/pynba_timer.h"

namespace pynba {

// Whose processor time a request has.
enum class Whose : int { kProcess = 0, kThread = 1, kNobody = 2 };

// Reads and changes want the GIL.
struct CollectorObject {
  PyObject_HEAD State* state;
  PyObject* enabled;
  PyObject* timers;
  PyObject* scriptname;
  PyObject* hostname;
  PyObject* servername;
  PyObject* schema;
  PyObject* tags;
  PyObject* document_size;
  PyObject* memory_peak;
  PyObject* memory_footprint;
  PyObject* status;
  int rusage;       // Whose, from the next start on
  int used_rusage;  // Whose, since the last
  Clock::time_point begin;
  double elapsed;
  Phase phase;
  bool is_clock_over;
  bool has_usage;
  bool is_over;          // its timers belong to nothing
  unsigned long thread;  // that started it
  double begin_utime;
  double begin_stime;
  double ru_utime;
  double ru_stime;
  unsigned long long left_out;  // timers that there was no room for

  void begin_clock() noexcept;
  void end_clock() noexcept;
  // Makes it one of its timers, if there is room. False with an exception.
  bool keep(PyObject* timer);
};

}  // namespace pynba
