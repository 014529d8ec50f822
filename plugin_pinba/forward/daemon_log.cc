#include "plugin_pinba/forward/daemon_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/utf8.h"
#include "mmstats/error.h"

namespace mmstats::forward {
namespace {

constexpr std::size_t kMaxLine = 2000;  // bytes; a path alone may have 4096

}  // namespace

DaemonLog::DaemonLog() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void DaemonLog::say(Priority priority, std::string_view text) const {
  std::string shown = printable(text);
  if (shown.size() > kMaxLine) {
    shown.resize(whole_characters(shown, kMaxLine).size());
    shown += "...";
  }
  const std::string line = terminal_ ? fmt::format("mmstats-pinba: {}\n", shown)
                                     : fmt::format("<{}>{}\n", static_cast<int>(priority), shown);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void DaemonLog::complain(std::string_view text, Priority priority) {
  if (budget_.begin_scan(std::chrono::steady_clock::now())) {
    if (const auto refused = budget_.take_refused(); refused != 0) {
      say(Priority::kWarning, fmt::format("{} more complaints were not logged", refused));
    }
  }
  if (!budget_.spend()) return;
  say(priority, text);
}

}  // namespace mmstats::forward
