// Measuring requests and scripts from inside of a program, after pynba's model: a monitor per request, which
// code anywhere below reaches as the thread's current one, to make timers. It is sent when the request ends.
//
//   const auto client = pinba::Client::make({.servers = {"pinba.example.com"}}, {.prefix = "/shop"});
//   {
//     pinba::RequestMonitor request(*client, "/cart");
//     const pinba::CurrentScope current(request);
//     ...
//     const auto timed = pinba::timer({{"group", "mysql"}, {"op", "insert"}}).scope();  // anywhere below
//     ...
//   }  // sent
//
// Nothing here throws at the application, but with raise_on_fail; misuse is told to the log function.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"
#include "mmstats/export.h"
#include "pinba/encode.h"
#include "pinba/request.h"
#include "pinba/sender.h"

namespace pinba {

// What raise_on_fail throws.
class MMSTATS_API MonitorError : public std::logic_error {
  using std::logic_error::logic_error;
};

struct ClientOptions {
  std::string hostname = {};     // empty: this machine's
  std::string server_name = {};  // of requests that set none
  std::string schema = {};       // of requests that set none
  std::string prefix = {};       // put before each script name
  Tags tags = {};                // of each request
  // False: requests measure and send nothing, at next to no cost, until RequestMonitor::set_enabled(true).
  bool enabled = true;

  // Whose processor time a request has.
  enum class Rusage : std::uint8_t {
    kDefault,  // the process's for a ScriptMonitor, else the thread's
    kProcess,  // the whole process's, as pynba has it: of requests at the same time, each has that of all
    kThread,   // that of the thread which starts it; 0 if another one stops it
    kNone,     // 0
  };
  Rusage rusage = Rusage::kDefault;
  // Of timers too, each in the thread which starts it; 0 if another one stops it. Costs a timer two system
  // calls.
  bool timer_rusage = false;

  // What timers with equal tags, and a timer that runs more often than once, are in the packet.
  EqualTimers equal_timers = EqualTimers::kByValue;
  std::size_t max_timers = 10'000;  // of a request; what comes later is not measured

  // Told what went wrong, from any thread; must not throw. Losses that go on are told at powers of two. That
  // a server's name is not found, or that its packets come back, is known a little later: it is told when the
  // next request is sent, or when the client ends, and so with the end of the last copy and monitor of it;
  // and so is that the name is found, or that the server takes packets again: when none came back for ten
  // times SenderOptions::retry_interval.
  std::function<void(std::string_view message)> log = {};
  // Misuse (starting twice, stopping twice), and a datagram that send() or flush() could not hand on, throw
  // MonitorError too. The end of a monitor's life never throws.
  bool raise_on_fail = false;

  EncodeOptions encode = {};
};

class MonitorState;

// The way to the servers, and what requests have in common. May be copied, and used from any thread; monitors
// keep what they need of it.
class MMSTATS_API Client {
 public:
  // Error: see Sender::make.
  static mmstats::Expected<Client> make(SenderOptions servers, ClientOptions options = {});

  [[nodiscard]] Sender& sender() const;
  [[nodiscard]] const ClientOptions& options() const;

  // Sends a request that was measured elsewhere, as it is. False if a datagram of it was dropped.
  bool send(const Request& request) const noexcept;  // NOLINT(modernize-use-nodiscard): may be ignored

  struct Core;

