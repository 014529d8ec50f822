// What a thread of somebody else's program must not notice of a call of a library.
#pragma once

#include <doctest/doctest.h>
#include <pthread.h>

#include <cerrno>
#include <functional>
#include <vector>

#include "child_process.h"
#include "forgotten_frames.h"

struct GuestCase {
  const char* what;
  std::function<void()> call;
};

// Calls each in a thread of its own that was cancelled before, and in one where errno has a value of its own:
// the call is done, the cancellation comes at the thread's own next cancellation point, and errno is as it
// was. In a child process, as a cancellation that comes within the call ends it.
template <class Cases>
void check_guest(Cases cases, const std::function<void()>& after = [] {}) {
  ChildProcess child([&] {
    struct Thread {
      const GuestCase* guest;
      bool done = false;
    };
    for (const GuestCase& guest : cases()) {
      Thread thread{&guest};
      const auto run = [](void* given) -> void* {
        const ForgottenFrames forgotten;
        auto* const self = static_cast<Thread*>(given);
        ::pthread_cancel(::pthread_self());
        errno = 4711;
        self->guest->call();
        const bool kept = errno == 4711;
        if (!kept) std::fprintf(stderr, "%s: errno is %d\n", self->guest->what, errno);
        must(kept);
        self->done = true;
        ::pthread_testcancel();
        return nullptr;
      };
      pthread_t id{};
      must(::pthread_create(&id, nullptr, run, &thread) == 0);
      void* result = nullptr;
      must(::pthread_join(id, &result) == 0);
      if (!thread.done) std::fprintf(stderr, "%s: is a cancellation point\n", guest.what);
      must(thread.done);
      must(result == PTHREAD_CANCELED);
    }
    after();
  });
  CHECK(child.wait() == 0);
}
