#include "tools/pinba_dump/ending.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>

namespace pinba_dump {
namespace {

// Blocks them, and makes them readable.
mmstats::Descriptor ending_signals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGINT);
  ::sigaddset(&ending, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  return mmstats::Descriptor(::signalfd(-1, &ending, SFD_CLOEXEC));
}

}  // namespace

Ending::Ending(std::optional<double> seconds) : signals_(ending_signals()) {
  if (seconds) {
    end_ =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
  }
}

Ending::Event Ending::wait(int descriptor, std::optional<Clock::time_point> until) {
  using std::chrono::nanoseconds;
  constexpr nanoseconds kOften = std::chrono::hours(1);
  std::array<pollfd, 3> waits{{{signals_.get(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}, {descriptor, POLLIN, 0}}};
  while (ended_ == Event::kWaited) {
    const auto now = Clock::now();
    nanoseconds left = kOften;
    if (end_) left = std::min<nanoseconds>(left, *end_ - now);
    if (until) left = *until > now ? std::min<nanoseconds>(left, *until - now) : nanoseconds(0);
    left = std::max(left, nanoseconds(0));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), (left - seconds).count()};
    if (::ppoll(waits.data(), waits.size(), &timeout, nullptr) < 0) continue;
    if ((waits[0].revents & POLLIN) != 0) ended_ = Event::kEnded;
    if ((waits[1].revents & POLLERR) != 0) ended_ = Event::kReaderLeft;
    if (end_ && Clock::now() >= *end_) ended_ = Event::kEnded;
    if (ended_ != Event::kWaited) break;
    if (waits[2].revents != 0) return Event::kReady;
    if (until && Clock::now() >= *until) return Event::kWaited;
  }
  return ended_;
}

}  // namespace pinba_dump
