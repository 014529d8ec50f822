// pinba-run: runs a command, and sends what it took to Pinba servers. Its man page: packaging/man/pinba-run.1

#include <fmt/format.h>
#include <sys/resource.h>

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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/host_name.h"
#include "mmstats/error.h"
#include "pinba/encode.h"
#include "pinba/request.h"
#include "pinba/sender.h"
#include "tools/pinba_run/command.h"
#include "tools/shared/option_checks.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

using pinba_run::Command;
using pinba_run::kOwnFailure;
using pinba_run::Signals;

constexpr std::uint32_t kStatusGood = 200;
constexpr std::uint32_t kStatusBad = 500;
constexpr double kLongestWait = 60;                 // seconds
constexpr std::chrono::milliseconds kRefusal{200};  // that may come from far away

struct Options {
  std::vector<std::string> servers;
  std::vector<std::string> server_words;
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
  pinba::Tags tags{{"exit", command.exit_status()}};
  if (const int signal = command.signal(); signal != 0) {
    const char* name = ::sigabbrev_np(signal);
    tags.add("signal", name != nullptr ? name : std::to_string(signal));
  }
  request.add_tags(tags.set(options.tags));
  return request;
}

// What became of it, for --verbose.
std::string send(const Options& options, const Command& command, pinba::Sender& sender) {
  const pinba::Request request = make_request(options, command);
  // More tags than fit are left out: a second packet would count the command twice.
  pinba::Encoder encoder({.continue_timers = false});
  const auto datagrams = encoder.encode(request);
  sender.send(datagrams);
  sender.flush(std::chrono::milliseconds(static_cast<std::int64_t>(options.wait * 1000)),
               options.verbose ? kRefusal : std::chrono::milliseconds(0));
  std::string missed;
  std::string refused;
  for (std::size_t i = 0; i < options.servers.size(); ++i) {
    const auto counts = sender.counts(i);
    std::string* list = counts.sent == 0 ? &missed : counts.refused > 0 ? &refused : nullptr;
    if (list != nullptr) *list += (list->empty() ? "" : ", ") + mmstats::printable(options.servers[i]);
  }
  std::string outcome;
  if (!missed.empty()) outcome = "not found or not reached in time: " + missed;
  if (!refused.empty()) outcome += (outcome.empty() ? "" : "; ") + ("nobody listens at " + refused);
  return fmt::format("exit {}, {:.3f} s, {:.3f} s user, {:.3f} s system, {} bytes: {}", command.exit_status(),
                     request.request_time, request.ru_utime, request.ru_stime, request.memory_peak,
                     outcome.empty() ? "sent" : outcome);
}

std::vector<std::string> servers_of_environment() {
  const char* value = std::getenv("PINBA_SERVER");
  auto servers = pinba::split_servers(value == nullptr ? "" : value);
  if (servers.empty()) servers.emplace_back("127.0.0.1");
  return servers;
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void add_options(CLI::App& app, Options& options) {
  app.footer("Behind the options: [--] COMMAND [ARGUMENT]...");
  app.prefix_command();
  app.add_option(
         "--server", options.server_words,
         "HOST:PORT, several with commas, or given again; default: $PINBA_SERVER, else 127.0.0.1:30002")
      ->allow_extra_args(false);
  app.add_option("--tag", options.tag_words, "NAME=VALUE of the request; may be given again")
      ->allow_extra_args(false);
  app.add_option("--script", options.script_name, "Script name; default: the command's file name");
  app.add_option("--server-name", options.server_name, "Server name; default: script");
  app.add_option("--host", options.hostname, "Host name; default: this machine's");
  app.add_option("--wait", options.wait, "Seconds that names of servers may take at the end; default: 0.5")
      ->check(mmstats::number_from(0, kLongestWait));
  app.add_flag("--verbose", options.verbose, "Say in one line at the end what was sent");
  app.callback([&] {
    for (const std::string& words : options.server_words) {
      const auto some = pinba::split_servers(words);
      if (some.empty()) throw CLI::ValidationError("--server", "must be HOST:PORT");
      options.servers.insert(options.servers.end(), some.begin(), some.end());
    }
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
