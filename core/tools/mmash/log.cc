#include "tools/mmash/log.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "tools/shared/output.h"

namespace mmash {

void Log::complain(std::string_view text) {
  if (budget_.begin_scan(std::chrono::steady_clock::now())) {
    if (const auto refused = budget_.take_refused(); refused != 0) {
      mmstats::complain("mmash", fmt::format("{} more complaints were not logged", refused));
    }
  }
  if (!budget_.spend()) return;
  mmstats::complain("mmash", text);
}

void Log::line(std::string_view text) {
  const std::string line = fmt::format("{}\n", text);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

}  // namespace mmash