 private:
  friend class RequestMonitor;
  explicit Client(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

class TimerScope;

// Measures how long something takes, once or more often: each start and stop is one hit. At the end of its
// life it stops. Belongs to a request; what it measures after that was sent is lost. One that is empty,
// for want of a request, does nothing. For one thread at a time.
class MMSTATS_API RequestTimer {
 public:
  RequestTimer() = default;
  RequestTimer(RequestTimer&& other) noexcept = default;
  RequestTimer& operator=(RequestTimer&& other) noexcept;
  ~RequestTimer() {
    if (state_) release();
  }

  // Starting twice, or stopping what does not run, is an error and changes nothing.
  void start() {
    if (state_) start_it();
  }
  void stop() {
    if (state_) stop_it();
  }
  [[nodiscard]] bool started() const;
  // Seconds from the last start to its stop, or to now; nothing if it never ran.
  [[nodiscard]] std::optional<double> elapsed() const;

  // Starts it, and stops it when the scope ends, if it still runs then.
  [[nodiscard]] TimerScope scope() &;
  [[nodiscard]] TimerScope scope() &&;

  // Another timer with the same tags, of the same request, that has not run.
  [[nodiscard]] RequestTimer clone() const;
  // Nothing that it measured counts; it is empty afterwards.
  void discard();

  // A function that calls `function`, measured by a clone each time, so that it may be called by itself
  // and from several threads at once. It measures for this timer's request alone: pinba::wrap() does for any.
  template <class Function>
  [[nodiscard]] auto wrap(Function function) &&;

 private:
  friend class RequestMonitor;
  friend class TimerScope;
  RequestTimer(std::shared_ptr<MonitorState> state, std::uint32_t slot)
      : state_(std::move(state)), slot_(slot) {}
  void start_it();
  void stop_it();
  void stop_if_running() noexcept;
  void release() noexcept;

  std::shared_ptr<MonitorState> state_;
  std::uint32_t slot_ = 0;
};

// See RequestTimer::scope.
class [[nodiscard]] TimerScope {
 public:
  explicit TimerScope(RequestTimer& timer) : timer_(&timer) { timer.start(); }
  explicit TimerScope(RequestTimer&& timer) : own_(std::move(timer)) { own_.start(); }
  TimerScope(const TimerScope&) = delete;
  TimerScope& operator=(const TimerScope&) = delete;
  ~TimerScope() {
    if (timer_ != nullptr) timer_->stop_if_running();
  }

 private:
  RequestTimer* timer_ = nullptr;
  RequestTimer own_;  // stops by itself
};

namespace detail {

// What a scope tells of its request without a call: in programs that measure nothing, timers cost no more.
struct CurrentTop {
  std::atomic<bool> over = false;            // the scope ended in another thread
  const std::atomic<bool>* is_on = nullptr;  // whether the request measures; null: there is none
};
// The innermost scope of this thread; null if there is none.
MMSTATS_API extern constinit thread_local const CurrentTop* current_top;

inline bool may_measure() {
  const CurrentTop* top = current_top;
  if (top == nullptr) return false;
  if (top->over.load(std::memory_order_relaxed)) return true;
  return top->is_on != nullptr && top->is_on->load(std::memory_order_relaxed);
}
MMSTATS_API RequestTimer timer(std::initializer_list<Tags::Tag> tags);
MMSTATS_API RequestTimer timer(const Tags& tags);

}  // namespace detail

// One request. All functions may be called from any thread at any time, so that threads may share it. Of one
// that was moved from, all do nothing.
class MMSTATS_API RequestMonitor {
 public:
  // Starts to measure.
  RequestMonitor(const Client& client, std::string_view script_name)
      : RequestMonitor(client, script_name, ClientOptions::Rusage::kThread) {}
  RequestMonitor(RequestMonitor&&) noexcept = default;
  RequestMonitor& operator=(RequestMonitor&& other) noexcept;
  ~RequestMonitor() { finish(); }  // sends, unless that was done

  void set_script_name(std::string_view name);
  void set_hostname(std::string_view name);
  void set_server_name(std::string_view name);
  void set_schema(std::string_view name);
  void set_status(std::uint32_t status);  // 200 if not set
  void set_document_size(std::uint64_t bytes);
  void set_memory_peak(std::uint64_t bytes);
  void set_memory_footprint(std::uint64_t bytes);  // 0 if not set
  // As pynba's dictionary of tags is updated: a name that was there, from here or of ClientOptions::tags,
  // gets the new value.
  void add_tags(std::initializer_list<Tags::Tag> tags) { add_tags(Tags(tags)); }
  void add_tags(const Tags& tags);
  // Whether it will be sent. Where ClientOptions::enabled is false, it measures from the first `true` on;
  // what was set before holds, timers that were made before stay empty.
  void set_enabled(bool enabled);

  [[nodiscard]] RequestTimer timer(std::initializer_list<Tags::Tag> tags) const;
  [[nodiscard]] RequestTimer timer(const Tags& tags) const;

  // A timer that was measured elsewhere.
  void add_timer(const Tags& tags, std::uint64_t hit_count, double seconds);

  // It runs from its making. Starting anew while it runs, and stopping twice, are errors and change nothing.
  void start();
  void stop();  // its running timers stop too
  [[nodiscard]] bool started() const;
  [[nodiscard]] double elapsed() const;  // seconds

  // Sends what was measured, stopping it first if it runs, and starts over, with the same names, tags,
  // status and sizes, and without timers: those of before count no more.
  void flush();
  // Stops it if it runs, and sends it: once; what comes later has no effect. False if that was done before,
  // it is not enabled, or a datagram was dropped.
  bool send();
  void discard();  // it will not be sent

 protected:
  // `usual`: what ClientOptions::Rusage::kDefault stands for.
  RequestMonitor(const Client& client, std::string_view script_name, ClientOptions::Rusage usual);

 private:
  friend class CurrentScope;
  friend bool end_http(RequestMonitor& request, std::uint32_t status, std::uint64_t body_bytes,
                       std::string_view route);
  friend std::optional<RequestMonitor> current_request();
  friend RequestTimer detail::timer(std::initializer_list<Tags::Tag> tags);
  friend RequestTimer detail::timer(const Tags& tags);
  explicit RequestMonitor(std::shared_ptr<MonitorState> state, bool owner)
      : state_(std::move(state)), owner_(owner) {}
  void finish() noexcept;
  // What holds unless it was set.
  void answered(std::uint64_t body_bytes, std::string_view route);

  std::shared_ptr<MonitorState> state_;
  bool owner_ = true;
};

// Makes a request the current one of this thread, until the scope ends; scopes nest, and the innermost
// counts. To hand a request over, make a scope where it goes on: in the other thread, or around each
// resumption of a coroutine. A scope may end in any order and in any thread.
class [[nodiscard]] CurrentScope {
 public:
  MMSTATS_API explicit CurrentScope(const RequestMonitor& request);
  CurrentScope(const CurrentScope&) = delete;
  CurrentScope& operator=(const CurrentScope&) = delete;
  MMSTATS_API ~CurrentScope();

  struct Entry;

 private:
  Entry* entry_;
};

// The current request of this thread, to set names and tags; it does not send when this handle ends.
MMSTATS_API std::optional<RequestMonitor> current_request();

// A timer of the current request; an empty one where there is none.
inline RequestTimer timer(std::initializer_list<Tags::Tag> tags) {
  return detail::may_measure() ? detail::timer(tags) : RequestTimer();
}
inline RequestTimer timer(const Tags& tags) {
  return detail::may_measure() ? detail::timer(tags) : RequestTimer();
}

// A function that calls `function`, measured with these tags for the request that is current then, if there
// is one. It may be made at start-up, be const, and be called by several threads at once, as far as
// `function` may.
template <class Function>
[[nodiscard]] auto wrap(Tags tags, Function function) {
  return [tags = std::move(tags), function = std::move(function)](auto&&... args) -> decltype(auto) {
    const TimerScope scope(timer(tags));
    return std::invoke(function, std::forward<decltype(args)>(args)...);
  };
}

// The same for a script or job: its name is the command line of this process.
class MMSTATS_API ScriptMonitor : public RequestMonitor {
 public:
  explicit ScriptMonitor(const Client& client);
  ScriptMonitor(const Client& client, std::string_view script_name)
      : RequestMonitor(client, script_name, ClientOptions::Rusage::kProcess) {}
};

inline TimerScope RequestTimer::scope() & { return TimerScope(*this); }
inline TimerScope RequestTimer::scope() && { return TimerScope(std::move(*this)); }

template <class Function>
auto RequestTimer::wrap(Function function) && {
  return [timer = std::make_shared<RequestTimer>(std::move(*this)),
          function = std::move(function)](auto&&... args) -> decltype(auto) {
    const TimerScope scope(timer->clone());
    return std::invoke(function, std::forward<decltype(args)>(args)...);
  };
}

}  // namespace pinba
