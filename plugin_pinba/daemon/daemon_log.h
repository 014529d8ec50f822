// Log lines on standard error. The journal gets them with their priority in front, all others as plain text.
#pragma once

#include <cstdint>
#include <string_view>

#include "collect/complaints.h"

namespace mmstats::daemon {

// As in syslog.
enum class Priority : std::uint8_t { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// One thread at a time.
class DaemonLog {
 public:
  // `program` stands before each line, but for the journal, which knows it; its text must outlive the log.
  explicit DaemonLog(std::string_view program);

  // One line, with what is no printable text escaped, and cut if it is very long.
  void say(Priority priority, std::string_view text) const;

  // Warnings and notices, but not too many in a minute: whoever can write into a watched folder, or send a
  // packet, can make complaints, and the log must not become their target. As ComplaintLog says: one that is
  // made once waits for its turn; for the other kind the caller comes again at the next scan.
  void begin_scan();
  void complain(std::string_view text, Priority priority = Priority::kWarning);
  bool complain_or_come_again(std::string_view text);
  void end_scan(std::uint64_t waiting);
  void end();  // what waits for its turn has none any more: it is said now

 private:
  std::string_view program_;
  bool to_journal_;
  ComplaintLog complaints_;
};

}  // namespace mmstats::daemon
