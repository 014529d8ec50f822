#include "pinba/monitor.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "base/host_name.h"

namespace pinba {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kSpareStates = 64;
constexpr std::size_t kSpareSlots = 256;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

struct Rusage {
  double user = 0;
  double system = 0;
};

Rusage rusage_of(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {seconds_of(usage.ru_utime), seconds_of(usage.ru_stime)};
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::ranges::replace(text, '\0', ' ');
  return text;
}

struct Slot {
  std::vector<TagRef> tags;
  std::uint32_t hits = 0;
  double value = 0;
  double last = 0;  // seconds of the last run
  Rusage used;
  Clock::time_point begin;
  Rusage begin_usage;
  bool running = false;
  bool ran = false;
  bool counts = false;  // not one of before a flush
};

}  // namespace

struct __attribute__((visibility("hidden"))) Client::Core {
  Core(Sender given, ClientOptions given_options)
      : sender(std::move(given)), options(std::move(given_options)) {
    if (options.hostname.empty()) options.hostname = mmstats::host_name();
  }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  void log(std::string_view message) const {
    if (options.log && !message.empty()) options.log(message);
  }
  void fail(const char* problem) const {
    if (problem == nullptr) return;
    log(problem);
    if (options.raise_on_fail) throw MonitorError(problem);
  }
  // Adds to `news` when a count passes a power of two.
  static void tell(std::atomic<std::uint64_t>& count, std::uint64_t more, std::string_view what,
                   std::string& news) {
    if (more == 0) return;
    const std::uint64_t before = count.fetch_add(more, std::memory_order_relaxed);
    if (std::bit_width(before) == std::bit_width(before + more)) return;
    news += fmt::format("{}{} {}", news.empty() ? "" : "; ", before + more, what);
  }
  // After a request could not be sent, and that was logged.
  void fail_lost(bool lost) const {
    if (lost && options.raise_on_fail) throw MonitorError("a request was not sent: its datagram was dropped");
  }
  bool send(Encoder& encoder, const Request& request, std::string& news);

  Sender sender;
  ClientOptions options;
  std::atomic<std::uint32_t> served = 0;
  std::atomic<std::uint64_t> changed = 0;
  std::atomic<std::uint64_t> dropped = 0;
  std::atomic<std::uint64_t> left_out = 0;
  std::mutex mutex;
  std::vector<MonitorState*> spare;  // owned; their memory serves the next requests
};

// All of one request. Public functions take the mutex, the others want it held.
class MonitorState {
 public:
  explicit MonitorState(const EncodeOptions& options) : encoder(options) {}

  void begin(std::shared_ptr<Client::Core> given, std::string_view script_name) {
    core = std::move(given);
    request.script_name = script_name;
    request.hostname = core->options.hostname;
    request.server_name = core->options.server_name;
    if (!core->options.schema.empty()) request.schema = core->options.schema;
    request.status = 200;
    request.memory_footprint = 0;
    request.add_tags(core->options.tags);
    enabled = core->options.enabled;
    ended = false;
    left_out = 0;
    start();
  }

  void reset() {
    core.reset();
    request.clear();
    merge.clear();
    // Every timer gave its slot back, or this would not be called. Their memory serves again.
    if (slots.size() > kSpareSlots) {
      slots.clear();
      unused.clear();
    }
  }

  void start() {
    running = true;
    begin_usage = usage();
    begin_time = Clock::now();
  }

  void stop() {
    request.request_time = seconds(Clock::now() - begin_time);
    const Rusage now = usage();
    request.ru_utime = now.user - begin_usage.user;
    request.ru_stime = now.system - begin_usage.system;
    running = false;
    for (Slot& slot : slots) stop(slot);
  }

  [[nodiscard]] Rusage usage() const {
    switch (core->options.rusage) {
      case ClientOptions::Rusage::kProcess:
        return rusage_of(RUSAGE_SELF);
      case ClientOptions::Rusage::kThread:
        return rusage_of(RUSAGE_THREAD);
      default:
        return {};
    }
  }

  void start(Slot& slot) const {
    slot.running = slot.ran = true;
    if (core->options.timer_rusage) slot.begin_usage = rusage_of(RUSAGE_THREAD);
    slot.begin = Clock::now();
  }

  void stop(Slot& slot) const {
    if (!slot.running) return;
    slot.running = false;
    slot.last = seconds(Clock::now() - slot.begin);
    slot.value += slot.last;
    ++slot.hits;
    if (!core->options.timer_rusage) return;
    const Rusage now = rusage_of(RUSAGE_THREAD);
    slot.used.user += now.user - slot.begin_usage.user;
    slot.used.system += now.system - slot.begin_usage.system;
  }

