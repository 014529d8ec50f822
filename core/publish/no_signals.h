// While it lives, no handler of a signal interrupts this thread: what it adds to bytes that are being copied
// would be lost.
#pragma once

#include <csignal>

namespace mmstats {

class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigdelset(&all, SIGBUS);  // see CutGuard
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace mmstats
