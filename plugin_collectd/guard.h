// The one way from C into our code: nothing is thrown into a host that is written in C, where it
// would end the whole process.
#pragma once

#include <exception>
#include <utility>

namespace mmstats::collectd {

// Tells of exceptions once: again only after a call that went well.
// One thread at a time.
class FaultLog {
 public:
  using Tell = void (*)(const char* callback, const char* what);  // must not throw

  explicit FaultLog(Tell tell) noexcept : tell_(tell) {}

  void failed(const char* callback, const char* what) noexcept {
    if (!std::exchange(told_, true)) tell_(callback, what);
  }
  void went_well() noexcept { told_ = false; }

 private:
  Tell tell_;
  bool told_ = false;
};

inline constexpr int kThrew = -1;

// Returns what `body` returns, or kThrew if it throws anything; then `faults` tells of it under the
// name `callback`.
template <class Body>
int guarded(const char* callback, FaultLog& faults, Body&& body) noexcept {
  try {
    const int status = std::forward<Body>(body)();
    faults.went_well();
    return status;
  } catch (const std::exception& e) {
    faults.failed(callback, e.what());
  } catch (...) {
    faults.failed(callback, "something that is no std::exception");
  }
  return kThrew;
}

}  // namespace mmstats::collectd
