// What mmash says: complaints on standard error, and the access log on standard output.
#pragma once

#include <string_view>

#include "collect/complaints.h"

namespace mmash {

// One thread at a time.
class Log {
 public:
  // A line on standard error, unless there were too many in this minute: whoever can write into a watched
  // folder can make complaints. How many were left out is told later.
  void complain(std::string_view text);

  // A line on standard output, at once.
  static void line(std::string_view text);

 private:
  mmstats::ComplaintBudget budget_{mmstats::ComplaintBudget::kPerMinute};
};

}  // namespace mmash
