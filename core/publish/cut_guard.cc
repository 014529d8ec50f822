#include "publish/cut_guard.h"

#include <ucontext.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "base/failure.h"

namespace mmstats {
namespace {

constexpr std::uint32_t kMaxRegions = 65'000;  // as Growing has room for

struct sigaction before{};  // what handled the signal until then

// Lets what handled the signal before be called with those signals blocked that would have been without us.
void unblock_for_before(int signal, const ucontext_t& interrupted) noexcept {
  sigset_t mask;
  ::sigemptyset(&mask);
  // The kernel knows no more of it, and what is behind is not its own.
  std::memcpy(&mask, &interrupted.uc_sigmask, _NSIG / 8);
  if ((before.sa_flags & SA_NODEFER) == 0) ::sigaddset(&mask, signal);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  ::pthread_sigmask(SIG_BLOCK, &before.sa_mask, nullptr);
}

}  // namespace

constinit CutGuard::Known CutGuard::known_;
constinit std::atomic<std::uint32_t> CutGuard::size_ = 0;

void CutGuard::add(Region& region) noexcept {
  const std::uint32_t number = size_.load(std::memory_order_relaxed);
  if (number >= kMaxRegions) return;
  try {
    known_.regions.at(number).store(&region, std::memory_order_relaxed);
  } catch (const std::bad_alloc&) {
    return;
  }
  size_.store(number + 1, std::memory_order_release);
}

bool CutGuard::save(const void* address) noexcept {
  for (std::uint32_t number = size_.load(std::memory_order_acquire); number-- > 0;) {
    Region* const region = known_.regions.find(number)->load(std::memory_order_relaxed);
    if (region->has(address)) return region->save();
  }
  return false;
}

// A fault that is not ours goes where it went before. No other signal's handler comes before ours is done: to
// write the same file there would end the process, as this signal is blocked.
void CutGuard::handle(int signal, siginfo_t* info, void* context) noexcept {
  const int kept_errno = errno;
  const bool saved = info->si_code == BUS_ADRERR && save(info->si_addr);
  errno = kept_errno;
  if (saved) return;
  unblock_for_before(signal, *static_cast<const ucontext_t*>(context));
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  if (before.sa_handler == SIG_IGN && info->si_code <= 0) return;  // somebody's kill(2)
  struct sigaction end{};
  end.sa_handler = SIG_DFL;
  ::sigaction(signal, &end, nullptr);
  // A fault comes again at once; what somebody sent has to be sent again.
  if (info->si_code <= 0) ::raise(signal);
}

Expected<void> CutGuard::install() {
  static const int failed = [] {
    struct sigaction action{};
    action.sa_sigaction = &CutGuard::handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ::sigfillset(&action.sa_mask);
    // What was there is known before ours can be called.
    if (::sigaction(SIGBUS, nullptr, &before) != 0) return errno;
    return ::sigaction(SIGBUS, &action, nullptr) == 0 ? 0 : errno;
  }();
  if (failed == 0) return {};
  return tl::unexpected(system_failure({}, "the handler of SIGBUS cannot be installed", failed));
}

}  // namespace mmstats
