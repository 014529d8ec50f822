#include "python/native/pynba_client.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinba/encode.h"
#include "pinba/monitor.h"
#include "python/native/pynba_ref.h"
#include "python/native/pynba_report.h"

namespace pynba {
namespace {

// How long a signal may wait for its handler, at most, while a flush waits.
constexpr std::chrono::milliseconds kUntilSignals{50};

// What the library has to tell, until Python's logger can be called. The GIL is held, or nobody else has it.
using News = std::vector<std::string>;

struct Core {
  Core(pinba::Client given, std::shared_ptr<News> given_news)
      : client(std::move(given)), news(std::move(given_news)), builder(client.options().equal_timers) {}

  pinba::Client client;
  std::shared_ptr<News> news;
  ReportBuilder builder;
  bool is_building = false;  // foreign code that runs meanwhile may report too
  std::uint32_t served = 0;
};

struct ClientObject {
  PyObject_HEAD State* state;
  PyObject* log;
  Core* core;
};

ClientObject* client_of(PyObject* self) { return reinterpret_cast<ClientObject*>(self); }

bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// Ordinary errors of the logger are nobody's; false with another one.
bool tell_one(PyObject* log, std::string_view message) {
  const Ref text(as_unicode(message));
  const Ref done(text ? call<PyObject_CallOneArg>(log, text.get()) : nullptr);
  if (done) return true;
  if (!is_ordinary_error()) return false;
  if (is_finalizing()) {
    call<PyErr_Clear>();  // the logger is half gone
  } else {
    call<PyErr_WriteUnraisable>(log);
  }
  return true;
}

// Gives what there is to tell to the logger, up to such an error.
bool tell(PyObject* log, News& news) {
  if (news.empty() || log == nullptr) return true;
  const Ref held = Ref::to(log);
  const News told = std::exchange(news, {});
  return std::ranges::all_of(told, [log](const std::string& message) { return tell_one(log, message); });
}

std::optional<std::chrono::milliseconds> milliseconds_of(double seconds, const char* what) {
  constexpr double kMost = 3600;
  if (!(seconds >= 0)) {  // nor NaN
    set_error(PyExc_ValueError, "%s must be 0 or more seconds", what);
    return std::nullopt;
  }
  return std::chrono::milliseconds(static_cast<long>(std::ceil(std::fmin(seconds, kMost) * 1000)));
}

// From a sequence of str. False with an exception.
bool read_servers(PyObject* servers, std::vector<std::string>& out) {
  const Ref list(call<PySequence_List>(servers));
  if (!list) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); ++i) {
    if (!append_text(PyList_GET_ITEM(list.get(), i), out.emplace_back())) return false;
  }
  return true;
}

PyObject* client_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* const kNames[] = {"servers", "log",    "max_datagram", "equal_timers", "continue_timers",
                                       "classic", "linger", "spread",       "hostname",     nullptr};
  PyObject* servers = nullptr;
  PyObject* log = nullptr;
  Py_ssize_t max_datagram = 0;
  int equal_timers = 0;
  int continue_timers = 1;
  int classic = 0;
  double linger = 0;
  int spread = 0;
  const char* hostname = "";
  if (call<PyArg_ParseTupleAndKeywords>(arguments, keywords, "OO|nipidis:Client", const_cast<char**>(kNames),
                                        &servers, &log, &max_datagram, &equal_timers, &continue_timers,
                                        &classic, &linger, &spread, &hostname) == 0) {
    return nullptr;
  }
  State* state = state_of(type);
  if (state == nullptr) return nullptr;
  return guarded([&]() -> PyObject* {
    pinba::SenderOptions sender;
    if (!read_servers(servers, sender.servers)) return nullptr;
    const auto lingers = milliseconds_of(linger, "linger");
    if (!lingers) return nullptr;
    sender.linger = *lingers;
    if (spread != 0) sender.spread = pinba::SenderOptions::Spread::kByScript;
    pinba::ClientOptions options;
    options.hostname = hostname;
    if (max_datagram > 0) options.encode.max_bytes = static_cast<std::size_t>(max_datagram);
    options.encode.continue_timers = continue_timers != 0;
    if (classic == 1) options.encode.classic = pinba::ClassicEngine::kMaintained;
    if (classic == 2) options.encode.classic = pinba::ClassicEngine::kOriginal;
    if (equal_timers == 1) options.equal_timers = pinba::EqualTimers::kSeparate;
    if (equal_timers == 2) options.equal_timers = pinba::EqualTimers::kOne;
    auto news = std::make_shared<News>();
    options.log = [news](std::string_view message) { news->emplace_back(message); };
    auto made = pinba::Client::make(std::move(sender), std::move(options));
    if (!made) {
      const std::string text = made.error().text();
      set_error(PyExc_ValueError, "%s", text.c_str());
      return nullptr;
    }
    auto core = std::make_unique<Core>(std::move(*made), std::move(news));
    auto* self = allocate<PyObject>(type);
    if (self == nullptr) return nullptr;
    client_of(self)->state = state;
    client_of(self)->log = Ref::to(log).release();
    client_of(self)->core = core.release();
    return self;
  });
}

int client_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(client_of(self)->log);
  return 0;
}

int client_clear(PyObject* self) {
  Py_CLEAR(client_of(self)->log);
  return 0;
}

void client_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (Core* core = std::exchange(client_of(self)->core, nullptr); core != nullptr) {
    const RaisedAside aside;
    const std::shared_ptr<News> news = core->news;
    // It sends what waits, which may take a moment.
    without_gil([core] { delete core; });
    if (!tell(client_of(self)->log, *news)) call<PyErr_WriteUnraisable>(client_of(self)->log);
  }
  client_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// While foreign code may run in the builder of a client, the next report gets a builder of its own.
