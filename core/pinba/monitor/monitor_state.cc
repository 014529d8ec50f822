#include "pinba/monitor/monitor_state.h"

#include <sys/resource.h>

#include <algorithm>
#include <new>
#include <utility>

#include "pinba/value_bucket.h"

namespace pinba {
namespace {

constexpr std::size_t kSpareSlots = 256;  // that a state keeps

// Of each thread, for the next request that measures nothing. Set at the thread's end, when requests may
// still be there.
constinit thread_local bool is_off_room_gone = false;
struct OffRoom {
  std::shared_ptr<MonitorState> spare;

  OffRoom() = default;
  OffRoom(const OffRoom&) = delete;
  OffRoom& operator=(const OffRoom&) = delete;
  ~OffRoom() { is_off_room_gone = true; }
};
thread_local OffRoom off_room;

Rusage rusage_of(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {seconds_of(usage.ru_utime), seconds_of(usage.ru_stime)};
}

// What was used since `begin`; none if that cannot be known, as the time is that of another thread.
Rusage used_since(const Rusage& begin, const Rusage& now, bool same_thread) {
  if (!same_thread) return {};
  return {std::max(now.user - begin.user, 0.0), std::max(now.system - begin.system, 0.0)};
}

}  // namespace

void MonitorState::begin(std::shared_ptr<Client::Core> given, std::string_view script_name,
                         ClientOptions::Rusage usual) {
  core = std::move(given);
  whose = core->options.rusage == ClientOptions::Rusage::kDefault ? usual : core->options.rusage;
  request.script_name = script_name;
  enabled = core->options.enabled;
  ended = false;
  has_script_name = has_document_size = false;
  left_out = 0;
  is_on_.store(enabled, std::memory_order_relaxed);
  if (enabled) set_defaults();
  start();
}

void MonitorState::set_defaults() {
  const ClientOptions& options = core->options;
  if (request.hostname.empty()) request.hostname = options.hostname;
  if (request.server_name.empty()) request.server_name = options.server_name;
  if (!request.schema && !options.schema.empty()) request.schema = options.schema;
  if (!request.status) request.status = 200;
  if (!request.memory_footprint) request.memory_footprint = 0;
  if (request.tags.empty()) return request.add_tags(options.tags);
  const Tags own = own_tags();
  request.tags.clear();
  request.add_tags(options.tags);
  request.set_tags(own);
}

Tags MonitorState::own_tags() const {
  Tags tags;
  for (const TagRef& tag : request.tags) {
    tags.add(request.dictionary[tag.name], request.dictionary[tag.value]);
  }
  return tags;
}

void MonitorState::turn_on() {
  // It may have served another client.
  merge = TimerMerge(core->options.equal_timers);
  encoder = Encoder(core->options.encode);
  set_defaults();
  is_on_.store(true, std::memory_order_relaxed);
  if (running) start();
}

void MonitorState::reset() {
  core.reset();
  is_changed_.store(false, std::memory_order_relaxed);
  request.clear();
  merge.clear();
  // Every timer gave its slot back, or this would not be called. Their memory serves again.
  if (slots.size() > kSpareSlots) {
    slots.clear();
    unused.clear();
  }
}

void MonitorState::start() {
  running = true;
  if (!is_on()) return;
  thread = std::this_thread::get_id();
  begin_usage = usage();
  begin_time = Clock::now();
}

void MonitorState::stop() {
  running = false;
  if (!is_on()) return;
  request.request_time = seconds(Clock::now() - begin_time);
  const bool same_thread = whose != ClientOptions::Rusage::kThread || thread == std::this_thread::get_id();
  const Rusage used = used_since(begin_usage, usage(), same_thread);
  request.ru_utime = used.user;
  request.ru_stime = used.system;
  for (Slot& slot : slots) stop(slot);
}

Rusage MonitorState::usage() const {
  switch (whose) {
    case ClientOptions::Rusage::kProcess:
      return rusage_of(RUSAGE_SELF);
    case ClientOptions::Rusage::kThread:
      return rusage_of(RUSAGE_THREAD);
    default:
      return {};
  }
}

void MonitorState::start(Slot& slot) const {
  slot.running = slot.ran = true;
  if (core->options.timer_rusage) {
    slot.thread = std::this_thread::get_id();
    slot.begin_usage = rusage_of(RUSAGE_THREAD);
  }
  slot.begin = Clock::now();
}

void MonitorState::stop(Slot& slot) const {
  if (!slot.running) return;
  slot.running = false;
  slot.last = seconds(Clock::now() - slot.begin);
  TimerRuns run{.hits = 1, .value = slot.last, .used = {}};
  if (core->options.timer_rusage) {
    run.used =
        used_since(slot.begin_usage, rusage_of(RUSAGE_THREAD), slot.thread == std::this_thread::get_id());
  }
  if (slot.runs.hits == 0 || core->options.equal_timers != EqualTimers::kByValue) return slot.runs.add(run);
  try {
    part_of(slot.more, bucket_of(slot.last), TimerMerge::kMostEntries).add(run);
  } catch (const std::bad_alloc&) {
    slot.runs.add(run);
  }
}

void MonitorState::count(Slot& slot) {
  if (slot.counts) {
    const auto add = [&](const TimerRuns& runs) {
      merge.add(request, slot.tags, runs.hits, runs.value, runs.used.user, runs.used.system);
    };
    if (request.timers.size() + slot.more.size() >= core->options.max_timers) {
      for (const TimerRuns& runs : slot.more) slot.runs.add(runs);
      slot.more.clear();
    }
    add(slot.runs);
    for (const TimerRuns& runs : slot.more) add(runs);
  }
  slot.counts = false;
}

std::optional<std::uint32_t> MonitorState::new_slot() {
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

void MonitorState::add_tag(Slot& slot, std::string_view name, std::string_view value) {
  const TagRef added = request.intern(name, value);
  const auto text = [this](const TagRef& tag) {
    return std::pair(request.dictionary[tag.name], request.dictionary[tag.value]);
  };
  const auto place = std::ranges::lower_bound(slot.tags, text(added), {}, text);
  if (place == slot.tags.end() || *place != added) slot.tags.insert(place, added);
}

bool MonitorState::send(std::string& news) {
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

void MonitorState::start_over() {
  const Tags tags = own_tags();
  request.timers.clear();
  request.timer_tags.clear();
  request.tags.clear();
  request.dictionary.clear();
  merge.clear();
  request.add_tags(tags);
  left_out = 0;
  start();
}

std::shared_ptr<MonitorState> new_state(const std::shared_ptr<Client::Core>& core) {
  std::unique_ptr<MonitorState> state;
  if (!core->options.enabled) {
    if (!is_off_room_gone && off_room.spare) return std::move(off_room.spare);
  } else {
    const std::unique_lock lock(core->mutex, std::try_to_lock);
    if (lock && !core->spare.empty()) {
      state.reset(core->spare.back());
      core->spare.pop_back();
    }
  }
  if (!state) state = std::make_unique<MonitorState>(core->options);
  const auto give_back = [](MonitorState* used) {
    const std::shared_ptr<Client::Core> owner = std::move(used->core);
    std::unique_ptr<MonitorState> owned(used);
    if (!owner || !owner->options.enabled) return;
    owned->reset();
    const std::unique_lock lock(owner->mutex, std::try_to_lock);
    if (lock && owner->spare.size() < kSpareStates) owner->spare.push_back(owned.release());
  };
  return {state.release(), give_back};
}

bool end_if_off(std::shared_ptr<MonitorState>& state) {
  // What nobody changed, and nobody can change any more, is as it was.
  if (state.use_count() == 1 && !is_off_room_gone) {
#if !defined(__SANITIZE_THREAD__)                         // it knows no fences
    std::atomic_thread_fence(std::memory_order_acquire);  // after those who had it
#endif
    if (!state->is_changed()) {
      state->core.reset();
      off_room.spare = std::move(state);
      return true;
    }
  }
  {
    const std::lock_guard lock(state->mutex);
    if (state->is_on()) return false;
    state->ended = true;
    if (is_off_room_gone || state.use_count() != 1) return true;
    state->reset();
  }
  off_room.spare = std::move(state);
  return true;
}

}  // namespace pinba
