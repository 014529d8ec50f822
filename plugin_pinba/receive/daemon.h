// The server as a process: does what its configuration, signals and systemd ask of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collect/complaints.h"
#include "plugin_pinba/daemon/daemon_log.h"
#include "plugin_pinba/daemon/orders.h"
#include "plugin_pinba/receive/config.h"
#include "plugin_pinba/receive/server.h"

namespace mmstats::receive {

enum ExitStatus : int { kGood = 0, kFailed = 1, kUsage = 2 };

// The command line.
struct Options {
  std::string config;               // path
  bool config_given = false;        // else it may be missing
  std::vector<std::string> listen;  // empty: the configuration's
  bool check_config = false;
  bool explain = false;
};

class Daemon {
 public:
  Daemon(Options options, daemon::DaemonLog& log) : options_(std::move(options)), log_(log) {}

  // Until a signal ends it, or as the options say. Call it before any thread is started. Returns the exit
  // status.
  int run();

 private:
  [[nodiscard]] tl::expected<Config, daemon::Mistakes> load() const;
  int check();
  int explain();
  int serve(daemon::Orders& orders, Config config);
  void reload(Server& server, FixedConfig& fixed);
  void tend(Server& server);
  void show_bad_packets(Server& server);
  void tell_no_memory(std::string_view so);

  Options options_;
  daemon::DaemonLog& log_;
  ToldComplaints told_;
};

}  // namespace mmstats::receive
