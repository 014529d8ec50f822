#include "plugin_pinba/forward/daemon.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "base/host_name.h"
#include "format/file_name.h"

namespace mmstats::forward {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kLastWords{2'000};  // that a server's name or a full socket may take at the end

[[noreturn]] void fail(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

Descriptor checked(int fd, const char* call) {
  if (fd < 0) fail(call);
  return Descriptor(fd);
}

timespec timespec_of(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

void set_timer(int fd, milliseconds interval) {
  const itimerspec spec{.it_interval = timespec_of(interval), .it_value = timespec_of(interval)};
  if (::timerfd_settime(fd, 0, &spec, nullptr) != 0) fail("timerfd_settime");
}

std::string machine_name() {
  const std::string name = host_name();
  return name.empty() ? "localhost" : name;
}

double seconds_of(milliseconds time) { return static_cast<double>(time.count()) / 1e3; }

// The signals that tell the daemon what to do.
sigset_t orders() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) ::sigaddset(&signals, signal);
  return signals;
}

// How often systemd wants to hear from us: half of its patience.
std::optional<std::chrono::nanoseconds> watchdog_period() {
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) <= 0) return std::nullopt;
  return std::chrono::nanoseconds(std::chrono::microseconds(microseconds)) / 2;
}

}  // namespace

Daemon::Daemon(Options options, DaemonLog& log)
    : options_(std::move(options)), log_(log), machine_(machine_name()), delivery_(log, options_.dry_run) {}

int Daemon::run() {
  if (options_.check_config) return check();
  sigset_t signals = orders();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  if (!start()) return kFailed;
  if (!options_.once) return serve();
  // What the files hold now, as if they were new: nothing was scanned before.
  for (auto& group : groups_) group.started = true;
  scan();
  delivery_.send_all(kLastWords);
  delivery_.end_scan();
  log_.end();
  return delivery_.is_all_sent(kLastWords) ? kGood : kFailed;
}

int Daemon::check() {
  const auto config = load();
  if (!config) {
    fmt::print(stderr, "{}\n", fmt::join(config.error(), "\n"));
    return kFailed;
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
  return {.group = config.name,
          .hostname = config_.hostname.value_or(machine_),
          .tags = std::move(config.tags),
          .request = std::move(config.request),
          .metrics = std::move(config.metrics),
          .limits = text_limits(config_.server_kind)};
}

Daemon::Group Daemon::make_group(GroupConfig&& config) const {
  std::string name = config.name;
  std::string ledger = std::move(config.ledger);
  Watch watch(std::move(config.watch), std::move(config.rules));
  return {std::move(name), std::move(ledger), std::move(watch), RequestMapper(mapping_of(std::move(config)))};
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
  set_timer(timer_, config_.interval);
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
                    [this](const pinba::Request& request) { delivery_.take(request); });
  for (const auto& problem : group.mapper.take_problems()) log_.complain(in_group(problem));
}

int Daemon::serve() {
  const sigset_t signals = orders();
  const Descriptor orders = checked(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  const Descriptor timer =
      checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
  timer_ = timer.get();
  set_timer(timer_, config_.interval);
  const auto watchdog = watchdog_period();

  scan();
  ::sd_notify(0, "READY=1");
  log_.say(Priority::kInfo,
           fmt::format("sends {} to {} every {} s", fmt::join(group_names(), ", "),
                       options_.dry_run ? "nothing" : fmt::to_string(fmt::join(config_.servers, ", ")),
                       seconds_of(config_.interval)));
  auto alive_at = Steady::now();
  while (!ends_) {
    // Until an order, the interval's end, the watchdog's time, the next burst, or its outcome.
    std::optional<std::chrono::nanoseconds> wait;
    if (delivery_.waits()) {
      wait = Outbox::kPause;
    } else if (const auto look_at = delivery_.look_at()) {
      wait = std::max<std::chrono::nanoseconds>(*look_at - Steady::now(), 0ns);
    }
    if (watchdog) wait = std::clamp(alive_at + *watchdog - Steady::now(), 0ns, wait.value_or(*watchdog));
    std::array<pollfd, 2> polled{{{orders.get(), POLLIN, 0}, {timer_, POLLIN, 0}}};
    const timespec timeout = timespec_of(wait.value_or(0ns));
    if (::ppoll(polled.data(), polled.size(), wait ? &timeout : nullptr, nullptr) < 0 && errno != EINTR) {
      fail("ppoll");
    }
    if (watchdog && Steady::now() >= alive_at + *watchdog) {
      ::sd_notify(0, "WATCHDOG=1");
      alive_at = Steady::now();
    }
    if (delivery_.waits()) {
      delivery_.send_burst();
    } else if (const auto look_at = delivery_.look_at(); look_at && Steady::now() >= *look_at) {
      delivery_.look();
    }
    signalfd_siginfo order{};
    while (::read(orders.get(), &order, sizeof order) == sizeof order)
      obey(static_cast<int>(order.ssi_signo));
    std::uint64_t passed = 0;
    if (!ends_ && ::read(timer_, &passed, sizeof passed) == sizeof passed) {
      delivery_.send_all(0ms);  // a scan that is not out when the next one comes has waited long enough
      scan();
    }
  }
  ::sd_notify(0, "STOPPING=1");
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
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto microseconds =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
  ::sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", static_cast<unsigned long long>(microseconds));
  reload();
  ::sd_notify(0, "READY=1");
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
