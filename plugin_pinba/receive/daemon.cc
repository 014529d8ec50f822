#include "plugin_pinba/receive/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>

#include "plugin_pinba/receive/explain.h"

namespace mmstats::receive {
namespace {

using daemon::Priority;

constexpr std::size_t kShownPackets = 5;  // of the last bad ones, in the log

// False: there was not enough memory for all of it.
bool has_memory_for(const auto& action) {
  try {
    action();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

int Daemon::run() {
  if (options_.check_config) return check();
  if (options_.explain) return explain();
  daemon::Orders orders({SIGHUP, SIGINT, SIGTERM, SIGUSR1});
  auto config = load();
  if (!config) {
    for (const auto& mistake : config.error()) log_.say(Priority::kError, mistake);
    return kFailed;
  }
  return serve(orders, std::move(*config));
}

tl::expected<Config, daemon::Mistakes> Daemon::load() const {
  // The default one may be missing: then all defaults hold.
  const bool missing = !options_.config_given &&
                       ::faccessat(AT_FDCWD, options_.config.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
                       errno == ENOENT;
  auto config = missing ? read_config("", options_.config) : load_config(options_.config);
  daemon::Mistakes mistakes = config ? daemon::Mistakes() : std::move(config.error());
  if (!mistakes.empty()) return tl::unexpected(std::move(mistakes));
  if (!options_.listen.empty()) config->fixed.listen = options_.listen;
  if (const auto itself = forwards_to_itself(*config); !itself.empty()) {
    return tl::unexpected(daemon::Mistakes{fmt::format(
        "{}: forward: \"{}\" is where this server listens, and would get its own packets for ever",
        options_.config, itself)});
  }
  return config;
}

int Daemon::check() {
  const auto config = load();
  if (!config) {
    fmt::print(stderr, "{}\n", fmt::join(config.error(), "\n"));
    return kFailed;
  }
  const std::size_t reports = config->reports.reports.size();
  fmt::print("{}: no mistakes; {} report{}{}, listening on {}\n", options_.config, reports,
             reports == 1 ? "" : "s", config->reports.timers_by_tags ? ", and timers by their tags" : "",
             fmt::join(config->fixed.listen, ", "));
  return kGood;
}

int Daemon::explain() {
  const auto config = load();
  if (!config) {
    fmt::print(stderr, "{}\n", fmt::join(config.error(), "\n"));
    return kFailed;
  }
  const auto write = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  const auto explained = explain_file(config->fixed.state_folder + '/' + std::string(kBadPacketsFile), write);
  if (explained) return kGood;
  fmt::print(stderr, "pinba-server: {}\n", explained.error().text());
  return kFailed;
}

int Daemon::serve(daemon::Orders& orders, Config config) {
  // Where files of applications are found, if nothing is said.
  if (!config.fixed.path.empty()) ::setenv("MMSTATS_PATH", config.fixed.path.c_str(), 1);
  Server server(config);
  if (const auto started = server.start(config); !started) {
    log_.say(Priority::kError, started.error().text());
    return kFailed;
  }
  daemon::Ticks ticks(std::chrono::seconds(1));
  daemon::Watchdog watchdog;
  daemon::tell_ready();
  log_.say(Priority::kInfo, fmt::format("listens on {}", fmt::join(server.addresses(), ", ")));
  for (bool ends = false; !ends;) {
    daemon::wait(orders, ticks, watchdog);
    if (ticks.take() && !has_memory_for([&] { tend(server); }))
      tell_no_memory("not all is done that is done once a second");
    while (const auto order = orders.take()) {
      switch (*order) {
        case SIGHUP:
          daemon::tell_reloading();
          if (!has_memory_for([&] { reload(server, config.fixed); }))
            tell_no_memory("keeping the previous configuration");
          daemon::tell_ready();
          break;
        case SIGUSR1:
          if (!has_memory_for([&] { show_bad_packets(server); }))
            tell_no_memory("not all bad packets are shown");
          break;
        default:
          ends = true;
      }
    }
  }
  daemon::tell_stopping();
  static_cast<void>(has_memory_for([&] { log_.end(); }));
  return kGood;
}

void Daemon::reload(Server& server, FixedConfig& fixed) {
  auto config = load();
  if (!config) {
    for (const auto& mistake : config.error()) log_.say(Priority::kError, mistake);
    return log_.say(Priority::kError, options_.config + ": keeping the previous configuration");
  }
  // All labels have it, those of the server itself, too.
  std::string why;
  if (config->fixed.prefix != fixed.prefix) {
    why = "another prefix needs a new start of the server";
  } else if (const auto changed = server.change(*config); !changed) {
    why = changed.error().text();
  }
  if (!why.empty())
    return log_.say(Priority::kError,
                    fmt::format("{}: {}: keeping the previous configuration", options_.config, why));
  log_.say(Priority::kNotice, options_.config + ": read again");
  if (config->fixed != fixed) {
    log_.say(Priority::kWarning,
             options_.config +
                 ": listen, threads, receive_buffer, path, state_folder and slow_bytes change "
                 "when the server is started again");
  }
}

void Daemon::tend(Server& server) {
  log_.begin_scan();
  told_.begin_scan();
  std::uint64_t waiting = 0;
  for (const auto& error : server.tend()) {
    if (told_.has(error, 0)) continue;
    if (log_.complain_or_come_again(error.text())) {
      told_.add(error, 0);
    } else {
      ++waiting;
    }
  }
  log_.end_scan(waiting);
  ::sd_notifyf(0, "STATUS=%llu packets", static_cast<unsigned long long>(server.packets()));
}

// Packets are counted on: what is there needs no more memory.
void Daemon::tell_no_memory(std::string_view so) {
  const auto tell = [&] {
    log_.complain(fmt::format("there is not enough memory: {}", so), Priority::kError);
  };
  static_cast<void>(has_memory_for(tell));
}

void Daemon::show_bad_packets(Server& server) {
  tend(server);
  const auto lines = explain_last(server.bad_lines(), kShownPackets);
  if (lines.empty()) log_.say(Priority::kNotice, "no bad packets came");
  for (const auto& line : lines) log_.say(Priority::kNotice, line);
}

}  // namespace mmstats::receive
