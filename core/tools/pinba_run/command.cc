#include "tools/pinba_run/command.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mmstats/error.h"
#include "tools/shared/output.h"

namespace pinba_run {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

bool is_of_terminal(int signal) {
  switch (signal) {
    case SIGINT:
    case SIGQUIT:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGCONT:
    case SIGWINCH:
      return true;
    case SIGHUP:  // when the terminal is gone, the session's leader alone is told
      return ::getsid(0) != ::getpid();
    default:
      return false;
  }
}

}  // namespace

Signals::Signals() {
  ::sigfillset(&all_);
  ::pthread_sigmask(SIG_BLOCK, &all_, &mask_before_);
  // Were it ignored, as some parents leave it, the system would keep exit statuses to itself.
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &plain, &child_before_);
}

void Signals::restore() const {
  ::sigaction(SIGCHLD, &child_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

siginfo_t Signals::next() const {
  siginfo_t info{};
  while (::sigwaitinfo(&all_, &info) < 0) {
  }
  return info;
}

void Signals::suffer(int signal) {
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  ::raise(signal);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

bool Command::start(std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  // Descendants that lose their parent become our children, so that what they took is known.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t parent = ::getpid();
  begin_ = Clock::now();
  child_ = ::fork();
  if (child_ == 0) become(arguments.data(), parent);
  return child_ > 0;
}

void Command::wait() {
  while (!ended_) {
    const siginfo_t info = signals_.next();
    if (info.si_signo == SIGCHLD) {
      reap();
    } else {
      pass_on(info);
    }
  }
}

int Command::exit_status() const {
  return WIFSIGNALED(status_) ? kSignal + WTERMSIG(status_) : WEXITSTATUS(status_);
}

int Command::signal() const { return WIFSIGNALED(status_) ? WTERMSIG(status_) : 0; }
bool Command::interrupted() const { return signal() != 0 && ::sigismember(&from_terminal_, signal()) == 1; }

void Command::describe(pinba::Request& request) const {
  request.request_time = std::chrono::duration<double>(elapsed_).count();
  request.ru_utime = user_;
  request.ru_stime = system_;
  request.memory_peak = peak_;
  request.memory_footprint = peak_;
}

void Command::become(char** arguments, pid_t parent) const {
  // Whoever kills us for good means the command.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::raise(SIGKILL);
  signals_.restore();
  ::execvp(arguments[0], arguments);
  const int error = errno;
  mmstats::complain("pinba-run",
                    fmt::format("{}: {}", mmstats::printable(arguments[0]), std::strerror(error)));
  ::_exit(error == ENOENT ? kNotFound : kCannotRun);
}

void Command::reap() {
  int status = 0;
  rusage usage{};
  pid_t pid = 0;
  // To the last one, also after the command: what else has ended was its.
  while ((pid = ::wait4(-1, &status, WNOHANG | WUNTRACED, &usage)) > 0) {
    if (WIFSTOPPED(status)) {
      // The shell watches us, not the command. But who stops that by SIGSTOP continues it alone, too.
      if (pid == child_ && WSTOPSIG(status) != SIGSTOP) Signals::suffer(WSTOPSIG(status));
      continue;
    }
    user_ += seconds(usage.ru_utime);
    system_ += seconds(usage.ru_stime);
    peak_ = std::max(peak_, static_cast<std::uint64_t>(usage.ru_maxrss) * 1024);
    if (pid != child_) continue;
    elapsed_ = Clock::now() - begin_;
    status_ = status;
    ended_ = true;
  }
}

void Command::pass_on(const siginfo_t& info) {
  const int signal = info.si_signo;
  const bool by_kernel = info.si_code > 0;
  // The command has them already: they go to the whole group.
  if (by_kernel && is_of_terminal(signal)) {
    ::sigaddset(&from_terminal_, signal);
    return;
  }
  // So has the sender, if it means its group; and it never means itself.
  if (!by_kernel && info.si_pid == child_) return;
  ::kill(child_, signal);
}

}  // namespace pinba_run