class Builder {
 public:
  explicit Builder(Core& core) : core_(core) {
    if (core.is_building) {
      own_.emplace(core.client.options().equal_timers);
    } else {
      core.is_building = true;
    }
  }
  ~Builder() {
    if (!own_) core_.is_building = false;
  }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ReportBuilder& operator*() { return own_ ? *own_ : core_.builder; }

 private:
  Core& core_;
  std::optional<ReportBuilder> own_;
};

PyObject* client_report(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  ReportArguments given{};
  if (!given.read(arguments, count)) return nullptr;
  return guarded([&]() -> PyObject* {
    Core& core = *client_of(self)->core;
    bool sent = false;
    {
      Builder builder(core);
      if (!(*builder).build(*client_of(self)->state, given)) return nullptr;
      (*builder).request().request_count = core.served++;
      // A call that never blocks: to give the GIL away, and wait for it, would take longer.
      sent = core.client.send((*builder).request());
    }
    return tell(client_of(self)->log, *core.news) ? PyBool_FromLong(sent ? 1 : 0) : nullptr;
  });
}

PyObject* client_send(PyObject* self, PyObject* message) {
  Py_buffer view{};
  if (call<PyObject_GetBuffer>(message, &view, PyBUF_SIMPLE) != 0) return nullptr;
  const bool sent = client_of(self)->core->client.sender().send(
      pinba::Datagram(static_cast<const std::byte*>(view.buf), static_cast<std::size_t>(view.len)));
  call<PyBuffer_Release>(&view);
  return PyBool_FromLong(sent ? 1 : 0);
}

PyObject* client_flush(PyObject* self, PyObject* argument) {
  const double seconds = call<PyFloat_AsDouble>(argument);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  const auto at_most = milliseconds_of(seconds, "timeout");
  if (!at_most) return nullptr;
  pinba::Sender& sender = client_of(self)->core->client.sender();
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + *at_most;
  for (;;) {
    const auto now = Clock::now();
    const auto until = std::min(end, now + kUntilSignals);
    const auto slice = std::chrono::ceil<std::chrono::milliseconds>(until - now);
    const bool empty = without_gil([&] { return slice.count() <= 0 ? sender.flush() : sender.flush(slice); });
    // Whoever is interrupted by the end of a slice may still wait for what comes back.
    if (until == end || (empty && Clock::now() < until)) return PyBool_FromLong(empty ? 1 : 0);
    if (call<PyErr_CheckSignals>() != 0) return nullptr;
  }
}

PyObject* client_counts(PyObject* self, PyObject* /*unused*/) {
  const pinba::SenderCounts counts = client_of(self)->core->client.sender().counts();
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  return call<Py_BuildValue>("{sKsKsKsKsK}", "sent", number(counts.sent), "bytes", number(counts.bytes),
                             "dropped", number(counts.dropped), "refused", number(counts.refused), "queued",
                             number(counts.queued));
}

PyMethodDef client_methods[] = {
    {"report", as_method(client_report), METH_FASTCALL,
     PyDoc_STR(
         "report($self, /, *arguments)\n--\n\nSend one request. False if a datagram of it was dropped.")},
    {"send", client_send, METH_O,
     PyDoc_STR("send($self, message, /)\n--\n\nSend a datagram as it is. False if it was dropped.")},
    {"flush", client_flush, METH_O,
     PyDoc_STR(
         "flush($self, timeout, /)\n--\n\nSend what waits, within so many seconds. True if nothing waits any "
         "more.")},
    {"counts", client_counts, METH_NOARGS,
     PyDoc_STR("counts($self, /)\n--\n\nHow many datagrams were sent, dropped, refused, and wait.")},
    {nullptr, nullptr, 0, nullptr}};

PyDoc_STRVAR(client_doc,
             "Client(servers, log, ...)\n--\n\n"
             "The way to Pinba servers: see pynba.core.Reporter. ValueError if a server cannot be read.");

PyType_Slot client_slots[] = {{Py_tp_doc, const_cast<char*>(client_doc)},
                              {Py_tp_new, reinterpret_cast<void*>(client_new)},
                              {Py_tp_dealloc, reinterpret_cast<void*>(client_dealloc)},
                              {Py_tp_traverse, reinterpret_cast<void*>(client_traverse)},
                              {Py_tp_clear, reinterpret_cast<void*>(client_clear)},
                              {Py_tp_methods, client_methods},
                              {0, nullptr}};

PyType_Spec client_spec = {"pynba._native.Client", sizeof(ClientObject), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, client_slots};

}  // namespace

PyObject* encode(PyObject* module, PyObject* const* arguments, Py_ssize_t count) {
  ReportArguments given{};
  if (!given.read(arguments, count)) return nullptr;
  return guarded([&]() -> PyObject* {
    ReportBuilder builder(pinba::EqualTimers::kSeparate);
    if (!builder.build(*static_cast<State*>(PyModule_GetState(module)), given)) return nullptr;
    pinba::EncodeOptions options;
    options.max_bytes = pinba::kMaxDatagram;
    options.continue_timers = false;
    pinba::Encoder encoder(options);
    builder.request().request_count = 1;
    const auto datagrams = encoder.encode(builder.request());
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(datagrams.front().data()),
                                     static_cast<Py_ssize_t>(datagrams.front().size()));
  });
}

PyTypeObject* make_client_type(PyObject* module) {
  return reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &client_spec, nullptr));
}

}  // namespace pynba
