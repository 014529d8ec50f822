// A library is a guest in other people's threads.
#pragma once

#include <pthread.h>

#include <cerrno>

namespace mmstats {

// While it lives, system calls are no cancellation points (pthread_cancel(3)) of its thread: a cancellation
// that is pending stays so until the application's own next one, and none unwinds through code that must not
// be left half done. At its end errno is what it was. For every entry of a library that may make a system
// call; makes none itself. Lives in one thread; may be nested.
class GuestCall {
 public:
  GuestCall() noexcept : errno_(errno) { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation_); }
  ~GuestCall() {
    ::pthread_setcancelstate(cancellation_, nullptr);
    errno = errno_;
  }
  GuestCall(const GuestCall&) = delete;
  GuestCall& operator=(const GuestCall&) = delete;

 private:
  int errno_;
  int cancellation_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace mmstats
