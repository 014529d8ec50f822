#include "plugin_pinba/daemon/orders.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <system_error>

namespace mmstats::daemon {
namespace {

Descriptor checked(int fd, const char* call) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), call);
  return Descriptor(fd);
}

Descriptor open_signals(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return checked(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

timespec timespec_of(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

}  // namespace

Orders::Orders(std::initializer_list<int> signals) : signals_(open_signals(signals)) {}

std::optional<int> Orders::take() {
  signalfd_siginfo order{};
  if (::read(signals_.get(), &order, sizeof order) != sizeof order) return std::nullopt;
  return static_cast<int>(order.ssi_signo);
}

Ticks::Ticks(std::chrono::nanoseconds interval)
    : timer_(checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")) {
  set(interval);
}

void Ticks::set(std::chrono::nanoseconds interval) {
  const itimerspec spec{.it_interval = timespec_of(interval), .it_value = timespec_of(interval)};
  if (::timerfd_settime(timer_.get(), 0, &spec, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "timerfd_settime");
}

bool Ticks::take() {
  std::uint64_t passed = 0;
  return ::read(timer_.get(), &passed, sizeof passed) == sizeof passed;
}

Watchdog::Watchdog() {
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) > 0)
    period_ = std::chrono::nanoseconds(std::chrono::microseconds(microseconds)) / 2;
}

std::optional<std::chrono::nanoseconds> Watchdog::wait() const {
  if (!period_) return std::nullopt;
  return std::max<std::chrono::nanoseconds>(told_at_ + *period_ - Clock::now(), std::chrono::nanoseconds(0));
}

void Watchdog::tell() {
  if (!period_ || Clock::now() < told_at_ + *period_) return;
  ::sd_notify(0, "WATCHDOG=1");
  told_at_ = Clock::now();
}

void wait(const Orders& orders, const Ticks& ticks, Watchdog& watchdog,
          std::optional<std::chrono::nanoseconds> at_most) {
  if (const auto patience = watchdog.wait()) at_most = std::min(*patience, at_most.value_or(*patience));
  std::array<pollfd, 2> polled{{{orders.descriptor(), POLLIN, 0}, {ticks.descriptor(), POLLIN, 0}}};
  const timespec timeout = timespec_of(at_most.value_or(std::chrono::nanoseconds(0)));
  if (::ppoll(polled.data(), polled.size(), at_most ? &timeout : nullptr, nullptr) < 0 && errno != EINTR)
    throw std::system_error(errno, std::generic_category(), "ppoll");
  watchdog.tell();
}

void tell_ready() { ::sd_notify(0, "READY=1"); }

void tell_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto microseconds =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
  ::sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", static_cast<unsigned long long>(microseconds));
}

void tell_stopping() { ::sd_notify(0, "STOPPING=1"); }

}  // namespace mmstats::daemon
