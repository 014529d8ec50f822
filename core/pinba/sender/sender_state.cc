#include "pinba/sender/sender_state.h"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "pinba/sender/look_up.h"
#include "pinba/sender/quiet_thread.h"

namespace pinba {
namespace {

using Clock = Destination::Clock;

constexpr std::chrono::milliseconds kClosing{200};  // that the last bursts of a full queue may take

// All senders of the process: at a fork() no thread of the parent may be inside of one.
template <class State>
class Forks {
 public:
  static Forks& all() {
    static auto* forks = new Forks;  // never destroyed: senders may be static objects
    return *forks;
  }
  void add(State* state) {
    const std::lock_guard lock(mutex_);
    states_.push_back(state);
  }
  void remove(State* state) {
    const std::lock_guard lock(mutex_);
    std::erase(states_, state);
  }

 private:
  Forks() { ::pthread_atfork(before, in_parent, in_child); }
  static void before() {
    all().mutex_.lock();
    for (State* state : all().states_) state->mutex.lock();
  }
  static void in_parent() {
    for (State* state : all().states_) state->mutex.unlock();
    all().mutex_.unlock();
  }
  static void in_child() {
    for (State* state : all().states_) {
      state->become_child();
      state->mutex.unlock();
    }
    all().mutex_.unlock();
  }

  std::mutex mutex_;
  std::vector<State*> states_;
};

}  // namespace

void Sender::State::start() {
  Forks<State>::all().add(this);
  const std::lock_guard lock(mutex);
  has_names = std::ranges::any_of(servers, &Destination::is_name);
  if (has_names) need_worker();
}

void Sender::State::close() {
  Forks<State>::all().remove(this);
  {
    std::unique_lock lock(mutex);
    if (std::exchange(closed_, true)) return;
    const auto deadline = Clock::now() + kClosing;
    while (!drain_all()) {
      const auto now = Clock::now();
      const auto pausing = [now](const Destination& server) { return server.is_pausing(now); };
      if (now >= deadline || std::ranges::none_of(servers, pausing)) break;
      wake.wait_until(lock, std::min(deadline, now + options.burst_pause));
    }
    for (Destination& server : servers) server.drop_all();
  }
  wake.notify_all();
  if (worker_.joinable()) worker_.join();
}

// Its threads are not there any more, so what belongs to them is not destroyed but begun anew.
void Sender::State::become_child() {
  new (&wake) std::condition_variable;
  new (&worker_) std::thread;
  working = false;
  ++process_;
  for (Destination& server : servers) server.become_child();
}

bool Sender::State::need_worker() {
  if (closed_) return false;
  if (!working) {
    working = start_quiet_thread(worker_, [this] { work(); });
  } else {
    wake.notify_all();
  }
  return working;
}

// Afterwards the worker may have to look the name up, to try again, or to ask for a refusal, earlier than it
// knows.
bool Sender::State::drain(Destination& server) {
  const auto resolve_at = server.resolve_at();
  const auto send_at = server.send_at();
  const auto ask_at = server.ask_at();
  const bool all = server.drain();
  if (server.resolve_at() != resolve_at || server.ask_at() < ask_at || (!all && server.send_at() < send_at)) {
    need_worker();
  }
  return all;
}

bool Sender::State::drain_all(bool ask_again) {
  bool all = true;
  for (Destination& server : servers) {
    all &= drain(server);
    const auto resolve_at = server.resolve_at();
    const auto ask_at = server.ask_at();
    server.take_refusals(ask_again);
    if (server.resolve_at() != resolve_at || server.ask_at() < ask_at) need_worker();
  }
  return all;
}

void Sender::State::work() {
  std::unique_lock lock(mutex);
  while (!closed_) {
    const auto now = Clock::now();
    auto next = now + std::chrono::hours(1);
    for (std::size_t i = 0; i < servers.size(); ++i) {
      Destination& server = servers[i];
      if (server.is_name() && !server.resolving() && server.resolve_at() <= now) start_look_up(i);
      if (server.waiting() > 0 && server.has_address() && (server.send_at() > now || !server.drain())) {
        next = std::min(next, server.send_at());
      }
      server.ask(now);
      next = std::min(next, server.ask_at());
      if (server.is_name() && !server.resolving()) next = std::min(next, server.resolve_at());
    }
    wake.wait_until(lock, next);
  }
}

void Sender::State::start_look_up(std::size_t index) {
  Destination& server = servers[index];
  server.look_up_begins();
  std::thread thread;
  const bool started = start_quiet_thread(thread, [state = shared_from_this(), index, host = server.host(),
                                                   port = server.port(), of_process = process_] {
    std::vector<Address> found;
    try {
      found =
          state->options.resolve ? state->options.resolve(host, port) : look_up(host, port, AI_ADDRCONFIG);
    } catch (...) {
      found.clear();  // NOLINT(bugprone-empty-catch): as if not found
    }
    state->looked_up(index, of_process, std::move(found));
  });
  if (started) {
    // It may take as long as a dead name server lets it, and nobody waits for it.
    thread.detach();
  } else {
    server.look_up_failed();
  }
}

void Sender::State::looked_up(std::size_t index, std::uint64_t of_process, std::vector<Address> found) {
  const std::lock_guard lock(mutex);
  if (closed_ || of_process != process_) return;
  if (found.empty()) {
    servers[index].look_up_failed();
  } else {
    servers[index].found(std::move(found));
  }
  wake.notify_all();
}

}  // namespace pinba
