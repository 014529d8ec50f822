// Parts of a test for which the test's own user may too much, as root does.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <utility>

#include "child_process.h"

inline constexpr uid_t kNobody = 65534;

// Calls `run`, which uses must(), as a user who owns nothing, in a process of its own. Skipped where we may
// not become that user.
template <class Run>
void as_nobody(Run&& run) {
  ChildProcess nobody([&] {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(ChildProcess::kSkipped);
    std::forward<Run>(run)();
  });
  const int status = nobody.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: we cannot become another user");
  } else {
    CHECK(status == 0);
  }
}
