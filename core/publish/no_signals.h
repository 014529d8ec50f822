// While it lives, no handler of a signal interrupts this thread: what it adds to bytes that are being copied
// would be lost.
#pragma once

#include <csignal>

namespace mmstats {

class NoSignals {
 public:
  // `touches_files`: see CutGuard. A SIGBUS that somebody sends comes then, too.
  explicit NoSignals(bool touches_files = true) {
    sigset_t all;
    ::sigfillset(&all);
    if (touches_files) ::sigdelset(&all, SIGBUS);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace mmstats
