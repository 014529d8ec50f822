// What the log is told of servers and packets, and which settings reach encoder and sender.
#include "plugin_pinba/forward/delivery.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "patience.h"
#include "temporary_folder.h"
#include "udp_receiver.h"

using mmstats::forward::Config;
using mmstats::forward::DaemonLog;
using mmstats::forward::Delivery;
using mmstats::forward::ServerKind;

namespace {

// Standard error while it lives.
class CaughtErrors {
 public:
  CaughtErrors() {
    std::fflush(stderr);
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(file, STDERR_FILENO);
    ::close(file);
  }
  CaughtErrors(const CaughtErrors&) = delete;
  CaughtErrors& operator=(const CaughtErrors&) = delete;
  ~CaughtErrors() {
    std::fflush(stderr);
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
  }
  // The lines since the last call.
  std::vector<std::string> lines() {
    std::fflush(stderr);
    std::ifstream file(path_);
    file.seekg(seen_);
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line); seen_ = file.tellg()) found.push_back(line);
    return found;
  }

 private:
  TemporaryFolder folder_;
  std::string path_ = folder_ / "stderr";
  int before_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  std::streamoff seen_ = 0;
};

// A scan of one request.
void scan_once(DaemonLog& log, Delivery& delivery, const pinba::Request& request) {
  log.begin_scan();
  delivery.begin_scan();
  delivery.take(request);
  delivery.send_all(kPatience);
  delivery.end_scan();
  log.end_scan(0);
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a server that loses packets is told of once, and when it takes them again") {
  const UnheardPort place;
  const std::string name = place.server();
  std::optional<UdpReceiver> server(std::in_place, AF_INET, place.port());
  CaughtErrors errors;
  DaemonLog log("mmstats-pinba");
  Delivery delivery(log, false);
  Config config;
  config.servers = {name};
  REQUIRE(delivery.configure(config));
  pinba::Request request;
  request.script_name = "/a";
  scan_once(log, delivery, request);
  CHECK(errors.lines().empty());
  CHECK(delivery.is_all_sent());
  for (int round = 1; round <= 2; ++round) {
    server.reset();
    scan_once(log, delivery, request);
    CHECK(!delivery.is_all_sent());
    const auto lost = std::to_string(round * 2 - 1);
    CHECK(errors.lines() == Lines{"mmstats-pinba: server " + name + ": packets are lost: " + lost +
                                  " came back, as nobody listens there or a firewall lets none through; 0 "
                                  "that could not be sent"});
    scan_once(log, delivery, request);
    delivery.end_scan();  // nothing was sent since, so nothing is known to arrive again
    CHECK(errors.lines().empty());
    server.emplace(AF_INET, place.port());
    scan_once(log, delivery, request);
    CHECK(server->receive());
    CHECK(errors.lines() == Lines{"mmstats-pinba: server " + name + ": takes packets again; " +
                                  std::to_string(round * 2) + " lost"});
  }
  // Of another server nothing of that is known.
  server.reset();
  scan_once(log, delivery, request);
  CHECK(errors.lines().size() == 1);
  UdpReceiver other;
  config.servers = {other.server()};
  REQUIRE(delivery.configure(config));
  scan_once(log, delivery, request);
  CHECK(errors.lines().empty());
  CHECK(delivery.is_all_sent());
}

