#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "plugin_pinba/receive/config.h"
#include "temporary_folder.h"

namespace {

using mmstats::receive::Config;
using mmstats::receive::Counted;
using mmstats::receive::forwards_to_itself;
using mmstats::receive::load_config;
using mmstats::receive::Packet;
using mmstats::receive::read_config;
using mmstats::receive::ReportSpec;
using mmstats::receive::Tag;
using mmstats::receive::TimerEntry;

Config server_config(const std::string& toml) {
  auto config = read_config(toml, "file.toml");
  if (!config) FAIL(config.error().front());
  return std::move(*config);
}

std::vector<std::string> labels_of(const Config& config) {
  std::vector<std::string> labels;
  for (const ReportSpec& report : config.reports.reports) labels.push_back(report.label);
  return labels;
}

std::vector<std::string> dimensions_of(const ReportSpec& report) {
  std::vector<std::string> names;
  for (const auto& key : report.keys) names.push_back(key.dimension);
  return names;
}

sockaddr_storage v4_sender(const char* text) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4.sin_family = AF_INET;
  REQUIRE(::inet_pton(AF_INET, text, &v4.sin_addr) == 1);
  return address;
}

sockaddr_storage v6_sender(const char* text) {
  sockaddr_storage address{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  v6.sin6_family = AF_INET6;
  REQUIRE(::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
  return address;
}

// The shipped file with its comments of code in use: they begin with "#", those of prose with "# ".
std::string shipped_with_all_in_use() {
  std::ifstream file(PINBA_SERVER_TOML);
  std::string all;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#") && !line.starts_with("# ")) line.erase(0, 1);
    all += line + "\n";
  }
  return all;
}

}  // namespace

TEST_CASE("without any configuration requests and timers are counted, and loopback is listened on") {
  const Config config = server_config("");
  CHECK(config.fixed.listen == std::vector<std::string>{"127.0.0.1:30002"});
  CHECK(config.fixed.threads == 1);
  CHECK(config.fixed.prefix == "pinba");
  CHECK(config.fixed.state_folder == "/run/pinba-server");
  CHECK(config.fixed.path.empty());
  CHECK(labels_of(config) ==
        std::vector<std::string>{"pinba.script", "pinba.server", "pinba.host", "pinba.status"});
  CHECK(config.reports.timers_by_tags);
  CHECK(config.expire == std::chrono::hours(1));
  CHECK_FALSE(config.slow);
  CHECK(config.forward.empty());
  CHECK(config.allowed.have(v4_sender("192.0.2.1")));
}

constexpr const char* kServerKeys = R"toml(
listen = [":30002", "[::1]:30003"]
allow = ["127.0.0.0/8", "fd00::/8", "192.0.2.7"]
threads = 4
receive_buffer = 65536
forward = "old:30002, [::1]:30004"
path = "/srv/files"
state_folder = "/srv/state"
prefix = "shop"
max_rows = 100
max_all_rows = 1000
max_tag_sets = 0
expire = 60
default_reports = false
timers_by_tags = false
slow = 0.25
slow_bytes = 65536
[[rewrite]]
key = "~script"
match = '/user/\d+'
to = '/user/:id'
[[rewrite]]
key = "@query"
match = "'[^']*'"
to = "?"
[[report]]
name = "all"
kind = "packet"
[[report]]
name = "api"
kind = "request"
keys = ["~script", "~status", "+app.version"]
where = { "~server" = 'api\d+\.example\.com', "+app.version" = '\Q1.0\E' }
min_time = 0.5
max_time = 2
max_rows = 7
[[report]]
name = "queries"
kind = "Timer"
keys = ["~host", "~schema", "~server", "@group", "@le"]
where = { "@group" = "mysql|redis" }
)toml";

