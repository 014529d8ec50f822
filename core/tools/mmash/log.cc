#include "tools/mmash/log.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace mmash {

void write_line(std::string_view text) {
  const std::string line = fmt::format("{}\n", text);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

}  // namespace mmash
