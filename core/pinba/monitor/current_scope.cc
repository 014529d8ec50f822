#include <atomic>
#include <memory>
#include <vector>

#include "pinba/monitor.h"

namespace pinba {

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

RequestTimer timer(const Tags& tags) {
  const auto request = current_request();
  return request ? request->timer(tags) : RequestTimer();
}

}  // namespace pinba