TEST_CASE("all keys of the server are read") {
  const Config config = server_config(kServerKeys);
  CHECK(config.fixed.listen == std::vector<std::string>{":30002", "[::1]:30003"});
  CHECK(config.fixed.threads == 4);
  CHECK(config.fixed.receive_buffer == 65'536);
  CHECK(config.fixed.path == "/srv/files");
  CHECK(config.fixed.state_folder == "/srv/state");
  CHECK(config.fixed.prefix == "shop");
  CHECK(config.fixed.slow_bytes == 65'536);
  CHECK(config.forward == std::vector<std::string>{"old:30002", "[::1]:30004"});
  CHECK(config.reports.prefix == "shop");
  CHECK(config.reports.max_rows == 100);
  CHECK(config.reports.max_all_rows == 1000);
  CHECK(config.reports.max_tag_sets == 0);
  CHECK_FALSE(config.reports.timers_by_tags);
  CHECK(config.expire == std::chrono::minutes(1));
  CHECK(config.slow == 0.25);
  for (const auto* sender : {"127.1.2.3", "192.0.2.7"}) CHECK(config.allowed.have(v4_sender(sender)));
  CHECK_FALSE(config.allowed.have(v4_sender("192.0.2.8")));
  CHECK(config.allowed.have(v6_sender("fd00::1")));
  CHECK_FALSE(config.allowed.have(v6_sender("2001:db8::1")));
}

TEST_CASE("reports have their kinds, dimensions and bounds") {
  const Config config = server_config(kServerKeys);
  REQUIRE(labels_of(config) == std::vector<std::string>{"shop.all", "shop.api", "shop.queries"});
  const auto& reports = config.reports.reports;
  CHECK(reports[0].counted == Counted::kRequests);
  CHECK(reports[0].keys.empty());
  CHECK(reports[0].max_rows == 100);
  CHECK(reports[1].counted == Counted::kRequests);
  CHECK(dimensions_of(reports[1]) == std::vector<std::string>{"script", "status", "app_version"});
  CHECK(reports[1].max_rows == 7);
  CHECK(reports[2].counted == Counted::kTimers);
  // Prometheus keeps "le" for itself.
  CHECK(dimensions_of(reports[2]) == std::vector<std::string>{"host", "schema", "server", "group", "tag_le"});
}

TEST_CASE("a tag may have the name of a field") {
  const Config config =
      server_config("[[report]]\nname = \"r\"\nkind = \"timer\"\nkeys = [\"~server\", \"@server\"]");
  CHECK(dimensions_of(config.reports.reports[0]) == std::vector<std::string>{"server", "tag_server"});
}

TEST_CASE("filters pass requests whose values match as a whole, within their times") {
  const Config config = server_config(kServerKeys);
  const auto& api = config.reports.reports[1].filter;
  std::vector<Tag> tags{{.name = "app.version", .value = "1.0"}};
  Packet packet;
  packet.server = "api7.example.com";
  packet.seconds = 1;
  packet.tags = tags;
  CHECK(api.passes(packet, nullptr));
  for (const double seconds : {0.5, 2.0}) {
    packet.seconds = seconds;
    CHECK(api.passes(packet, nullptr));
  }
  for (const double seconds : {0.25, 4.0}) {
    packet.seconds = seconds;
    CHECK_FALSE(api.passes(packet, nullptr));
  }
  packet.seconds = 1;
  for (const auto* server :
       {"api7.example.com.evil", "xapi7.example.com", "api.example.com", "api7-example.com"}) {
    packet.server = server;
    CHECK_FALSE(api.passes(packet, nullptr));
  }
  packet.server = "api7.example.com";
  // Literal text: its dot is one.
  tags[0].value = "1x0";
  CHECK_FALSE(api.passes(packet, nullptr));
  packet.tags = {};
  CHECK_FALSE(api.passes(packet, nullptr));
}

TEST_CASE("rewrites change the values that their keys name") {
  const Config config = server_config(kServerKeys);
  std::vector<Tag> timer_tags{{.name = "query", .value = "a = 'x' and b = 'y'"}};
  std::vector<TimerEntry> timers(1);
  timers[0].tags = timer_tags;
  Packet packet;
  packet.script = "/user/17/user/4";
  packet.timers = timers;
  mmstats::receive::Rewrites::Texts texts;
  config.rewrites.apply(packet, texts);
  CHECK(packet.script == "/user/:id/user/:id");
  CHECK(timers[0].tags[0].value == "a = ? and b = ?");
}

TEST_CASE("a report of the configuration takes the place of the default one with its name") {
  const Config config =
      server_config("[[report]]\nname = \"server\"\nkind = \"request\"\nkeys = [\"~server\", \"~script\"]\n");
  CHECK(labels_of(config) ==
        std::vector<std::string>{"pinba.server", "pinba.script", "pinba.host", "pinba.status"});
  CHECK(dimensions_of(config.reports.reports[0]) == std::vector<std::string>{"server", "script"});
}

TEST_CASE("every mistake of the server's configuration is named with file, line, key and what is allowed") {
  const std::string report = "[[report]]\nname = \"r\"\n";
  const std::string request = report + "kind = \"request\"\n";
  const std::string by_script = request + "keys = \"~script\"\n";
  const std::string timer = report + "kind = \"timer\"\n";
  const std::string rewrite = "[[rewrite]]\nkey = \"~script\"\n";
  std::string many = "keys = [";
  for (int i = 0; i < 17; ++i) many += "\"+t" + std::to_string(i) + "\",";
  many += "]";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"a = \n", "file.toml:1: this is not TOML: "},
      {"\nlisen = \"x\"",
       "file.toml:2: lisen: there is no such key here; there are allow, default_reports, expire, forward, "
       "listen, max_all_rows, max_rows, max_tag_sets, path, prefix, receive_buffer, report, rewrite, slow, "
       "slow_bytes, state_folder, threads, timers_by_tags"},
      {"listen = 30002",
       "file.toml:1: listen: 30002 is not possible, it takes a text, or an array of texts, that are not "
       "empty"},
      {"listen = []", "file.toml:1: listen: an array is not possible"},
      {"listen = [\":1\", \"h:0x\"]", "file.toml:1: listen: \"h:0x\" is not possible: "},
      {"listen = \"[::1\"", "; write HOST:PORT, [IPV6]:PORT, or :PORT for all addresses"},
      {"allow = \"10.0.0.0/33\"",
       "file.toml:1: allow: \"10.0.0.0/33\" is not possible, it takes a network, like 10.0.0.0/8 or "
       "fd00::/8, or an "
       "address"},
      {"allow = [\"::1\", \"localhost\"]", "file.toml:1: allow: \"localhost\" is not possible"},
      {"threads = 0",
       "file.toml:1: threads: 0 is not possible, it takes a whole number from 1 to 64, without quotes"},
      {"receive_buffer = 1", "file.toml:1: receive_buffer: 1 is not possible, it takes a whole number"},
      {"path = \"run\"",
       "file.toml:1: path: \"run\" is not possible, it takes the path of a folder, from the root"},
      {"state_folder = \"\"", "file.toml:1: state_folder: \"\" is not possible"},
      {"prefix = 1", "file.toml:1: prefix: 1 is not possible"},
      {"prefix = \"\\n\"",
       "file.toml:1: prefix: \"\\x0A\" is not possible, it takes up to 1000 bytes of printable"},
      {"prefix = \"" + std::string(1001, 'x') + "\"",
       "is not possible, it takes up to 1000 bytes of printable"},
      {"forward = \"a;b\"", "file.toml:1: forward: 'a;b' is not a Pinba server"},
      {"forward = [\"a\", \"a:30002\"]", "file.toml:1: forward: 'a:30002' is there twice"},
      {"slow = -1", "file.toml:1: slow: -1 is not possible, it takes a number of seconds, from 0"},
      {"slow = nan", "file.toml:1: slow: nan is not possible"},
      {"slow = \"1\"", "file.toml:1: slow: \"1\" is not possible"},
      {"slow_bytes = 1", "file.toml:1: slow_bytes: 1 is not possible, it takes a whole number from 65536"},
      {"max_rows = 0", "file.toml:1: max_rows: 0 is not possible, it takes a whole number from 1 to 100000"},
      {"max_all_rows = 1.5", "file.toml:1: max_all_rows: 1.5 is not possible"},
      {"max_tag_sets = 1001",
       "file.toml:1: max_tag_sets: 1001 is not possible, it takes a whole number from 0 to 1000"},
      {"expire = 1", "file.toml:1: expire: 1 is not possible, it takes a whole number from 2"},
      {"timers_by_tags = 1",
       "file.toml:1: timers_by_tags: 1 is not possible, it takes true or false, without quotes"},
      {"default_reports = \"no\"", "file.toml:1: default_reports: \"no\" is not possible"},

      {"rewrite = 1", "file.toml:1: rewrite: 1 is not possible, it takes sections, each headed [[rewrite]]"},
      {rewrite + "match = \"a\"", "file.toml:1: [[rewrite]], to: is missing"},
      {rewrite + "to = \"a\"", "file.toml:1: [[rewrite]], match: is missing"},
      {"[[rewrite]]\nmatch = \"a\"\nto = \"\"", "file.toml:1: [[rewrite]], key: is missing"},
      {rewrite + "match = \"(\"\nto = \"\"", "file.toml:3: [[rewrite]], match: missing )"},
      {rewrite + "match = \"a\"\nto = '\\1'", "file.toml:3: [[rewrite]], match: "},
      {rewrite + "match = \"a\"\nto = 1",
       "file.toml:4: [[rewrite]], to: 1 is not possible, it takes a text, which may be empty"},
      {"[[rewrite]]\nkey = \"script\"\nmatch = \"a\"\nto = \"\"",
       "file.toml:2: [[rewrite]], key: \"script\" is not possible: keys are \"~script\""},
      {"[[rewrite]]\nkey = \"~status\"\nmatch = \"4..\"\nto = \"\"",
       "file.toml:3: [[rewrite]], match: a status is a number, which cannot be rewritten"},
      {rewrite + "match = \"a\"\nto = \"\"\nwith = 1",
       "file.toml:5: [[rewrite]], with: there is no such key here; there are key, match, to"},

      {"[report]\nname = \"x\"", "file.toml:1: report: a table is not possible"},
      {"[[report]]\nkind = \"packet\"", "file.toml:1: [[report]], name: is missing: a report needs one"},
      {"[[report]]\nname = \"\"\nkind = \"packet\"",
       "file.toml:2: [[report]] \"\", name: \"\" is not possible"},
      {"[[report]]\nname = \"timer\"\nkind = \"packet\"",
       "file.toml:2: [[report]] \"timer\", name: \"timer\" is not possible, it takes another one: this one "
       "is "
       "the server's own"},
      {"[[report]]\nname = \"receiver\"\nkind = \"packet\"", "\"receiver\" is not possible"},
      // It would be the one that the server makes.
      {"[[report]]\nname = \"timer.@group\"\nkind = \"packet\"",
       "name: \"timer.@group\" is not possible, it takes another one: this one is the server's own"},
      {"[[report]]\nname = \"a\\tb\"\nkind = \"packet\"",
       "name: \"a\\x09b\" is not possible, it takes printable text, with the prefix up to 1024 bytes"},
      {"[[report]]\nname = \"" + std::string(1019, 'x') + "\"\nkind = \"packet\"",
       "is not possible, it takes printable text, with the prefix up to 1024 bytes"},
      {by_script + by_script, "file.toml:5: [[report]] \"r\", name: there is another report with this name"},
      {report + "keys = \"~script\"",
       "file.toml:1: [[report]] \"r\", kind: is missing: \"packet\", \"request\" or \"timer\""},
      {report + "kind = \"tag\"\nkeys = \"~script\"",
       "file.toml:3: [[report]] \"r\", kind: \"tag\" is not possible, it takes one of \"packet\", "
       "\"request\", \"timer\""},
      {report + "kind = \"packet\"\nkeys = \"~script\"",
       "file.toml:4: [[report]] \"r\", keys: a report with kind = \"packet\" is one row, and has none"},
      {request, "file.toml:1: [[report]] \"r\", keys: is missing: keys are \"~script\""},
      {request + "keys = []", "file.toml:4: [[report]] \"r\", keys: an array is not possible"},
      {request + "keys = \"script\"",
       "file.toml:4: [[report]] \"r\", keys: \"script\" is not possible: keys are"},
      {request + "keys = \"~uri\"", "keys: \"~uri\" is not possible: keys are"},
      {request + "keys = \"+\"", "keys: \"+\" is not possible: keys are"},
      {request + "keys = [\"~script\", \"@group\"]",
       "file.toml:4: [[report]] \"r\", keys: \"@group\" is of timers, which needs kind = \"timer\""},
      {timer + "keys = \"~script\"",
       "file.toml:4: [[report]] \"r\", keys: one \"@TAG\" at least is needed with kind = \"timer\""},
      {timer + "keys = [\"@server\", \"@server\", \"@server\"]",
       "file.toml:4: [[report]] \"r\", keys: \"@server\" would be the dimension tag_server once more"},
      {request + "keys = [\"+a.b\", \"+a-b\", \"+a_b\"]",
       "keys: \"+a_b\" would be the dimension tag_a_b once more"},
      {request + many, "file.toml:4: [[report]] \"r\", keys: there may be 16 of them at most"},
      {by_script + "where = \"x\"",
       "file.toml:5: [[report]] \"r\", where: \"x\" is not possible, it takes a table like { \"~host\" = "},
      {by_script + "where = { host = \"x\" }",
       "where: host = \"x\" is not possible, it takes a pattern for a key: keys are"},
      {by_script + "where = { \"~status\" = 200 }",
       "where: ~status = 200 is not possible, it takes a regular expression, as a text"},
      {by_script + "where = { \"~host\" = \"(\" }", "where: ~host = \"(\" is not possible, missing )"},
      {by_script + "where = { \"@group\" = \"x\" }",
       "where: @group = \"x\" is not possible, it takes keys of timers only with kind = \"timer\""},
      {by_script + "min_time = -1", "file.toml:5: [[report]] \"r\", min_time: -1 is not possible"},
      {by_script + "max_time = inf", "file.toml:5: [[report]] \"r\", max_time: inf is not possible"},
      {by_script + "min_time = 2\nmax_time = 1",
       "file.toml:6: [[report]] \"r\", max_time: is less than min_time: no request would count"},
      {by_script + "max_rows = 1e6", "file.toml:5: [[report]] \"r\", max_rows: 1000000 is not possible"},
      {by_script + "percentiles = [99]",
       "file.toml:5: [[report]] \"r\", percentiles: there is no such key here; there are keys, kind, "
       "max_rows, "
       "max_time, min_time, name, where"},
  };
  for (const auto& [toml, want] : rows) {
    CAPTURE(toml);
    const auto config = read_config(toml, "file.toml");
    REQUIRE_FALSE(config);
    CAPTURE(config.error().front());
    CHECK(config.error().front().find(want) != std::string::npos);
    CHECK(config.error().size() == 1);
  }
}

