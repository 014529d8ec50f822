#include "plugin_pinba/forward/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <utility>

#include "base/host_name.h"
#include "format/file_name.h"

namespace mmstats::forward {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kLastWords{2'000};  // that a server's name or a full socket may take at the end

std::string machine_name() {
  const std::string name = host_name();
  return name.empty() ? "localhost" : name;
}

double seconds_of(milliseconds time) { return static_cast<double>(time.count()) / 1e3; }

}  // namespace

Daemon::Daemon(Options options, DaemonLog& log)
    : options_(std::move(options)), log_(log), machine_(machine_name()), delivery_(log, options_.dry_run) {}

int Daemon::run() {
  if (options_.check_config) return check();
  daemon::Orders orders({SIGHUP, SIGINT, SIGTERM});
  if (!start()) return kFailed;
  if (!options_.once) return serve(orders);
  // What the files hold now, as if they were new: nothing was scanned before.
  for (auto& group : groups_) group.started = true;
  scan();
  delivery_.send_all(kLastWords);
  delivery_.end_scan();
  log_.end();
  if (options_.dry_run) tell_why_nothing();
  return delivery_.is_all_sent(kLastWords) ? kGood : kFailed;
}

// Of groups of which nothing would be sent.
void Daemon::tell_why_nothing() const {
  for (const Group& group : groups_) {
    if (group.requests > 0) continue;
    const FoldStats& stats = group.watch.stats();
    const auto counted = [](std::size_t count, std::string_view what) {
      return fmt::format("{} {}{}", count, what, count == 1 || what == "series" ? "" : "s");
    };
    const std::string globs = fmt::format("{}", fmt::join(group.globs, ", "));
    std::string why;
    if (group.watch.files() == 0) {
      why = "no file matches " + globs;
    } else if (stats.series == 0) {
      why = fmt::format(
          "{} for {}, and no label of them is a metric: they are texts, are written once, or are ignored",
          counted(group.watch.files(), "file"), globs);
    } else {
      why = fmt::format("{} for {}, with {}, all of which are 0 or become nothing by this configuration",
                        counted(group.watch.files(), "file"), globs, counted(stats.series, "series"));
    }
    if (stats.damaged > 0) why += fmt::format("; {} with problems", counted(stats.damaged, "file"));
    log_.say(Priority::kNotice, fmt::format("group \"{}\": nothing to send: {}", group.name, why));
  }
}

int Daemon::check() {
  const auto config = load();
  if (!config) {
    fmt::print(stderr, "{}\n", fmt::join(config.error(), "\n"));
    return kFailed;
  }
  for (const auto& group : config->groups) {
    for (const auto& warning : group.warnings) fmt::print(stderr, "{}\n", warning);
  }
  fmt::print("{}: no mistakes; {} group{}, to {} every {} s\n", options_.config, config->groups.size(),
             config->groups.size() == 1 ? "" : "s", fmt::join(config->servers, ", "),
             seconds_of(config->interval));
  return kGood;
}

tl::expected<Config, Mistakes> Daemon::load() {
  // The default one may be missing: then all defaults hold.
  const bool missing = !options_.config_given && ::access(options_.config.c_str(), F_OK) != 0;
  const auto globs = default_globs();
  auto config = missing ? read_config("", options_.config, globs) : load_config(options_.config, globs);
  if (!config) return config;
  if (!options_.servers.empty()) config->servers = options_.servers;
  if (options_.interval) config->interval = interval_of(*options_.interval);
  return config;
}

bool Daemon::start() {
  auto config = load();
  if (!config) {
    for (const auto& mistake : config.error()) log_.say(Priority::kError, mistake);
    return false;
  }
  config_ = std::move(*config);
  if (!delivery_.configure(config_)) return false;
  for (auto& group : config_.groups) groups_.push_back(make_group(std::move(group)));
  return true;
}

Mapping Daemon::mapping_of(GroupConfig&& config) const {
  for (const auto& warning : config.warnings) log_.say(Priority::kWarning, warning);
  return {.group = config.name,
          .hostname = config_.hostname.value_or(machine_),
          .tags = std::move(config.tags),
          .request = std::move(config.request),
          .metrics = std::move(config.metrics),
          .limits = text_limits(config_.server_kind),
          .tags_room = config_.max_datagram / 2};
}

Daemon::Group Daemon::make_group(GroupConfig&& config) const {
  std::string name = config.name;
  std::string ledger = std::move(config.ledger);
  auto globs = config.watch.globs;
  Watch watch(std::move(config.watch), std::move(config.rules));
  return {std::move(name), std::move(ledger), std::move(globs), std::move(watch),
          RequestMapper(mapping_of(std::move(config)))};
}

// The new configuration, if it is good. Groups whose series stay the same keep their ledger; of those that do
// not, what was counted until now is sent, and what counts from now on will be.
void Daemon::reload() {
  auto loaded = load();
  if (!loaded) {
    for (const auto& mistake : loaded.error()) log_.say(Priority::kError, mistake);
    return log_.say(Priority::kError, options_.config + ": keeping the previous configuration");
  }
  Config& config = *loaded;
  std::vector<Group> old = std::exchange(groups_, {});
  const auto kept = [&](const GroupConfig& wanted) {
    return std::ranges::find_if(
        old, [&](const Group& group) { return group.name == wanted.name && group.ledger == wanted.ledger; });
  };
  for (auto& group : old) {
    const bool stays = std::ranges::any_of(config.groups, [&](const auto& wanted) {
      return group.name == wanted.name && group.ledger == wanted.ledger;
    });
    if (!stays) scan_group(group);
  }
  config_ = std::move(config);
  if (!delivery_.configure(config_)) log_.say(Priority::kError, "keeping the previous servers");
  for (auto& wanted : config_.groups) {
    const auto group = kept(wanted);
    if (group == old.end()) {
      groups_.push_back(make_group(std::move(wanted)));
      scan_group(groups_.back());
    } else {
      group->mapper.remap(mapping_of(std::move(wanted)));
      groups_.push_back(std::move(*group));
      old.erase(group);
    }
  }
  ticks_->set(config_.interval);
  log_.say(Priority::kNotice, options_.config + ": read again");
}

void Daemon::scan() {
  delivery_.begin_scan();
  log_.begin_scan();
  untold_ = 0;
  for (auto& group : groups_) scan_group(group);
  delivery_.end_scan();
  log_.end_scan(untold_);
  notify_status();
}

void Daemon::scan_group(Group& group) {
  const auto now = std::chrono::system_clock::now();
  const auto& report = group.watch.scan(now, Steady::now());
  const auto in_group = [&](const std::string& text) {
    return fmt::format("group \"{}\": {}", group.name, text);
  };
  std::size_t told = 0;
  for (const auto& error : report.errors) {
    if (!log_.complain_or_come_again(in_group(error.text()))) break;
    ++told;
  }
  group.watch.told(told);
  untold_ += report.untold - told;
  if (!group.started) {
    // Nothing is known of what was there before.
    if (report.nothing_readable) return;
    group.mapper.start_from(group.watch.series(), group.watch.distributions());
    group.started = true;
  }
  group.mapper.scan(group.watch.series(), group.watch.distributions(), now,
                    [&](const pinba::Request& request) {
                      ++group.requests;
                      delivery_.take(request);
                    });
  for (const auto& problem : group.mapper.take_problems()) log_.complain(in_group(problem));
}

int Daemon::serve(daemon::Orders& orders) {
  ticks_.emplace(config_.interval);
  daemon::Watchdog watchdog;

  scan();
  daemon::tell_ready();
  log_.say(Priority::kInfo,
           fmt::format("sends {} to {} every {} s", fmt::join(group_names(), ", "),
                       options_.dry_run ? "nothing" : fmt::to_string(fmt::join(config_.servers, ", ")),
                       seconds_of(config_.interval)));
  while (!ends_) {
    // Until an order, the interval's end, the watchdog's time, the next burst, or its outcome.
    std::optional<std::chrono::nanoseconds> wait;
    if (delivery_.waits()) {
      wait = Outbox::kPause;
    } else if (const auto look_at = delivery_.look_at()) {
      wait = std::max<std::chrono::nanoseconds>(*look_at - Steady::now(), 0ns);
    }
    daemon::wait(orders, *ticks_, watchdog, wait);
    if (delivery_.waits()) {
      delivery_.send_burst();
    } else if (const auto look_at = delivery_.look_at(); look_at && Steady::now() >= *look_at) {
      delivery_.look();
    }
    while (const auto order = orders.take()) obey(*order);
    if (!ends_ && ticks_->take()) {
      delivery_.send_all(0ms);  // a scan that is not out when the next one comes has waited long enough
      scan();
    }
  }
  daemon::tell_stopping();
  scan();
  delivery_.send_all(kLastWords);
  delivery_.end_scan();
  log_.end();
  return kGood;
}

void Daemon::obey(int signal) {
  if (signal != SIGHUP) {
    ends_ = true;
    return;
  }
  daemon::tell_reloading();
  reload();
  daemon::tell_ready();
}

std::vector<std::string> Daemon::group_names() const {
  std::vector<std::string> names;
  names.reserve(groups_.size());
  for (const auto& group : groups_) names.push_back(group.name);
  return names;
}

void Daemon::notify_status() {
  std::size_t files = 0;
  std::size_t series = 0;
  for (const auto& group : groups_) {
    files += group.watch.stats().files;
    series += group.watch.stats().series;
  }
  ::sd_notifyf(0, "STATUS=%zu files, %zu series; sent %zu requests in %zu packets", files, series,
               delivery_.requests(), delivery_.datagrams());
}

}  // namespace mmstats::forward
