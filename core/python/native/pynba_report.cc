#include "python/native/pynba_report.h"

#include <cmath>
#include <limits>
#include <string>

#include "python/native/pynba_ref.h"
#include "python/native/pynba_timer.h"

namespace pynba {
namespace {

constexpr std::uint32_t kUsualStatus = 200;

bool is_missing(PyObject* value) { return value == nullptr || value == Py_None; }

// Of these, what raises is logged, and counts as missing. False with an exception that is no ordinary error.

bool read_text(State& state, PyObject* value, const char* what, std::string& out) {
  out.clear();
  if (is_missing(value)) return true;
  const Ref held = Ref::to(value);
  std::string made;
  if (append_text(value, made)) {
    out = std::move(made);
    return true;
  }
  return tell_left_out(state, what);
}

bool read_seconds(State& state, PyObject* value, const char* what, double& out) {
  out = 0;
  if (is_missing(value)) return true;
  const Ref held = Ref::to(value);
  const double seconds = call<PyFloat_AsDouble>(value);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return tell_left_out(state, what);
  out = seconds;
  return true;
}

bool read_number(State& state, PyObject* value, const char* what, std::uint64_t& out) {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  out = 0;
  if (is_missing(value)) return true;
  Ref number = Ref::to(value);
  if (PyLong_Check(value) == 0) {
    number = Ref(call<PyNumber_Long>(value));  // of a text too
    if (!number) return tell_left_out(state, what);
  }
  int overflow = 0;
  const long long small = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
  if (small == -1 && PyErr_Occurred() != nullptr) return tell_left_out(state, what);
  if (overflow > 0) {
    out = kMost;  // the encoder knows what the wire has room for
  } else if (overflow == 0 && small > 0) {
    out = static_cast<std::uint64_t>(small);
  }
  return true;
}

}  // namespace

bool ReportArguments::read(PyObject* const* arguments, Py_ssize_t count) {
  if (count != kCount) {
    set_error(PyExc_TypeError, "%zd arguments wanted, %zd given", kCount, count);
    return false;
  }
  server_name = arguments[0];
  hostname = arguments[1];
  script_name = arguments[2];
  elapsed = arguments[3];
  timers = arguments[4];
  ru_utime = arguments[5];
  ru_stime = arguments[6];
  document_size = arguments[7];
  memory_peak = arguments[8];
  status = arguments[9];
  memory_footprint = arguments[10];
  schema = arguments[11];
  tags = arguments[12];
  return true;
}

bool ReportBuilder::read_tags(State& state, PyObject* tags) {
  texts_.clear();
  refs_.clear();
  if (is_missing(tags)) return true;
  const Ref held = Ref::to(tags);
  if (!texts_.add(state, tags) && !tell_left_out(state, "tags")) return false;
  texts_.sort();
  texts_.visit([this](std::string_view name, std::string_view value) {
    refs_.push_back(request_.intern(name, value));
  });
  return true;
}

bool ReportBuilder::add_timer(State& state, PyObject* timer) {
  if (PyObject_TypeCheck(timer, state.timer_type) != 0) {
    const auto* known = reinterpret_cast<TimerObject*>(timer);
    if (known->first.hits == 0) return true;  // it never ran
    if (!read_tags(state, known->tags)) return false;
    merge_.add(request_, refs_, known->first.hits, known->first.seconds);
    if (known->more == nullptr) return true;
    for (const Runs& runs : *known->more) merge_.add(request_, refs_, runs.hits, runs.seconds);
    return true;
  }
  // Somebody else's, with the same attributes.
  const Ref elapsed(call<PyObject_GetAttr>(timer, state.name_elapsed));
  if (!elapsed) return tell_left_out(state, "timer");
  if (elapsed.get() == Py_None) return true;
  double seconds = 0;
  if (!read_seconds(state, elapsed.get(), "timer", seconds)) return false;
  const Ref tags(call<PyObject_GetAttr>(timer, state.name_tags));
  if (!tags) return tell_left_out(state, "timer");
  if (!read_tags(state, tags.get())) return false;
  merge_.add(request_, refs_, 1, seconds);
  return true;
}

bool ReportBuilder::build(State& state, const ReportArguments& arguments) {
  request_.clear();
  merge_.clear();
  std::uint64_t status = 0;
  std::uint64_t footprint = 0;
  std::string schema;
  if (!read_text(state, arguments.server_name, "server name", request_.server_name) ||
      !read_text(state, arguments.hostname, "host name", request_.hostname) ||
      !read_text(state, arguments.script_name, "script name", request_.script_name) ||
      !read_text(state, arguments.schema, "schema", schema) ||
      !read_seconds(state, arguments.elapsed, "request time", request_.request_time) ||
      !read_seconds(state, arguments.ru_utime, "ru_utime", request_.ru_utime) ||
      !read_seconds(state, arguments.ru_stime, "ru_stime", request_.ru_stime) ||
      !read_number(state, arguments.document_size, "document size", request_.document_size) ||
      !read_number(state, arguments.memory_peak, "memory peak", request_.memory_peak) ||
      !read_number(state, arguments.memory_footprint, "memory footprint", footprint) ||
      !read_number(state, arguments.status, "status", status)) {
    return false;
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  request_.status = status == 0 ? kUsualStatus : static_cast<std::uint32_t>(status < kMost ? status : kMost);
  request_.memory_footprint = footprint;
  request_.schema = std::move(schema);
  if (!read_tags(state, arguments.tags)) return false;
  request_.tags = refs_;

  if (is_missing(arguments.timers)) return true;
  const Ref timers(list_of(arguments.timers, kMostTimers + 1));
  if (!timers) return tell_left_out(state, "timers");
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(timers.get()); ++i) {
    if (i == kMostTimers) {
      set_error(PyExc_ValueError, "more than %zd timers", kMostTimers);
      return tell_left_out(state, "timers");
    }
    if (!add_timer(state, PyList_GET_ITEM(timers.get(), i))) return false;
  }
  return true;
}

}  // namespace pynba
