// mmstats-pinba: forwards what applications publish in mmstats files to a Pinba server. Its man page:
// packaging/man/mmstats-pinba.8

#include <CLI/CLI.hpp>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "base/number_range.h"
#include "collect/settings.h"
#include "pinba/sender.h"
#include "plugin_pinba/daemon/daemon_log.h"
#include "plugin_pinba/forward/config.h"
#include "plugin_pinba/forward/daemon.h"

namespace forward = mmstats::forward;

int main(int argc, char** argv) {
  mmstats::daemon::DaemonLog log("mmstats-pinba");
  try {
    forward::Options options;
    CLI::App app("Forwards what applications publish in mmstats files to a Pinba server.", "mmstats-pinba");
    auto* config = app.add_option("--config", options.config, "Configuration: mmstats-pinba.toml(5)");
    config->default_val(MMSTATS_PINBA_CONFIG);
    app.add_option("--server", options.servers,
                   "HOST[:PORT] to send to, several with commas, instead of the configuration's")
        ->take_all()
        ->check([](const std::string& list) { return forward::server_problem(pinba::split_servers(list)); });
    app.add_option("--interval", options.interval, "Seconds between scans, instead of the configuration's")
        ->check([](const std::string& text) {
          return mmstats::wrong_number(text, mmstats::kMinInterval, mmstats::kMaxInterval);
        });
    auto* check =
        app.add_flag("--check-config", options.check_config, "Name all mistakes, and do nothing else");
    app.add_flag("--once", options.once, "Send what the files hold now, and end")->excludes(check);
    app.add_flag("--dry-run", options.dry_run, "Print what would be sent, and send nothing")->excludes(check);
    app.set_version_flag("--version", "mmstats-pinba " MMSTATS_VERSION);
    app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
      return failed->get_name() + ": " + error.what() + "\nRun with --help for more information.\n";
    });
    try {
      app.parse(argc, argv);
      std::vector<std::string> servers;
      for (const auto& list : options.servers) {
        for (auto& server : pinba::split_servers(list)) servers.push_back(std::move(server));
      }
      options.servers = std::move(servers);
      if (const auto problem = forward::server_problem(options.servers);
          !options.servers.empty() && !problem.empty())
        throw CLI::ValidationError("--server", problem);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? forward::kGood : forward::kUsage;
    }
    options.config_given = config->count() > 0;
    return forward::Daemon(std::move(options), log).run();
  } catch (const std::exception& error) {
    log.say(mmstats::daemon::Priority::kError, error.what());
    return forward::kFailed;
  }
}
