// pinba-run: runs a command, and sends what it took to Pinba servers. Its man page: packaging/man/pinba-run.1

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/host_name.h"
#include "mmstats/error.h"
#include "pinba/encode.h"
#include "pinba/request.h"
#include "pinba/sender.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

using Clock = std::chrono::steady_clock;

// Those that shells, env(1) and timeout(1) end with.
enum ExitStatus : int { kOwnFailure = 125, kCannotRun = 126, kNotFound = 127, kSignal = 128 };

constexpr std::uint32_t kStatusGood = 200;
constexpr std::uint32_t kStatusBad = 500;
constexpr double kLongestWait = 60;  // seconds

struct Options {
  std::vector<std::string> servers;
  std::vector<std::string> tag_words;
  pinba::Tags tags;
  std::string script_name;
  std::string server_name = "script";
  std::string hostname;
  double wait = 0.5;  // seconds
  bool verbose = false;
  std::vector<std::string> command;
};

void complain(std::string_view text) { mmstats::complain("pinba-run", text); }

// ---- the command

// Signals, as we found them and as we need them: all blocked, to be taken one by one.
class Signals {
 public:
  Signals() {
    ::sigfillset(&all_);
    ::pthread_sigmask(SIG_BLOCK, &all_, &mask_before_);
    // Were it ignored, as some parents leave it, the system would keep exit statuses to itself.
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &plain, &child_before_);
  }

  void restore() const {
    ::sigaction(SIGCHLD, &child_before_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  }

  [[nodiscard]] siginfo_t next() const {
    siginfo_t info{};
    while (::sigwaitinfo(&all_, &info) < 0) {
    }
    return info;
  }

  // Does to us what the signal does, unless it is ignored.
  static void suffer(int signal) {
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, signal);
    ::raise(signal);
    ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
  }

 private:
  sigset_t all_{};
  sigset_t mask_before_{};
  struct sigaction child_before_ {};
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// The command while it runs, in our process group and with our terminal, as if the caller had started it.
class Command {
 public:
  explicit Command(const Signals& signals) : signals_(signals) {}

