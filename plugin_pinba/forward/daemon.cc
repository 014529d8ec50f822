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
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <system_error>
#include <utility>

#include "base/host_name.h"
#include "format/file_name.h"
#include "plugin_pinba/forward/preview.h"

namespace mmstats::forward {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kLastWords{2'000};  // that a server's name or a full socket may take at the end

[[noreturn]] void fail(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

class Descriptor {
 public:
  Descriptor(int fd, const char* call) : fd_(fd) {
    if (fd < 0) fail(call);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

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
    : options_(std::move(options)), log_(log), machine_(machine_name()) {}

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
  send_all(kLastWords);
  watch_servers();
  return is_all_sent() ? kGood : kFailed;
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
  if (options_.interval) config->interval = milliseconds(std::llround(*options_.interval * 1e3));
  return config;
}

bool Daemon::start() {
  auto config = load();
  if (!config) {
    for (const auto& mistake : config.error()) log_.say(Priority::kError, mistake);
    return false;
  }
  config_ = std::move(*config);
  encoder_ = pinba::Encoder(encode_options(config_));
  if (!open_sender()) return false;
  for (auto& group : config_.groups) groups_.push_back(make_group(std::move(group)));
  return true;
}

bool Daemon::open_sender() {
  if (options_.dry_run) return true;
  auto sender = pinba::Sender::make(sender_options(config_));
  if (!sender) {
    log_.say(Priority::kError, sender.error().text());
    return false;
  }
  if (sender_) send_all(kLastWords);
  sender_ = std::move(*sender);
  told_.assign(config_.servers.size(), {});
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
  const bool other_servers = config.servers != config_.servers || config.spread != config_.spread;
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
  encoder_ = pinba::Encoder(encode_options(config_));
  told_dropped_ = false;
  if (other_servers && !open_sender()) log_.say(Priority::kError, "keeping the previous servers");
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
  requests_ = datagrams_ = 0;
  for (auto& group : groups_) scan_group(group);
  if (options_.dry_run) std::fflush(stdout);
  watch_servers();
  notify_status();
}

void Daemon::scan_group(Group& group) {
  const auto now = std::chrono::system_clock::now();
  const auto& report = group.watch.scan(now, Steady::now());
  const auto complain = [&](const std::string& text) {
    log_.complain(fmt::format("group \"{}\": {}", group.name, text));
  };
  for (const auto& error : report.errors) complain(error.text());
  if (!group.started) {
    // Nothing is known of what was there before.
    if (report.nothing_readable) return;
    group.mapper.start_from(group.watch.series());
    group.started = true;
  }
  group.mapper.scan(group.watch.series(), now, [this](const pinba::Request& request) { take(request); });
  for (const auto& problem : group.mapper.take_problems()) complain(problem);
}

void Daemon::take(const pinba::Request& request) {
  const auto datagrams = encoder_.encode(request);
  ++requests_;
  datagrams_ += datagrams.size();
  const auto& changes = encoder_.changes();
  const bool dropped =
      (changes.timers_dropped != 0 && encoder_.options().continue_timers) || changes.tags_dropped != 0;
  if (dropped && !std::exchange(told_dropped_, true)) {
    log_.complain(fmt::format(
        "script \"{}\": {} timers and {} request tags are too long for a datagram of {} "
        "bytes (max_datagram), and left out",
        request.script_name, changes.timers_dropped, changes.tags_dropped, encoder_.options().max_bytes));
  }
  if (options_.dry_run) {
    const auto text = preview(request, datagrams);
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    outbox_.add(datagrams, request.script_name);
  }
}

// As far as it can be known: UDP tells of nothing that is lost on its way.
bool Daemon::is_all_sent() const {
  if (!sender_) return true;
  const auto counts = sender_->counts();
  if (counts.queued != 0) {
    log_.say(Priority::kError, fmt::format("{} packets could not be sent", counts.queued));
  }
  return counts.queued == 0 && counts.dropped == 0 && counts.refused == 0;
}

// Says when a server begins to lose packets, and when it takes them again.
void Daemon::watch_servers() {
  if (!sender_) return;
  for (std::size_t i = 0; i < told_.size(); ++i) {
    const auto counts = sender_->counts(i);
    const std::uint64_t lost = counts.dropped + counts.refused;
    Told& told = told_[i];
    if (lost > told.lost) {
      if (!std::exchange(told.losing, true)) {
        log_.complain(fmt::format(
            "server {}: packets are lost: {} were refused, as nobody listens there, and {} could not be sent",
            config_.servers[i], counts.refused, counts.dropped));
      }
    } else if (told.losing && counts.sent > told.sent) {
      told.losing = false;
      // A server that comes and goes must not fill the log either.
      log_.complain(fmt::format("server {}: takes packets again; {} were lost", config_.servers[i], lost),
                    Priority::kNotice);
    }
    told.lost = lost;
    told.sent = counts.sent;
  }
}

// All that waits for its turn; what then waits for a name, or for room in a socket, gets so much more time.
void Daemon::send_all(milliseconds at_most) {
  if (!sender_) return;
  const timespec pause = timespec_of(Outbox::kPause);
  while (!outbox_.empty()) {
    outbox_.send_burst(*sender_);
    if (!outbox_.empty()) ::ppoll(nullptr, 0, &pause, nullptr);
  }
  if (at_most > 0ms) sender_->flush(at_most);
}

int Daemon::serve() {
  const sigset_t signals = orders();
  const Descriptor orders(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  const Descriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
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
    // Until an order, the interval's end, the watchdog's time, or the next burst.
    std::optional<std::chrono::nanoseconds> wait;
    if (!outbox_.empty()) wait = Outbox::kPause;
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
    if (!outbox_.empty()) outbox_.send_burst(*sender_);
    signalfd_siginfo order{};
    while (::read(orders.get(), &order, sizeof order) == sizeof order)
      obey(static_cast<int>(order.ssi_signo));
    std::uint64_t passed = 0;
    if (!ends_ && ::read(timer_, &passed, sizeof passed) == sizeof passed) {
      send_all(0ms);  // a scan that is not out when the next one comes has waited long enough
      scan();
    }
  }
  ::sd_notify(0, "STOPPING=1");
  scan();
  send_all(kLastWords);
  watch_servers();
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
  ::sd_notifyf(0, "STATUS=%zu files, %zu series; sent %zu requests in %zu packets", files, series, requests_,
               datagrams_);
}

}  // namespace mmstats::forward
