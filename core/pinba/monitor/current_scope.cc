#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "pinba/monitor.h"
#include "pinba/monitor/monitor_state.h"

namespace pinba {

constinit thread_local const detail::CurrentTop* detail::current_top = nullptr;

// Its thread and its scope refer to it, whichever ends first.
struct CurrentScope::Entry : detail::CurrentTop {
  std::shared_ptr<MonitorState> state;
  std::atomic<int> users = 2;

  void release() {
    if (users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

namespace {

using Entry = CurrentScope::Entry;

// Set at the thread's end, where a scope may belong to another object of the thread, which ends later.
constinit thread_local bool is_room_gone = false;

// The scopes of a thread. Those that ended elsewhere, or not in order, go when they are on top.
class ScopeRoom {
 public:
  ScopeRoom() = default;
  ScopeRoom(const ScopeRoom&) = delete;
  ScopeRoom& operator=(const ScopeRoom&) = delete;
  ~ScopeRoom() {
    is_room_gone = true;
    detail::current_top = nullptr;
    for (Entry* entry : entries_) entry->release();
  }

  std::unique_ptr<Entry> new_entry() { return spare_ ? std::move(spare_) : std::make_unique<Entry>(); }
  void push(Entry* entry) {
    entries_.push_back(entry);
    detail::current_top = entry;
  }
  // False if it is not on top. Nobody else knows one that is.
  bool pop(Entry* entry) {
    if (entries_.empty() || entries_.back() != entry) return false;
    entries_.pop_back();
    entry->state.reset();
    spare_.reset(entry);
    top();
    return true;
  }
  Entry* top() {
    while (!entries_.empty() && entries_.back()->over.load(std::memory_order_acquire)) {
      entries_.back()->release();
      entries_.pop_back();
    }
    Entry* const now = entries_.empty() ? nullptr : entries_.back();
    detail::current_top = now;
    return now;
  }

 private:
  std::vector<Entry*> entries_;
  std::unique_ptr<Entry> spare_;
};
thread_local ScopeRoom room;

Entry* innermost() { return is_room_gone ? nullptr : room.top(); }

}  // namespace

CurrentScope::CurrentScope(const RequestMonitor& request) {
  // The scope has it, which the analyzer does not see.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
  std::unique_ptr<Entry> entry = is_room_gone ? std::make_unique<Entry>() : room.new_entry();
  entry->state = request.state_;
  entry->is_on = request.state_ ? &request.state_->on_flag() : nullptr;
  if (is_room_gone) {
    entry->users = 1;
  } else {
    room.push(entry.get());
  }
  entry_ = entry.release();
}

CurrentScope::~CurrentScope() {
  if (!is_room_gone && room.pop(entry_)) return;
  entry_->over.store(true, std::memory_order_release);
  entry_->release();
  innermost();
}

std::optional<RequestMonitor> current_request() {
  const Entry* entry = innermost();
  if (entry == nullptr) return std::nullopt;
  return RequestMonitor(entry->state, false);
}

RequestTimer detail::timer(std::initializer_list<Tags::Tag> tags) {
  const auto request = current_request();
  return request ? request->timer(tags) : RequestTimer();
}

RequestTimer detail::timer(const Tags& tags) {
  const auto request = current_request();
  return request ? request->timer(tags) : RequestTimer();
}

}  // namespace pinba
