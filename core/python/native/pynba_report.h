// What Python measured -> a pinba::Request.
#pragma once

#include <Python.h>

#include <cstdint>
#include <vector>

#include "pinba/request.h"
#include "python/native/pynba_state.h"
#include "python/native/pynba_tags.h"

namespace pynba {

// The arguments of a report, in this order; borrowed, any may be null or None.
struct ReportArguments {
  static constexpr Py_ssize_t kCount = 13;
  PyObject* server_name;
  PyObject* hostname;
  PyObject* script_name;
  PyObject* elapsed;
  PyObject* timers;
  PyObject* ru_utime;
  PyObject* ru_stime;
  PyObject* document_size;
  PyObject* memory_peak;
  PyObject* status;
  PyObject* memory_footprint;
  PyObject* schema;
  PyObject* tags;

  // From a vector call. False with a TypeError.
  bool read(PyObject* const* arguments, Py_ssize_t count);
};

// Keeps its memory from request to request.
class ReportBuilder {
 public:
  explicit ReportBuilder(pinba::EqualTimers equal_timers) : merge_(equal_timers) {}

  // Fills in a request. Foreign code may run meanwhile. What cannot be taken is logged and left out. False
  // with an exception that is no ordinary error.
  bool build(State& state, const ReportArguments& arguments);
  [[nodiscard]] pinba::Request& request() { return request_; }

 private:
  bool add_timer(State& state, PyObject* timer);
  bool read_tags(State& state, PyObject* tags);

  pinba::Request request_;
  pinba::TimerMerge merge_;
  TagTexts texts_;
  std::vector<pinba::TagRef> refs_;
};

}  // namespace pynba
