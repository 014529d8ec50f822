// Log lines on standard error, for journald: with their priority in front, unless that is a terminal.
#pragma once

#include <cstdint>
#include <string_view>

#include "collect/complaints.h"

namespace mmstats::forward {

// As in syslog.
enum class Priority : std::uint8_t { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// One thread at a time.
class DaemonLog {
 public:
  DaemonLog();

  // One line, with what is no printable text escaped, and cut if it is very long.
  void say(Priority priority, std::string_view text) const;

  // A warning or notice, unless there were too many in this minute: whoever can write into a watched folder
  // can make complaints, and the log must not become their target. How many were left out is told later.
  void complain(std::string_view text, Priority priority = Priority::kWarning);

 private:
  bool terminal_;
  ComplaintBudget budget_{ComplaintBudget::kPerMinute};
};

}  // namespace mmstats::forward
