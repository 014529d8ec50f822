// mmash: serves what mmstats files hold, as a page, as JSON and for Prometheus. Its man page:
// packaging/man/mmash.8

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/host_port.h"
#include "collect/rules.h"
#include "format/file_name.h"
#include "tools/mmash/log.h"
#include "tools/mmash/page.h"
#include "tools/mmash/server.h"
#include "tools/mmash/site.h"
#include "tools/shared/label_rules.h"
#include "tools/shared/named_files.h"
#include "tools/shared/option_checks.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

enum ExitStatus : int { kGood = 0, kFailed = 1, kUsage = 2 };

constexpr std::chrono::seconds kQuiet{60};

int fail(const mmstats::Error& error) {
  mmstats::complain("mmash", error.text());
  return error.kind == mmstats::ErrorKind::kInvalid ? kUsage : kFailed;
}

// A name that it was told to listen on is one that it may be called.
std::vector<std::string> host_names(std::vector<std::string> names,
                                    const std::vector<std::string>& addresses) {
  for (const auto& address : addresses) {
    if (address.starts_with("unix:") || address.starts_with("[")) continue;
    auto place = mmstats::parse_listen(address);
    if (place && !place->host.empty()) names.push_back(std::move(place->host));
  }
  return names;
}

struct Options {
  std::vector<std::string> globs;
  std::vector<std::string> addresses{"127.0.0.1:5002"};
  std::vector<std::string> hosts;
  std::string buckets = "4";
  std::vector<std::string> labels;
  std::string slow_requests;
  std::string page_folder = MMASH_PAGE;
  std::string javascript = MMASH_JAVASCRIPT;
  bool access_log = false;
  double patience = 10;  // seconds
  mmash::PastOptions past{.minutes = 60};
  mmash::ServerOptions server;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("GLOB", options.globs,
                 "Files to read; default: those that MMSTATS_GLOB or MMSTATS_PATH names,\n"
                 "else /run/mmstats/*.mmstats and /tmp/*.mmstats");
  app.add_option("--listen", options.addresses,
                 "HOST:PORT, [IPV6]:PORT, :PORT for all addresses, or unix:PATH; may be given\n"
                 "more than once")
      ->capture_default_str()
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--host", options.hosts,
                 "A name that browsers may call this server by, beside those that it listens on")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--max-connections", options.server.max_connections, "Clients at once")
      ->capture_default_str()
      ->check(mmstats::whole_from(1, 200));
  app.add_option("--timeout", options.patience,
                 "Seconds that a client has to send a request, or to take a piece of an answer")
      ->capture_default_str()
      ->check(mmstats::number_from(0.1, 3600));
  app.add_option("--buckets", options.buckets,
                 "Buckets of a histogram in /metrics: so many a power of two (1, 2, 4, 8, 16),\n"
                 "all of them, or their bounds, as 0.1,0.5,2")
      ->capture_default_str()
      ->take_last();
  app.add_option("--history", options.past.minutes,
                 "So many minutes are kept for plots, which then begin with them; 0: none")
      ->capture_default_str()
      ->check(mmstats::number_from(0, 1440));
  app.add_option("--history-interval", options.past.interval,
                 "Seconds from one sample of the history to the next; the files are read then")
      ->capture_default_str()
      ->check(mmstats::number_from(0.1, 600));
  app.add_option("--history-memory", options.past.megabytes,
                 "MB that the history may take; where it is not enough, it is shorter")
      ->capture_default_str()
      ->check(mmstats::number_from(1, 10000));
  mmstats::add_labels_option(app, options.labels);
  app.add_option("--slow-requests", options.slow_requests,
                 "The file in which pinba-server keeps slow requests, shown at /slow and on the page")
      ->take_last();
  app.add_flag("--access-log", options.access_log, "A line on standard output for each answer");
  app.add_option("--page", options.page_folder, "The folder with the page's files")
      ->capture_default_str()
      ->take_last();
  app.add_option("--javascript", options.javascript, "The folder with dygraphs/")
      ->capture_default_str()
      ->take_last();
}

int run(Options& options) {
  options.server.patience = std::chrono::milliseconds(static_cast<std::int64_t>(options.patience * 1e3));
  mmstats::Rules rules;
  if (const auto added = mmstats::add_label_rules(options.labels, {}, rules); !added)
    return fail(added.error());
  auto page = mmash::Page::load(options.page_folder, options.javascript);
  if (!page) return fail(page.error());
  auto bounds = mmash::parse_bucket_bounds(options.buckets);
  if (!bounds) return fail(bounds.error());
  for (auto& glob : options.globs) glob = mmstats::named_glob(glob);
  if (options.globs.empty()) options.globs = mmstats::default_globs();
  mmash::Site site(
      options.globs, std::move(rules),
      mmash::HostNames(host_names(std::move(options.hosts), options.addresses)), std::move(*page),
      std::move(*bounds), [](std::string_view text) { mmstats::complain("mmash", text); },
      options.slow_requests, options.past);
  mmash::Server server(
      options.server, [&](const mmash::Request& request) { return site.answer(request); },
      options.access_log ? mmash::write_line : std::function<void(std::string_view)>());
  for (const auto& address : options.addresses) {
    const auto listening = server.listen(address);
    if (!listening) return fail(listening.error());
    mmash::write_line(fmt::format("mmash: serves {}", *listening));
  }
  if (server.listens_everywhere()) {
    mmstats::complain("mmash",
                      "listens on all addresses of this machine: who reaches that port can read everything; "
                      "names that browsers use for this machine need --host: see mmash(8)");
  }
  server.every(kQuiet, [&] { site.scan_again(kQuiet); });
  if (options.past.minutes > 0) {
    site.tick();
    server.every(std::chrono::milliseconds(static_cast<std::int64_t>(options.past.interval * 1e3)),
                 [&] { site.tick(); });
  }
  ::sd_notify(0, "READY=1");
  server.run();
  ::sd_notify(0, "STOPPING=1");
  return kGood;
}

}  // namespace

int main(int argc, char** argv) {
  return mmstats::run_tool(
      argc, argv,
      {.name = "mmash",
       .description = "Serves what mmstats files hold: as a web page, as JSON and CSV, and for Prometheus.",
       .failed = kFailed,
       .usage = kUsage},
      add_options, run);
}
