// Holds a thread of this process in front of a system call, so that what happens at that moment is no matter
// of luck; or lets its calls fail. Filters are the thread's own (seccomp(2)) and need no privileges. Where
// the system does not allow them (an emulator has system calls of its own) nothing is called, and that is
// said: what the rest of a test expects did not happen, so it must look at the answer.
#pragma once

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <thread>

namespace held {

inline constexpr int kAtEach = 0;
#if defined(SYS_rename)
inline constexpr long kRename = SYS_rename;
#else
inline constexpr long kRename = SYS_renameat;
#endif

// Lets the calling thread's calls of `number` end in `action`. Returns a descriptor with
// SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0; -1 if the system does not allow it.
inline int filter_this_thread(long number, std::uint32_t action, unsigned flags) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

namespace detail {

// Calls run() in a thread of its own, and act(answer) while that is held in front of a call of `number`,
// which is made then unless `answer` is changed. False: the system does not allow it.
template <class Run, class Act>
bool hold(long number, Run run, Act act) {
  constexpr int kNotYet = -2;
  std::atomic<int> listener{kNotYet};
  std::atomic<bool> done{false};
  std::thread thread([&] {
    listener = filter_this_thread(number, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener >= 0) run();
    done = true;
  });
  while (listener == kNotYet) std::this_thread::yield();
  if (listener < 0) {
    thread.join();
    MESSAGE("skipped: no system call can be held here");
    return false;
  }
  while (!done) {
    pollfd ready{listener, POLLIN, 0};
    if (::poll(&ready, 1, 10) <= 0 || (ready.revents & POLLIN) == 0) continue;
    seccomp_notif call{};
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
    seccomp_notif_resp answer{};
    answer.id = call.id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    act(answer);
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  thread.join();
  ::close(listener);
  return true;
}

}  // namespace detail

// Calls run() in a thread of its own, and act() while that is held in front of its `nth` call of `number`, or
// of each. Fails the test if it made no such call. False: the system does not allow it.
template <class Run, class Act>
[[nodiscard]] bool while_held(long number, int nth, Run run, Act act) {
  int calls = 0;
  bool met = false;
  const bool allowed = detail::hold(number, run, [&](seccomp_notif_resp&) {
    ++calls;
    if (nth != kAtEach && calls != nth) return;
    met = true;
    act();
  });
  CHECK((met || !allowed));
  return allowed;
}

// Calls run() in a thread of its own, whose first `times` calls of `number` fail with `sys_errno`; calls
// act() at each call. False: the system does not allow it.
template <class Run, class Act>
[[nodiscard]] bool while_failing_first(int times, long number, int sys_errno, Run run, Act act) {
  return detail::hold(number, run, [&](seccomp_notif_resp& answer) {
    act();
    if (times-- > 0) {
      answer.flags = 0;
      answer.error = -sys_errno;
    }
  });
}
template <class Run>
[[nodiscard]] bool while_failing_first(int times, long number, int sys_errno, Run run) {
  return while_failing_first(times, number, sys_errno, run, [] {});
}

// Calls run() in a thread of its own, whose calls of `number` fail with `sys_errno`. False: the system does
// not allow it.
template <class Run>
[[nodiscard]] bool while_failing(long number, int sys_errno, Run run) {
  std::atomic<bool> allowed{true};
  std::thread([&] {
    allowed = filter_this_thread(number, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(sys_errno), 0) == 0;
    if (allowed) run();
  }).join();
  if (!allowed) MESSAGE("skipped: no system call can be made to fail here");
  return allowed;
}

}  // namespace held