TEST_CASE(
    "what came back is told soon after it was sent, and a name that is not found soon after the start") {
  CaughtErrors errors;
  DaemonLog log("mmstats-pinba");
  Delivery delivery(log, false);
  Config config;
  const UnheardPort place;
  config.servers = {place.server()};
  REQUIRE(delivery.configure(config));
  pinba::Request request;
  request.script_name = "/a";
  log.begin_scan();
  delivery.begin_scan();
  delivery.take(request);
  delivery.end_scan();
  log.end_scan(0);
  while (delivery.waits()) delivery.send_burst();
  CHECK(errors.lines().empty());
  CHECK(delivery.look_at());
  delivery.look();
  const auto lines = errors.lines();
  REQUIRE(lines.size() == 1);
  CHECK(
      lines[0].starts_with("mmstats-pinba: server " + config.servers[0] + ": packets are lost: 1 came back"));
  CHECK(!delivery.look_at());
  delivery.look();
  CHECK(errors.lines().empty());

  // With a part that is longer than any may be: no name server is asked, which may take its time to answer.
  const std::string unknown = std::string(64, 'x') + ".invalid";
  config.servers = {unknown};
  REQUIRE(delivery.configure(config));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Lines told;
  while (told.empty() && std::chrono::steady_clock::now() < deadline) {
    REQUIRE(delivery.look_at());
    delivery.look();
    told = errors.lines();
  }
  CHECK(told == Lines{"mmstats-pinba: server " + unknown + ": its name is not found; 0 packets wait"});
  CHECK(!delivery.is_all_sent());
}

TEST_CASE("another spread is another sender") {
  UdpReceiver one;
  UdpReceiver two;
  DaemonLog log("mmstats-pinba");
  Delivery delivery(log, false);
  Config config;
  config.servers = {one.server(), two.server()};
  REQUIRE(delivery.configure(config));
  pinba::Request request;
  request.script_name = "/a";
  scan_once(log, delivery, request);
  CHECK(one.received(1).size() + two.received(1).size() == 2);
  config.spread = pinba::SenderOptions::Spread::kByScript;
  REQUIRE(delivery.configure(config));
  scan_once(log, delivery, request);
  const auto packets = received_by({&one, &two}, 1);
  CHECK(packets[0].size() + packets[1].size() == 1);
}

TEST_CASE("that something is too long for a datagram is told once for each configuration") {
  UdpReceiver server;
  CaughtErrors errors;
  DaemonLog log("mmstats-pinba");
  Delivery delivery(log, false);
  Config config;
  config.servers = {server.server()};
  config.max_datagram = 256;
  pinba::Request request;
  request.script_name = "/a";
  request.add_timer(std::vector{request.intern("metric", std::string(300, 'x'))}, 1, 1);
  const Lines told{
      "mmstats-pinba: script \"/a\": 1 timers and 0 request tags are left out, as they are too long for a "
      "datagram of "
      "256 bytes (max_datagram)"};
  for (int round = 0; round < 2; ++round) {
    REQUIRE(delivery.configure(config));
    scan_once(log, delivery, request);
    CHECK(errors.lines() == told);
    scan_once(log, delivery, request);
    CHECK(errors.lines().empty());
  }
  // collectd reads no timers.
  config.server_kind = ServerKind::kCollectd;
  REQUIRE(delivery.configure(config));
  scan_once(log, delivery, request);
  CHECK(errors.lines().empty());
  request.add_tag("t", std::string(300, 'y'));
  scan_once(log, delivery, request);
  CHECK(errors.lines().size() == 1);
}

TEST_CASE("settings reach encoder and sender") {
  Config config;
  config.max_datagram = 1000;
  config.servers = {"a", "b"};
  auto encode = mmstats::forward::encode_options(config);
  CHECK(encode.max_bytes == 1000);
  CHECK(encode.continue_timers);
  CHECK(encode.classic == pinba::ClassicEngine::kNone);
  config.server_kind = ServerKind::kClassic;
  encode = mmstats::forward::encode_options(config);
  CHECK(encode.continue_timers);
  CHECK(encode.classic == pinba::ClassicEngine::kMaintained);
  config.server_kind = ServerKind::kCollectd;
  encode = mmstats::forward::encode_options(config);
  CHECK(!encode.continue_timers);
  CHECK(encode.classic == pinba::ClassicEngine::kNone);
  CHECK(mmstats::forward::sender_options(config).servers == config.servers);
  CHECK(mmstats::forward::sender_options(config).spread == pinba::SenderOptions::Spread::kAll);
  config.spread = pinba::SenderOptions::Spread::kByScript;
  CHECK(mmstats::forward::sender_options(config).spread == pinba::SenderOptions::Spread::kByScript);
  CHECK(mmstats::forward::interval_of(1.001) == std::chrono::milliseconds(1001));
}
