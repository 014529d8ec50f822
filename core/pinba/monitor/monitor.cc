#include "pinba/monitor.h"

#include <algorithm>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/guest_call.h"
#include "pinba/monitor/monitor_state.h"

namespace pinba {
namespace {

std::string command_line() {
  const mmstats::GuestCall guest;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::ranges::replace(text, '\0', ' ');
  return text;
}

}  // namespace

RequestMonitor::RequestMonitor(const Client& client, std::string_view script_name,
                               ClientOptions::Rusage usual)
    : state_(new_state(client.core_)) {
  state_->begin(client.core_, script_name, usual);
}

ScriptMonitor::ScriptMonitor(const Client& client) : ScriptMonitor(client, command_line()) {}

RequestMonitor& RequestMonitor::operator=(RequestMonitor&& other) noexcept {
  if (this != &other) {
    finish();
    state_ = std::move(other.state_);
    owner_ = other.owner_;
  }
  return *this;
}

void RequestMonitor::finish() noexcept {
  if (!state_ || !owner_ || (!state_->is_on() && end_if_off(state_))) return;
  const mmstats::GuestCall guest;
  try {
    send();
  } catch (const std::exception&) {
    const std::lock_guard lock(state_->mutex);
    state_->ended = true;
  }
}

void RequestMonitor::set_script_name(std::string_view name) {
  if (!state_) return;
  const auto lock = state_->changing();
  state_->request.script_name = name;
  state_->has_script_name = true;
}
void RequestMonitor::set_hostname(std::string_view name) {
  if (state_) state_->set(&Request::hostname, name);
}
void RequestMonitor::set_server_name(std::string_view name) {
  if (state_) state_->set(&Request::server_name, name);
}
void RequestMonitor::set_schema(std::string_view name) {
  if (state_) state_->set(&Request::schema, name);
}
void RequestMonitor::set_status(std::uint32_t status) {
  if (state_) state_->set(&Request::status, status);
}
void RequestMonitor::set_document_size(std::uint64_t bytes) {
  if (!state_) return;
  const auto lock = state_->changing();
  state_->request.document_size = bytes;
  state_->has_document_size = true;
}
void RequestMonitor::answered(std::uint64_t body_bytes, std::string_view route) {
  if (!state_) return;
  const auto lock = state_->changing();
  if (!state_->has_document_size) state_->request.document_size = body_bytes;
  if (!state_->has_script_name && !route.empty()) state_->request.script_name = route;
}
void RequestMonitor::set_memory_peak(std::uint64_t bytes) {
  if (state_) state_->set(&Request::memory_peak, bytes);
}
void RequestMonitor::set_memory_footprint(std::uint64_t bytes) {
  if (state_) state_->set(&Request::memory_footprint, bytes);
}
void RequestMonitor::add_tags(const Tags& tags) {
  if (!state_) return;
  const auto lock = state_->changing();
  state_->request.set_tags(tags);
}
void RequestMonitor::set_enabled(bool enabled) {
  if (!state_) return;
  const auto lock = state_->changing();
  if (enabled && !state_->ended && !state_->is_on()) state_->turn_on();
  state_->enabled = enabled;
}

RequestTimer RequestMonitor::timer(std::initializer_list<Tags::Tag> tags) const {
  RequestTimer made;  // outlives the lock
  if (!state_ || !state_->is_on()) return made;
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
  if (!state_ || !state_->is_on()) return made;
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
  if (!state_ || !state_->is_on()) return;
  const std::lock_guard lock(state_->mutex);
  if (state_->ended) return;
  if (state_->request.timers.size() >= state_->core->options.max_timers) {
    ++state_->left_out;
  } else {
    state_->merge.add(state_->request, tags, hit_count, seconds);
  }
}

void RequestMonitor::start() {
  if (!state_) return;
  state_->core->fail([this]() -> const char* {
    const auto lock = state_->changing();
    if (state_->ended) return "a request was started after it was sent";
    if (state_->running) return "a request was started while it runs";
    state_->start();
    return nullptr;
  }());
}

void RequestMonitor::stop() {
  if (!state_) return;
  state_->core->fail([this]() -> const char* {
    const auto lock = state_->changing();
    if (!state_->running) return "a request was stopped while it does not run";
    state_->stop();
    return nullptr;
  }());
}

bool RequestMonitor::started() const {
  return state_ && state_->locked([this] { return state_->running; });
}

double RequestMonitor::elapsed() const {
  if (!state_) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->running && state_->is_on() ? seconds(Clock::now() - state_->begin_time)
                                            : state_->request.request_time;
}

void RequestMonitor::flush() {
  const mmstats::GuestCall guest;
  if (!state_) return;
  std::string news;
  bool lost = false;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->ended || !state_->is_on()) return;
    lost = !state_->send(news) && state_->enabled;
    state_->start_over();
  }
  state_->core->log(news);
  state_->core->fail_lost(lost);
}

bool RequestMonitor::send() {
  const mmstats::GuestCall guest;
  if (!state_) return false;
  std::string news;
  bool sent = false;
  bool lost = false;
  {
    const auto lock = state_->changing();
    if (std::exchange(state_->ended, true) || !state_->is_on()) return false;
    sent = state_->send(news);
    lost = !sent && state_->enabled;
  }
  state_->core->log(news);
  state_->core->fail_lost(lost);
  return sent;
}

void RequestMonitor::discard() {
  if (!state_) return;
  const auto lock = state_->changing();
  state_->running = false;
  state_->ended = true;
}

}  // namespace pinba
