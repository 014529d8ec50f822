// pinba-server: receives Pinba packets, and publishes reports of them as mmstats files. Its man page:
// packaging/man/pinba-server.8

#include <CLI/CLI.hpp>
#include <exception>
#include <utility>

#include "plugin_pinba/daemon/daemon_log.h"
#include "plugin_pinba/receive/config.h"
#include "plugin_pinba/receive/daemon.h"

namespace receive = mmstats::receive;

int main(int argc, char** argv) {
  mmstats::daemon::DaemonLog log("pinba-server");
  try {
    receive::Options options;
    CLI::App app("Receives Pinba packets, and publishes reports of them as mmstats files.", "pinba-server");
    auto* config = app.add_option("--config", options.config, "Configuration: pinba-server.toml(5)");
    config->default_val(PINBA_SERVER_CONFIG);
    app.add_option("--listen", options.listen,
                   "HOST:PORT, [IPV6]:PORT, or :PORT for all addresses, instead of the configuration's;\n"
                   "may be given several times")
        ->check(receive::wrong_listen);
    auto* check =
        app.add_flag("--check-config", options.check_config, "Name all mistakes, and do nothing else");
    app.add_flag("--explain", options.explain, "Show the last bad packets, and what is wrong with them")
        ->excludes(check);
    app.set_version_flag("--version", "pinba-server " MMSTATS_VERSION);
    app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
      return failed->get_name() + ": " + error.what() + "\nRun with --help for more information.\n";
    });
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? receive::kGood : receive::kUsage;
    }
    options.config_given = config->count() > 0;
    return receive::Daemon(std::move(options), log).run();
  } catch (const std::exception& error) {
    log.say(mmstats::daemon::Priority::kError, error.what());
    return receive::kFailed;
  }
}