  // Moves what a timer measured to the request.
  void count(Slot& slot) {
    if (slot.counts && slot.hits > 0) {
      if (core->options.separate_timers) {
        request.add_timer(slot.tags, slot.hits, slot.value, slot.used.user, slot.used.system);
      } else {
        merge.add(request, slot.tags, slot.hits, slot.value, slot.used.user, slot.used.system);
      }
    }
    slot.counts = false;
  }

  // None if there are too many.
  std::optional<std::uint32_t> new_slot() {
    if (ended) return std::nullopt;
    if (request.timers.size() + slots.size() - unused.size() >= core->options.max_timers) {
      ++left_out;
      return std::nullopt;
    }
    if (unused.empty()) {
      slots.emplace_back();
      unused.reserve(slots.size());  // so that giving one back cannot fail
      unused.push_back(static_cast<std::uint32_t>(slots.size() - 1));
    }
    const std::uint32_t index = unused.back();
    unused.pop_back();
    Slot& slot = slots[index];
    std::vector<TagRef> tags = std::move(slot.tags);
    tags.clear();
    slot = {};
    slot.tags = std::move(tags);
    slot.counts = true;
    return index;
  }

  // Sorted by text, each once.
  void add_tag(Slot& slot, std::string_view name, std::string_view value) {
    const TagRef added = request.intern(name, value);
    const auto text = [this](const TagRef& tag) {
      return std::pair(request.dictionary[tag.name], request.dictionary[tag.value]);
    };
    const auto place = std::ranges::lower_bound(slot.tags, text(added), {}, text);
    if (place == slot.tags.end() || *place != added) slot.tags.insert(place, added);
  }

  // What there is to log is added to `news`: that is for later, without the mutex.
  bool send(std::string& news) {
    if (running) stop();
    for (Slot& slot : slots) count(slot);
    Client::Core::tell(core->left_out, left_out, "timers were left out of requests that had too many", news);
    request.request_count = core->served.fetch_add(1, std::memory_order_relaxed);
    if (!enabled) return false;
    if (core->options.prefix.empty()) return core->send(encoder, request, news);
    request.script_name.insert(0, core->options.prefix);
    const bool sent = core->send(encoder, request, news);
    request.script_name.erase(0, core->options.prefix.size());
    return sent;
  }

  // After a flush: the dictionary keeps what the request's own tags need.
  void start_over() {
    Tags tags;
    for (const TagRef& tag : request.tags)
      tags.add(request.dictionary[tag.name], request.dictionary[tag.value]);
    request.timers.clear();
    request.timer_tags.clear();
    request.tags.clear();
    request.dictionary.clear();
    merge.clear();
    request.add_tags(tags);
    left_out = 0;
    start();
  }

  std::shared_ptr<Client::Core> core;
  std::mutex mutex;
  Request request;
  TimerMerge merge;
  Encoder encoder;
  std::vector<Slot> slots;
  std::vector<std::uint32_t> unused;  // slots
  Clock::time_point begin_time;
  Rusage begin_usage;
  std::uint64_t left_out = 0;
  bool running = false;
  bool enabled = true;
  bool ended = true;
};

namespace {

// A state from the spare ones, or a new one; it goes back there when nobody uses it any more. Nobody waits
// for the mutex: after fork() it might never be free.
std::shared_ptr<MonitorState> new_state(const std::shared_ptr<Client::Core>& core) {
  std::unique_ptr<MonitorState> state;
  {
    const std::unique_lock lock(core->mutex, std::try_to_lock);
    if (lock && !core->spare.empty()) {
      state.reset(core->spare.back());
      core->spare.pop_back();
    }
  }
  if (!state) state = std::make_unique<MonitorState>(core->options.encode);
  const auto give_back = [](MonitorState* used) {
    const std::shared_ptr<Client::Core> owner = std::move(used->core);
    std::unique_ptr<MonitorState> owned(used);
    if (!owner) return;
    owned->reset();
    const std::unique_lock lock(owner->mutex, std::try_to_lock);
    if (lock && owner->spare.size() < kSpareStates) owner->spare.push_back(owned.release());
  };
  return {state.release(), give_back};
}

}  // namespace

Client::Core::~Core() {
  for (MonitorState* state : spare) delete state;
}

