// All that is measured of one request, whoever holds a part of it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pinba/monitor.h"
#include "pinba/monitor/client_core.h"

namespace pinba {

inline constexpr std::size_t kSpareStates = 64;  // that a client keeps

using Clock = std::chrono::steady_clock;
inline double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

struct Rusage {
  double user = 0;
  double system = 0;
};

// Runs of a timer that took about the same time.
struct TimerRuns {
  int bucket = 0;
  std::uint32_t hits = 0;
  double value = 0;
  Rusage used;
  void add(const TimerRuns& other) {
    hits += other.hits;
    value += other.value;
    used.user += other.used.user;
    used.system += other.used.system;
  }
};

// A timer's place in its request.
struct Slot {
  std::vector<TagRef> tags;
  TimerRuns runs;               // the first, or all, as ClientOptions::equal_timers says
  std::vector<TimerRuns> more;  // sorted by their bucket
  double last = 0;              // seconds of the last run
  Clock::time_point begin;
  Rusage begin_usage;
  std::thread::id thread;  // that started it
  bool running = false;
  bool ran = false;
  bool counts = false;  // not one of before a flush
};

// Functions want the mutex held, but for those marked.
class MonitorState {
 public:
  explicit MonitorState(const ClientOptions& options)
      : merge(options.equal_timers), encoder(options.encode) {}

  // Calls with the mutex held, which it takes.
  template <class Call>
  auto locked(Call call) {
    const std::lock_guard lock(mutex);
    return call();
  }
  // Takes the mutex, for who changes something.
  [[nodiscard]] std::lock_guard<std::mutex> changing() {
    is_changed_.store(true, std::memory_order_release);
    return std::lock_guard(mutex);
  }
  // Sets one field of the request; takes the mutex.
  template <class Field, class Value>
  void set(Field Request::* field, const Value& value) {
    const auto lock = changing();
    request.*field = value;
  }

  void begin(std::shared_ptr<Client::Core> given, std::string_view script_name, ClientOptions::Rusage usual);
  // Whether it measures: not so with a client that is not enabled, until turn_on(). Needs no mutex.
  [[nodiscard]] bool is_on() const { return is_on_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::atomic<bool>& on_flag() const { return is_on_; }
  // Whether there was a changing() since reset(), for who alone has it. Needs no mutex.
  [[nodiscard]] bool is_changed() const { return is_changed_.load(std::memory_order_relaxed); }
  void turn_on();
  void reset();
  void start();
  void stop();
  void start(Slot& slot) const;
  void stop(Slot& slot) const;
  void count(Slot& slot);                   // moves what a timer measured to the request
  std::optional<std::uint32_t> new_slot();  // none if there are too many
  // Tags of a slot are sorted by text, each once.
  void add_tag(Slot& slot, std::string_view name, std::string_view value);
  // What there is to log is added to `news`: that is for later, without the mutex.
  bool send(std::string& news);
  // After a flush: the dictionary keeps what the request's own tags need.
  void start_over();

  std::shared_ptr<Client::Core> core;
  std::mutex mutex;
  Request request;
  TimerMerge merge;
  Encoder encoder;
  std::vector<Slot> slots;
  std::vector<std::uint32_t> unused;  // slots
  Clock::time_point begin_time;
  Rusage begin_usage;
  ClientOptions::Rusage whose = ClientOptions::Rusage::kNone;
  std::thread::id thread;  // that started it
  std::uint64_t left_out = 0;
  bool running = false;
  bool enabled = true;
  bool ended = true;
  bool has_script_name = false;  // since it began
  bool has_document_size = false;

 private:
  void set_defaults();  // what the client's options say of what was not set
  [[nodiscard]] Tags own_tags() const;
  [[nodiscard]] Rusage usage() const;

  std::atomic<bool> is_on_ = false;
  std::atomic<bool> is_changed_ = false;
};

// A state from the spare ones, or a new one; it goes back there when nobody uses it any more. Nobody waits
// for the mutex: after fork() it might never be free.
std::shared_ptr<MonitorState> new_state(const std::shared_ptr<Client::Core>& core);

// The end of one that measured nothing: it serves the next such request of this thread, if nobody else has
// it. False, and nothing happened, if it was turned on meanwhile.
bool end_if_off(std::shared_ptr<MonitorState>& state);

}  // namespace pinba
