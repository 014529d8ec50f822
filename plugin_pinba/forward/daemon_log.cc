#include "plugin_pinba/forward/daemon_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "mmstats/error.h"

namespace mmstats::forward {
namespace {

constexpr std::size_t kMaxLine = 2000;  // bytes; a path alone may have 4096

}  // namespace

DaemonLog::DaemonLog() : terminal_(::isatty(STDERR_FILENO) == 1), minute_began_(Clock::now()) {}

void DaemonLog::say(Priority priority, std::string_view text) const {
  std::string shown = printable(text);
  if (shown.size() > kMaxLine) {
    shown.resize(kMaxLine);
    shown += "...";
  }
  const std::string line = terminal_ ? fmt::format("mmstats-pinba: {}\n", shown)
                                     : fmt::format("<{}>{}\n", static_cast<int>(priority), shown);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void DaemonLog::complain(std::string_view text, Priority priority) {
  const auto now = Clock::now();
  if (now - minute_began_ >= std::chrono::minutes(1)) {
    minute_began_ = now;
    left_ = kPerMinute;
    if (refused_ != 0) {
      say(Priority::kWarning,
          fmt::format("{} more complaints were not logged", std::exchange(refused_, std::uint64_t{0})));
    }
  }
  if (left_ == 0) {
    ++refused_;
    return;
  }
  --left_;
  say(priority, text);
}

}  // namespace mmstats::forward