bool Client::Core::send(Encoder& encoder, const Request& request, std::string& news) {
  const auto datagrams = encoder.encode(request);
  Changes changes = encoder.changes();
  changes.filled = 0;  // a name that was not set is nothing to tell
  if (changes.any()) tell(changed, 1, "requests were changed to be safe for servers", news);
  const std::size_t lost = datagrams.size() - sender.send(datagrams, request.script_name);
  tell(dropped, lost, "datagrams were dropped", news);
  return lost == 0;
}

// ---- Client

mmstats::Expected<Client> Client::make(SenderOptions servers, ClientOptions options) {
  auto sender = Sender::make(std::move(servers));
  if (!sender) return tl::unexpected(std::move(sender.error()));
  auto core = std::make_shared<Core>(std::move(*sender), std::move(options));
  core->spare.reserve(kSpareStates);
  return Client(std::move(core));
}

Sender& Client::sender() const { return core_->sender; }
const ClientOptions& Client::options() const { return core_->options; }

bool Client::send(const Request& request) const noexcept {
  try {
    Encoder encoder(core_->options.encode);
    std::string news;
    const bool sent = core_->send(encoder, request, news);
    core_->log(news);
    return sent;
  } catch (const std::exception&) {
    return false;
  }
}

// ---- RequestTimer

RequestTimer& RequestTimer::operator=(RequestTimer&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    slot_ = other.slot_;
  }
  return *this;
}

void RequestTimer::release() noexcept {
  if (!state_) return;
  {
    const std::lock_guard lock(state_->mutex);
    Slot& slot = state_->slots[slot_];
    state_->stop(slot);
    try {
      if (!state_->ended) state_->count(slot);
    } catch (const std::bad_alloc&) {
      ++state_->left_out;
    }
    slot.counts = false;
    state_->unused.push_back(slot_);
  }
  state_.reset();
}

void RequestTimer::stop_if_running() noexcept {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  state_->stop(state_->slots[slot_]);
}

void RequestTimer::start() {
  if (!state_) return;
  const char* problem = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    Slot& slot = state_->slots[slot_];
    if (slot.running) {
      problem = "a timer was started that runs already";
    } else {
      state_->start(slot);
    }
  }
  state_->core->fail(problem);
}

void RequestTimer::stop() {
  if (!state_) return;
  const char* problem = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    Slot& slot = state_->slots[slot_];
    if (slot.running) {
      state_->stop(slot);
    } else {
      problem = "a timer was stopped that does not run";
    }
  }
  state_->core->fail(problem);
}

bool RequestTimer::started() const {
  if (!state_) return false;
  const std::lock_guard lock(state_->mutex);
  return state_->slots[slot_].running;
}

std::optional<double> RequestTimer::elapsed() const {
  if (!state_) return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  const Slot& slot = state_->slots[slot_];
  if (!slot.ran) return std::nullopt;
  return slot.running ? seconds(Clock::now() - slot.begin) : slot.last;
}

RequestTimer RequestTimer::clone() const {
  if (!state_) return {};
  const std::lock_guard lock(state_->mutex);
  // The dictionary of one from before a flush is gone.
  if (!state_->slots[slot_].counts) return {};
  const auto slot = state_->new_slot();
  if (!slot) return {};
  state_->slots[*slot].tags = state_->slots[slot_].tags;
  return {state_, *slot};
}

void RequestTimer::discard() {
  if (!state_) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->slots[slot_].counts = false;
  }
  release();
}

// ---- RequestMonitor

RequestMonitor::RequestMonitor(const Client& client, std::string_view script_name)
    : state_(new_state(client.core_)) {
  state_->begin(client.core_, script_name);
}

ScriptMonitor::ScriptMonitor(const Client& client) : RequestMonitor(client, command_line()) {}

RequestMonitor& RequestMonitor::operator=(RequestMonitor&& other) noexcept {
  if (this != &other) {
    finish();
    state_ = std::move(other.state_);
    owner_ = other.owner_;
  }
  return *this;
}

void RequestMonitor::finish() noexcept {
  if (!state_ || !owner_) return;
  try {
    send();
  } catch (const std::exception&) {
    const std::lock_guard lock(state_->mutex);
    state_->ended = true;
  }
}

