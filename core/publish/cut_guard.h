// Saves the process from files that somebody cuts (SIGBUS), for programs that ask for it.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdint>

#include "mmstats/error.h"
#include "publish/growing.h"
#include "publish/region.h"

namespace mmstats {

class CutGuard {
 public:
  // Installs the handler of the signal, once. Any thread.
  static Expected<void> install();

  // A region that the handler is to know, for ever. With the lock of Models held. Without memory, or beyond
  // 65,000 of them, it does not know this one.
  static void add(Region& region) noexcept;

 private:
  // Never destroyed: threads may write while the process exits.
  union Known {
    constexpr Known() : regions() {}
    Known(const Known&) = delete;
    Known& operator=(const Known&) = delete;
    ~Known() {}  // NOLINT(modernize-use-equals-default): that would be deleted
    Growing<std::atomic<Region*>> regions;
  };

  static constinit Known known_;
  static constinit std::atomic<std::uint32_t> size_;

  static bool save(const void* address) noexcept;
  static void handle(int signal, siginfo_t* info, void* context) noexcept;
};

}  // namespace mmstats
