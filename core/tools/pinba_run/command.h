// The command that pinba-run runs, as if the caller had started it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "pinba/request.h"

namespace pinba_run {

// Those that shells, env(1) and timeout(1) end with.
enum ExitStatus : int { kOwnFailure = 125, kCannotRun = 126, kNotFound = 127, kSignal = 128 };

// Signals, as we found them and as we need them: all blocked, to be taken one by one.
class Signals {
 public:
  Signals();
  void restore() const;
  [[nodiscard]] siginfo_t next() const;
  // Does to us what the signal does, unless it is ignored.
  static void suffer(int signal);

 private:
  sigset_t all_{};
  sigset_t mask_before_{};
  struct sigaction child_before_{};
};

// The command while it runs, in our process group and with our terminal.
class Command {
 public:
  explicit Command(const Signals& signals) : signals_(signals) {}

  // False, with errno, if there can be no more processes.
  bool start(std::vector<std::string>& words);
  // Passes signals on until the command has ended.
  void wait();

  // As a shell's $?.
  [[nodiscard]] int exit_status() const;
  // The signal that ended it, or 0.
  [[nodiscard]] int signal() const;
  // Whether the terminal sent us that signal, too.
  [[nodiscard]] bool interrupted() const;
  // Sets what it took.
  void describe(pinba::Request& request) const;

 private:
  using Clock = std::chrono::steady_clock;

  [[noreturn]] void become(char** arguments, pid_t parent) const;
  void reap();
  void pass_on(const siginfo_t& info);

  const Signals& signals_;
  Clock::time_point begin_;
  Clock::duration elapsed_{};
  pid_t child_ = 0;
  bool ended_ = false;
  int status_ = 0;
  sigset_t from_terminal_{};
  double user_ = 0;  // seconds
  double system_ = 0;
  std::uint64_t peak_ = 0;  // bytes
};

}  // namespace pinba_run
