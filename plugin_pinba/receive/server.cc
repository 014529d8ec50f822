#include "plugin_pinba/receive/server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <exception>
#include <functional>
#include <iterator>
#include <new>
#include <utility>

#include "base/failure.h"
#include "pinba/listen.h"

namespace mmstats::receive {
namespace {

LastLinesOptions lines_at(const Config& config, std::string_view name, std::size_t bytes) {
  return {.path = config.fixed.state_folder + '/' + std::string(name), .most_bytes = bytes};
}

void add_growth(const Counter& counter, std::uint64_t now, std::uint64_t& before) {
  counter.incr(now - std::exchange(before, now));
}

}  // namespace

Expected<std::shared_ptr<Plan>> Plan::make(const Config& config, LastLines& slow_lines,
                                           const Plan* previous) {
  auto plan = std::make_shared<Plan>();
  plan->allowed = config.allowed;
  plan->rewrites = config.rewrites;
  plan->forward = config.forward;
  if (config.slow) plan->slow.emplace(SlowLogOptions{.seconds = *config.slow}, slow_lines);
  if (previous != nullptr && previous->forward == plan->forward) {
    plan->tee = previous->tee;
  } else if (!plan->forward.empty()) {
    auto tee = Tee::make(plan->forward);
    if (!tee) return tl::unexpected(std::move(tee.error()));
    plan->tee = std::make_shared<Tee>(std::move(*tee));
  }
  return plan;
}

struct Server::Worker {
  PacketReader reader;
  std::shared_ptr<Plan> plan;
  std::uint64_t number = 0;  // of the plan
  Reports::Caches caches;
  Rewrites::Texts texts;
};

Server::Server(const Config& config)
    : stats_(config.reports.prefix),
      slow_lines_(lines_at(config, kSlowFile, config.fixed.slow_bytes)),
      bad_lines_(lines_at(config, kBadPacketsFile, std::size_t{1} << 20U)),
      bad_({}, bad_lines_),
      reports_(config.reports),
      expire_(config.expire) {}

Server::~Server() {
  if (ends_) ::eventfd_write(ends_.get(), 1);
  for (auto& thread : threads_) thread.join();
  try {
    // What went wrong was told when it began.
    static_cast<void>(tend());
  } catch (const std::bad_alloc&) {
    // It ends all the same.
  }
}

Expected<void> Server::start(const Config& config) {
  auto plan = Plan::make(config, slow_lines_, nullptr);
  if (!plan) return tl::unexpected(std::move(plan.error()));
  use(std::move(*plan));
  ends_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ends_) return tl::unexpected(system_failure({}, "cannot make an event"));
  const FixedConfig& fixed = config.fixed;
  for (const std::string& where : fixed.listen) {
    for (std::size_t i = 0; i < fixed.threads; ++i) {
      auto socket = pinba::listen_at(i == 0 ? where : addresses_.back(),
                                     static_cast<int>(fixed.receive_buffer), fixed.threads > 1);
      if (!socket) return tl::unexpected(std::move(socket.error()));
      if (i == 0) addresses_.push_back(pinba::address_of(*socket));
      listeners_.push_back(std::make_unique<Listener>(std::move(*socket)));
    }
  }
  // So that it says what it is before the first packet.
  if (auto opened = stats_.open(); !opened) return opened;
  for (LastLines* lines : {&slow_lines_, &bad_lines_}) {
    if (auto read = lines->read(); !read) return read;
  }
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (const auto& listener : listeners_) threads_.emplace_back([this, &one = *listener] { receive(one); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

Expected<void> Server::change(const Config& config) {
  const std::shared_ptr<Plan> old = plan_;
  auto plan = Plan::make(config, slow_lines_, old.get());
  if (!plan) return tl::unexpected(std::move(plan.error()));
  counted_plans_.reserve(counted_plans_.size() + 1);
  counted_tees_.reserve(counted_tees_.size() + 1);
  reports_.change(config.reports);
  // What follows throws nothing.
  use(std::move(*plan));
  plans_.fetch_add(1, std::memory_order_release);
  expire_ = config.expire;
  return {};
}

// From now on. Threads have another one until their next packet.
void Server::use(std::shared_ptr<Plan> plan) {
  counted_plans_.push_back({.plan = plan});
  if (plan->tee != nullptr && (counted_tees_.empty() || counted_tees_.back().tee != plan->tee))
    counted_tees_.push_back({.tee = plan->tee});
  plan_ = std::move(plan);
}

void Server::receive(Listener& listener) {
  Worker worker;
  std::uint32_t lost = 0;
  const auto follow = [&] {
    if (const auto plans = plans_.load(std::memory_order_acquire); plans != worker.number) {
      worker.plan = plan_.load();
      worker.number = plans;
    }
  };
  // At each packet: one that comes when the configuration has changed is not for the old plan, however long
  // this thread has waited for it.
  const auto visit = [&](pinba::Datagram datagram, const sockaddr_storage& from) {
    follow();
    take(datagram, from, worker);
  };
  for (bool goes_on = true; goes_on;) {
    follow();
    // A reference takes no memory.
    goes_on = listener.receive(ends_.get(), std::ref(visit));
    stats_.lost.incr(listener.lost() - lost);
    lost = listener.lost();
  }
}

void Server::take(pinba::Datagram datagram, const sockaddr_storage& from, Worker& worker) {
  Plan& plan = *worker.plan;
  if (!plan.allowed.have(from)) return stats_.refused.incr();
  stats_.packets.incr();
  packets_.fetch_add(1, std::memory_order_relaxed);
  stats_.bytes.incr(datagram.size());
  if (plan.tee != nullptr) plan.tee->pass_on(datagram);
  try {
    FaultCounts faults{};
    worker.texts.clear();
    for (Packet& packet : worker.reader.read(datagram, faults)) {
      stats_.requests.incr();
      stats_.timers.incr(packet.timers.size());
      plan.rewrites.apply(packet, worker.texts);
      reports_.count(packet, source_of(from), worker.caches);
      if (plan.slow) plan.slow->look(packet, from);
    }
    bad_.look(datagram, from, faults);
    for (std::size_t i = 0; i < kFaults; ++i) {
      if (faults[i] > 0) stats_.faults.with(to_string(static_cast<Fault>(i))).incr(faults[i]);
    }
  } catch (const std::exception&) {
    // For want of memory. Whatever else a packet could bring about would cost it alone, too.
    stats_.lost.incr();
  }
}

// What is counted elsewhere since the last call. What no thread has any more counts nothing after this.
void Server::count_of_plans() {
  for (auto one = counted_plans_.begin(); one != counted_plans_.end();) {
    const bool over = one->plan.use_count() == 1;
    if (const auto& slow = one->plan->slow) {
      add_growth(stats_.slow, slow->count(), one->slow);
      add_growth(stats_.slow_left_out, slow->left_out(), one->slow_left_out);
    }
    one = over ? counted_plans_.erase(one) : std::next(one);
  }
}

// After the plans, which have tees.
void Server::count_of_tees() {
  for (auto one = counted_tees_.begin(); one != counted_tees_.end();) {
    const bool over = one->tee.use_count() == 1;
    TeeCounts counts = one->tee->counts();
    if (over) counts.lost += counts.waiting;  // it goes, and they with it
    add_growth(stats_.forwarded, counts.sent, one->counts.sent);
    add_growth(stats_.forward_lost, counts.lost, one->counts.lost);
    one = over ? counted_tees_.erase(one) : std::next(one);
  }
}

std::vector<Error> Server::tend() {
  std::vector<Error> errors;
  count_of_plans();
  count_of_tees();
  if (const auto now = Clock::now(); now >= swept_at_ + expire_ / 2) {
    swept_at_ = now;
    reports_.sweep();
  }
  stats_.rows.set(reports_.rows());
  bad_.judge();
  for (LastLines* lines : {&slow_lines_, &bad_lines_}) {
    if (auto written = lines->write(); !written) errors.push_back(std::move(written.error()));
  }
  return errors;
}

}  // namespace mmstats::receive
