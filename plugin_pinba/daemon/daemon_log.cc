#include "plugin_pinba/daemon/daemon_log.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"
#include "mmstats/error.h"

namespace mmstats::daemon {
namespace {

constexpr std::size_t kMaxLine = 2000;  // bytes; a path alone may have 4096

// Whether systemd has connected it to the journal. A program that it starts may have another standard error.
bool is_journal(int stream) {
  const char* journal = std::getenv("JOURNAL_STREAM");
  struct stat info{};
  return journal != nullptr && ::fstat(stream, &info) == 0 &&
         fmt::format("{}:{}", info.st_dev, info.st_ino) == journal;
}

}  // namespace

DaemonLog::DaemonLog(std::string_view program)
    : program_(program),
      to_journal_(is_journal(STDERR_FILENO)),
      complaints_([this](int level, std::string_view text) { say(static_cast<Priority>(level), text); },
                  static_cast<int>(Priority::kWarning), ComplaintLog::kPerMinute) {}

void DaemonLog::say(Priority priority, std::string_view text) const {
  std::string shown = printable(text);
  if (shown.size() > kMaxLine) {
    shown.resize(whole_characters(shown, kMaxLine).size());
    shown += "...";
  }
  const std::string line = to_journal_ ? fmt::format("<{}>{}\n", static_cast<int>(priority), shown)
                                       : fmt::format("{}: {}\n", program_, shown);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void DaemonLog::begin_scan() { complaints_.begin_scan(std::chrono::steady_clock::now()); }

void DaemonLog::complain(std::string_view text, Priority priority) {
  complaints_.tell_once(static_cast<int>(priority), text);
}

bool DaemonLog::complain_or_come_again(std::string_view text) {
  return complaints_.tell(static_cast<int>(Priority::kWarning), text);
}

void DaemonLog::end_scan(std::uint64_t waiting) { complaints_.end_scan(waiting); }

void DaemonLog::end() { complaints_.end(); }

}  // namespace mmstats::daemon