  // False, with errno, if there can be no more processes.
  bool start(std::vector<std::string>& words) {
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

  // Passes signals on until the command has ended.
  void wait() {
    while (!ended_) {
      const siginfo_t info = signals_.next();
      if (info.si_signo == SIGCHLD) {
        reap();
      } else {
        pass_on(info);
      }
    }
  }

  // As a shell's $?.
  [[nodiscard]] int exit_status() const {
    return WIFSIGNALED(status_) ? kSignal + WTERMSIG(status_) : WEXITSTATUS(status_);
  }
  // The signal that ended it, or 0.
  [[nodiscard]] int signal() const { return WIFSIGNALED(status_) ? WTERMSIG(status_) : 0; }
  // Whether the terminal sent us that signal, too.
  [[nodiscard]] bool interrupted() const {
    return signal() != 0 && ::sigismember(&from_terminal_, signal()) == 1;
  }

  void describe(pinba::Request& request) const {
    request.request_time = std::chrono::duration<double>(elapsed_).count();
    request.ru_utime = user_;
    request.ru_stime = system_;
    request.memory_peak = peak_;
    request.memory_footprint = peak_;
  }

 private:
  [[noreturn]] void become(char** arguments, pid_t parent) const {
    // Whoever kills us for good means the command.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::raise(SIGKILL);
    signals_.restore();
    ::execvp(arguments[0], arguments);
    const int error = errno;
    complain(fmt::format("{}: {}", mmstats::printable(arguments[0]), std::strerror(error)));
    ::_exit(error == ENOENT ? kNotFound : kCannotRun);
  }

  void reap() {
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

  void pass_on(const siginfo_t& info) {
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

  static bool is_of_terminal(int signal) {
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

// ---- the packet

// Starts to look names up. The command may run for days, so they are looked up again now and then.
mmstats::Expected<pinba::Sender> make_sender(const std::vector<std::string>& servers) {
  using std::chrono::minutes;
  pinba::SenderOptions options;
  options.servers = servers;
  options.resolve_interval = minutes(10);
  options.retry_interval = minutes(1);
  return pinba::Sender::make(std::move(options));
}

pinba::Request make_request(const Options& options, const Command& command) {
  pinba::Request request;
  request.hostname = options.hostname;
  request.server_name = options.server_name;
  request.script_name = options.script_name;
  command.describe(request);
  request.status = command.exit_status() == 0 ? kStatusGood : kStatusBad;
  pinba::Tags tags = options.tags;
  const auto add_new = [&](std::string_view name, std::string_view value) {
    const auto& given = options.tags.pairs();
    if (std::ranges::none_of(given, [&](const auto& tag) { return tag.first == name; }))
      tags.add(name, value);
  };
  add_new("exit", std::to_string(command.exit_status()));
  if (const int signal = command.signal(); signal != 0) {
    const char* name = ::sigabbrev_np(signal);
    add_new("signal", name != nullptr ? name : std::to_string(signal));
  }
  request.add_tags(tags);
  return request;
}

// What became of it, for --verbose.
std::string send(const Options& options, const Command& command, pinba::Sender& sender) {
  const pinba::Request request = make_request(options, command);
  // More tags than fit are left out: a second packet would count the command twice.
  pinba::Encoder encoder({.continue_timers = false});
  const auto datagrams = encoder.encode(request);
  sender.send(datagrams);
  sender.flush(std::chrono::milliseconds(static_cast<std::int64_t>(options.wait * 1000)));
  std::string missed;
  for (std::size_t i = 0; i < options.servers.size(); ++i) {
    if (sender.counts(i).sent == 0) missed += (missed.empty() ? "" : ", ") + options.servers[i];
  }
  return fmt::format(
      "exit {}, {:.3f} s, {:.3f} s user, {:.3f} s system, {} bytes: {}", command.exit_status(),
      request.request_time, request.ru_utime, request.ru_stime, request.memory_peak,
      missed.empty() ? "sent" : "not found or not reached in time: " + mmstats::printable(missed));
}

// ---- the command line

std::vector<std::string> servers_of_environment() {
  const char* value = std::getenv("PINBA_SERVER");
  std::istringstream words(value == nullptr ? "" : value);
  std::vector<std::string> servers;
  for (std::string word; words >> word;) servers.push_back(word);
  if (servers.empty()) servers.emplace_back("127.0.0.1");
  return servers;
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void add_options(CLI::App& app, Options& options) {
  app.footer("Behind the options: [--] COMMAND [ARGUMENT]...");
  app.prefix_command();
  app.add_option("--server", options.servers,
                 "HOST:PORT, again for more of them; default: $PINBA_SERVER, else 127.0.0.1:30002")
      ->allow_extra_args(false);
  app.add_option("--tag", options.tag_words, "NAME=VALUE of the request; may be given again")
      ->allow_extra_args(false);
  app.add_option("--script", options.script_name, "Script name; default: the command's file name");
  app.add_option("--server-name", options.server_name, "Server name; default: script");
  app.add_option("--host", options.hostname, "Host name; default: this machine's");
  app.add_option("--wait", options.wait, "Seconds that names of servers may take at the end; default: 0.5")
      ->check(CLI::Range(0.0, kLongestWait));
  app.add_flag("--verbose", options.verbose, "Say in one line at the end what was sent");
  app.callback([&] {
    options.command = app.remaining();
    if (!options.command.empty() && options.command[0] == "--") {
      options.command.erase(options.command.begin());
    } else if (!options.command.empty() && options.command[0].starts_with('-')) {
      throw CLI::ExtrasError({options.command[0]});
    }
    if (options.command.empty()) throw CLI::RequiredError("COMMAND");
    for (const std::string& tag : options.tag_words) {
      const auto equals = tag.find('=');
      if (equals == 0 || equals == std::string::npos)
        throw CLI::ValidationError("--tag", "must be NAME=VALUE");
      options.tags.add(tag.substr(0, equals), tag.substr(equals + 1));
    }
  });
}

int run(Options& options) {
  if (options.script_name.empty()) options.script_name = file_name(options.command[0]);
  if (options.hostname.empty()) options.hostname = mmstats::host_name();
  const bool servers_given = !options.servers.empty();
  if (!servers_given) options.servers = servers_of_environment();

  // Ahead of all threads, so that none of them takes one.
  const Signals signals;
  auto sender = make_sender(options.servers);
  if (!sender && servers_given) {
    complain(sender.error().text());
    return kOwnFailure;
  }
  Command command(signals);
  if (!command.start(options.command)) {
    complain(fmt::format("cannot start a process: {}", std::strerror(errno)));
    return kOwnFailure;
  }
  command.wait();
  try {
    const std::string outcome = sender ? send(options, command, *sender) : sender.error().text();
    if (options.verbose) complain(outcome);
  } catch (const std::exception&) {  // out of memory: the command's outcome is what matters
  }
  if (command.interrupted()) {
    // A shell goes on with its script unless the command died of the interrupt.
    const rlimit none{};
    ::setrlimit(RLIMIT_CORE, &none);
    ::signal(command.signal(), SIG_DFL);
    Signals::suffer(command.signal());
  }
  return command.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  const int status =
      mmstats::run_tool(argc, argv,
                        {.name = "pinba-run",
                         .description = "Runs a command, and sends what it took to Pinba servers.",
                         .failed = kOwnFailure,
                         .usage = kOwnFailure,
                         .ignores_sigpipe = false},
                        add_options, run);
  std::fflush(stdout);
  // Threads may still look a name up.
  std::_Exit(status);
}
