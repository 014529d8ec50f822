#include "tools/mmash/log.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

#include "tools/shared/output.h"

namespace mmash {

void Log::complain(std::string_view text) {
  const auto now = Clock::now();
  if (now - minute_began_ >= std::chrono::minutes(1)) {
    minute_began_ = now;
    left_ = kPerMinute;
    if (refused_ != 0) {
      mmstats::complain("mmash", fmt::format("{} more complaints were not logged",
                                             std::exchange(refused_, std::uint64_t{0})));
    }
  }
  if (left_ == 0) {
    ++refused_;
    return;
  }
  --left_;
  mmstats::complain("mmash", text);
}

void Log::line(std::string_view text) {
  const std::string line = fmt::format("{}\n", text);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

}  // namespace mmash