void RequestMonitor::set_script_name(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  state_->request.script_name = name;
}
void RequestMonitor::set_hostname(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  state_->request.hostname = name;
}
void RequestMonitor::set_server_name(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  state_->request.server_name = name;
}
void RequestMonitor::set_schema(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  state_->request.schema = name;
}
void RequestMonitor::set_status(std::uint32_t status) {
  const std::lock_guard lock(state_->mutex);
  state_->request.status = status;
}
void RequestMonitor::set_document_size(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->request.document_size = bytes;
}
void RequestMonitor::set_memory_peak(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->request.memory_peak = bytes;
}
void RequestMonitor::set_memory_footprint(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->request.memory_footprint = bytes;
}
void RequestMonitor::add_tags(const Tags& tags) {
  const std::lock_guard lock(state_->mutex);
  state_->request.add_tags(tags);
}
void RequestMonitor::set_enabled(bool enabled) {
  const std::lock_guard lock(state_->mutex);
  state_->enabled = enabled;
}

RequestTimer RequestMonitor::timer(std::initializer_list<Tags::Tag> tags) const {
  RequestTimer made;  // outlives the lock
  const std::lock_guard lock(state_->mutex);
  const auto slot = state_->new_slot();
  if (!slot) return made;
  made = RequestTimer(state_, *slot);
  for (const Tags::Tag& tag : tags) {
    tag.visit([&](std::string_view name, std::string_view value) {
      state_->add_tag(state_->slots[*slot], name, value);
    });
  }
  return made;
}

RequestTimer RequestMonitor::timer(const Tags& tags) const {
  RequestTimer made;
  const std::lock_guard lock(state_->mutex);
  const auto slot = state_->new_slot();
  if (!slot) return made;
  made = RequestTimer(state_, *slot);
  for (const auto& [name, value] : tags.pairs()) {
    state_->slots[*slot].tags.push_back(state_->request.intern(name, value));
  }
  return made;
}

void RequestMonitor::add_timer(const Tags& tags, std::uint64_t hit_count, double seconds) {
  const std::lock_guard lock(state_->mutex);
  if (state_->ended) return;
  if (state_->request.timers.size() >= state_->core->options.max_timers) {
    ++state_->left_out;
  } else if (state_->core->options.separate_timers) {
    state_->request.add_timer(tags, hit_count, seconds);
  } else {
    state_->merge.add(state_->request, tags, hit_count, seconds);
  }
}

void RequestMonitor::start() {
  const char* problem = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->running || state_->ended) {
      problem =
          state_->ended ? "a request was started that was sent" : "a request was started that runs already";
    } else {
      state_->start();
    }
  }
  state_->core->fail(problem);
}

void RequestMonitor::stop() {
  const char* problem = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->running) {
      state_->stop();
    } else {
      problem = "a request was stopped that does not run";
    }
  }
  state_->core->fail(problem);
}

bool RequestMonitor::started() const {
  const std::lock_guard lock(state_->mutex);
  return state_->running;
}

double RequestMonitor::elapsed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->running ? seconds(Clock::now() - state_->begin_time) : state_->request.request_time;
}

void RequestMonitor::flush() {
  std::string news;
  bool lost = false;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->ended) return;
    lost = !state_->send(news) && state_->enabled;
    state_->start_over();
  }
  state_->core->log(news);
  state_->core->fail_lost(lost);
}

bool RequestMonitor::send() {
  std::string news;
  bool sent = false;
  bool lost = false;
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->ended, true)) return false;
    sent = state_->send(news);
    lost = !sent && state_->enabled;
  }
  state_->core->log(news);
  state_->core->fail_lost(lost);
  return sent;
}

void RequestMonitor::discard() {
  const std::lock_guard lock(state_->mutex);
  state_->running = false;
  state_->ended = true;
}

// ---- the current request

struct CurrentScope::Entry {
  std::shared_ptr<MonitorState> state;
  std::atomic<bool> over = false;
};

namespace {

using Entries = std::vector<std::shared_ptr<CurrentScope::Entry>>;

// Those of this thread; scopes that ended elsewhere, or not in order, go when they are on top.
Entries& entries() {
  thread_local Entries all;
  while (!all.empty() && all.back()->over.load(std::memory_order_acquire)) all.pop_back();
  return all;
}

}  // namespace

CurrentScope::CurrentScope(const RequestMonitor& request) : entry_(std::make_shared<Entry>()) {
  entry_->state = request.state_;
  entries().push_back(entry_);
}

CurrentScope::~CurrentScope() {
  entry_->over.store(true, std::memory_order_release);
  entries();
}

std::optional<RequestMonitor> current_request() {
  const Entries& all = entries();
  if (all.empty()) return std::nullopt;
  return RequestMonitor(all.back()->state, false);
}

RequestTimer timer(std::initializer_list<Tags::Tag> tags) {
  const auto request = current_request();
  return request ? request->timer(tags) : RequestTimer();
}

}  // namespace pinba