TEST_CASE("all mistakes of the server's configuration are named at once") {
  const auto config = read_config(
      "threads = 0\nslow = \"x\"\n[[report]]\nname = \"r\"\nkind = \"packet\"\nfoo = 1\n", "file.toml");
  REQUIRE_FALSE(config);
  CHECK(config.error().size() == 3);
  // Reports without a name are not taken for the same.
  const auto nameless =
      read_config("[[report]]\nkind = \"packet\"\n[[report]]\nkind = \"packet\"\n", "file.toml");
  REQUIRE_FALSE(nameless);
  CHECK(nameless.error().size() == 2);
}

TEST_CASE("a server that would forward to itself is found") {
  const struct {
    const char* listen;
    const char* forward;
    bool itself;
  } rows[] = {
      {"127.0.0.1:30002", "127.0.0.1:30002", true},
      {"127.0.0.1", "127.0.0.1:30002", true},
      {":30002", "localhost:30002", true},
      {"0.0.0.0:7", "127.0.0.1:7", true},
      {"[::]:7", "[::1]:7", true},
      {"web1:7", "web1:7", true},
      {":30002", "127.0.0.1:30003", false},
      {"127.0.0.1:30002", "old:30002", false},
      {":30002", "old:30002", false},
      {"10.0.0.1:7", "127.0.0.1:7", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.listen);
    CAPTURE(row.forward);
    Config config;
    config.fixed.listen = {"192.0.2.1:1", row.listen};
    config.forward = {"192.0.2.2:1", row.forward};
    CHECK(forwards_to_itself(config) == (row.itself ? row.forward : ""));
  }
}

