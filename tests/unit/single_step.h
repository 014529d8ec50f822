// Runs a piece of code one instruction at a time, so that what others see at any moment of it is no matter of
// luck. With the processor's trap flag: on x86-64 alone, and not with sanitizers that put signals off.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define HAS_SINGLE_STEP 1

#include <doctest/doctest.h>
#include <ucontext.h>
#include <x86intrin.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>

namespace stepped {

inline constexpr unsigned long long kTrapFlag = 0x100;

// What is done after each instruction, and with what. False: that was the last one.
inline bool (*volatile act_at_trap)(const void*) = nullptr;
inline const void* volatile trap_context = nullptr;

inline void on_trap(int /*number*/, siginfo_t* /*info*/, void* interrupted) {
  const int kept = errno;
  if (!act_at_trap(trap_context)) {
    static_cast<ucontext_t*>(interrupted)->uc_mcontext.gregs[REG_EFL] &= ~static_cast<greg_t>(kTrapFlag);
  }
  errno = kept;
}

// Calls run(), and after each of its instructions act(), in a signal's handler of this thread, until that
// returns false. Neither may throw, and act() may use nothing that run() may be amid: if run() takes memory,
// act() must not. One thread of a process at a time.
template <class Run, class Act>
void each(const Run& run, const Act& act) {
  act_at_trap = [](const void* context) { return (*static_cast<const Act*>(context))(); };
  trap_context = std::addressof(act);
  struct sigaction action{};
  struct sigaction before{};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  REQUIRE(::sigaction(SIGTRAP, &action, &before) == 0);
  __writeeflags(__readeflags() | kTrapFlag);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  run();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  __writeeflags(__readeflags() & ~kTrapFlag);
  ::sigaction(SIGTRAP, &before, nullptr);
}

}  // namespace stepped
#endif
