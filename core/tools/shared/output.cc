#include "tools/shared/output.h"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/failure.h"

namespace mmstats {

void Output::flush() {
  if (error_ == 0 && (std::fwrite(buffer_.data(), 1, buffer_.size(), stdout) != buffer_.size() ||
                      std::fflush(stdout) != 0)) {
    error_ = errno;
  }
  buffer_.clear();
}

void Output::reader_left() {
  if (error_ == 0) error_ = EPIPE;
}

bool Output::finish(std::string_view program) {
  flush();
  if (error_ == 0) return true;
  if (error_ == EPIPE) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  complain(program, system_failure({}, "cannot write the output", error_).text());
  return false;
}

void complain(std::string_view program, std::string_view text) {
  const std::string line = fmt::format("{}: {}\n", program, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace mmstats