TEST_CASE("there may be a hundred reports") {
  std::string toml;
  for (int i = 0; i < 100; ++i)
    toml += "[[report]]\nkind = \"packet\"\nname = \"r" + std::to_string(i) + "\"\n";
  CHECK(server_config(toml).reports.reports.size() == 104);
  const auto refused = read_config(toml + "[[report]]\nkind = \"packet\"\nname = \"r\"\n", "file.toml");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().front() == "file.toml:1: report: there may be 100 of them at most");
}

TEST_CASE("texts of a configuration are escaped in what is said of them") {
  const auto config = read_config("allow = \"\\u001b[2J\"\n", "file.toml");
  REQUIRE_FALSE(config);
  CHECK(config.error().front().find('\x1b') == std::string::npos);
}

TEST_CASE("the server's configuration that is shipped is all defaults, and good with every line in use") {
  std::ifstream file(PINBA_SERVER_TOML);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  REQUIRE_FALSE(text.empty());
  const Config shipped = server_config(text);
  const Config defaults = server_config("");
  CHECK(shipped.fixed == defaults.fixed);
  CHECK(shipped.reports.reports == defaults.reports.reports);
  CHECK(shipped.forward.empty());
  CHECK_FALSE(shipped.slow);

  const Config config = server_config(shipped_with_all_in_use());
  // What it shows is what holds without it, but for examples.
  CHECK(config.fixed == defaults.fixed);
  CHECK(config.reports.max_rows == defaults.reports.max_rows);
  CHECK(config.reports.max_all_rows == defaults.reports.max_all_rows);
  CHECK(config.reports.max_tag_sets == defaults.reports.max_tag_sets);
  CHECK(config.expire == defaults.expire);
  CHECK(config.slow == 1.0);
  CHECK(config.forward == std::vector<std::string>{"old-pinba:30002"});
  CHECK(labels_of(config) == std::vector<std::string>{"pinba.api", "pinba.queries", "pinba.script",
                                                      "pinba.server", "pinba.host", "pinba.status"});
  Packet packet;
  packet.script = "/user/123";
  mmstats::receive::Rewrites::Texts texts;
  config.rewrites.apply(packet, texts);
  CHECK(packet.script == "/user/:id");
}

TEST_CASE("a server's configuration that cannot be read is named with the reason") {
  const TemporaryFolder folder;
  const auto fifo = folder / "fifo.toml";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const std::vector<std::pair<std::string, std::string>> rows{
      {folder / "none.toml", "cannot be opened: No such file or directory"},
      {folder.path(), "is no file"},
      {fifo, "is no file"},
  };
  for (const auto& [path, why] : rows) {
    CAPTURE(path);
    const auto refused = load_config(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == std::vector<std::string>{path + ": " + why});
  }
  const auto path = folder / "server.toml";
  std::ofstream(path) << "expire = 30\n";
  const auto config = load_config(path);
  REQUIRE(config);
  CHECK(config->expire == std::chrono::seconds(30));
}
