// The forwarder as a process: scans all groups at every interval, sends what they became, and does what
// signals and systemd ask of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collect/watch.h"
#include "plugin_pinba/daemon/daemon_log.h"
#include "plugin_pinba/daemon/orders.h"
#include "plugin_pinba/forward/config.h"
#include "plugin_pinba/forward/delivery.h"
#include "plugin_pinba/forward/request_mapper.h"

namespace mmstats::forward {

enum ExitStatus : int { kGood = 0, kFailed = 1, kUsage = 2 };

// The command line. What it sets is stronger than the configuration, now and after it was read again.
struct Options {
  std::string config;                // path
  bool config_given = false;         // else it may be missing
  std::vector<std::string> servers;  // empty: the configuration's
  std::optional<double> interval;    // seconds
  bool check_config = false;
  bool once = false;
  bool dry_run = false;
};

class Daemon {
 public:
  Daemon(Options options, DaemonLog& log);

  // Until a signal ends it, or as the options say. Blocks SIGHUP, SIGINT and SIGTERM: call it before any
  // thread is started. Returns the exit status.
  int run();

 private:
  struct Group {
    std::string name;
    std::string ledger;
    std::vector<std::string> globs;
    Watch watch;
    RequestMapper mapper;
    bool started = false;      // its base is known
    std::size_t requests = 0;  // that were sent, or would be
  };
  using Steady = std::chrono::steady_clock;

  int check();
  void tell_why_nothing() const;
  tl::expected<Config, Mistakes> load();
  bool start();
  void reload();
  Group make_group(GroupConfig&& config) const;
  [[nodiscard]] Mapping mapping_of(GroupConfig&& config) const;
  void scan();
  void scan_group(Group& group);
  int serve(daemon::Orders& orders);
  void obey(int signal);
  [[nodiscard]] std::vector<std::string> group_names() const;
  void notify_status();

  Options options_;
  DaemonLog& log_;
  Config config_;  // its groups have moved into groups_
  std::string machine_;
  std::vector<Group> groups_;
  Delivery delivery_;
  std::uint64_t untold_ = 0;  // complaints of this scan that the log had no room for
  bool ends_ = false;
  std::optional<daemon::Ticks> ticks_;  // of scans
};

}  // namespace mmstats::forward
