// Threads that receive packets, and what each packet goes through.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "mmstats/error.h"
#include "mmstats/family.h"
#include "mmstats/fields.h"
#include "mmstats/model.h"
#include "plugin_pinba/receive/bad_packets.h"
#include "plugin_pinba/receive/config.h"
#include "plugin_pinba/receive/last_lines.h"
#include "plugin_pinba/receive/listener.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/reports.h"
#include "plugin_pinba/receive/slow_log.h"
#include "plugin_pinba/receive/tee.h"

namespace mmstats::receive {

// What the server says of itself.
struct ServerStats : Model {
  explicit ServerStats(const std::string& prefix)
      : Model({.label_prefix = prefix + '.' + std::string(kStatsOfServer)}) {}

  Counter packets{*this, "packets", {.unit = "packets", .help = "Packets that were taken"}};
  Counter bytes{*this, "bytes", {.unit = "bytes", .help = "Their size"}};
  Counter requests{*this, "requests", {.unit = "requests", .help = "Requests in them"}};
  Counter timers{*this, "timers", {.unit = "timers", .help = "Timers in them"}};
  Counter refused{*this, "refused", {.unit = "packets", .help = "Packets of machines that are not allowed"}};
  Counter lost{
      *this, "lost", {.unit = "packets", .help = "Packets for which a socket or memory had no room"}};
  Counter slow{*this, "slow", {.unit = "requests", .help = "Slow requests"}};
  Counter slow_left_out{
      *this, "slow_left_out", {.unit = "requests", .help = "Slow requests that were too many to be kept"}};
  Counter forwarded{*this, "forwarded", {.unit = "packets", .help = "Packets that were passed on"}};
  Counter forward_lost{
      *this, "forward_lost", {.unit = "packets", .help = "Packets that could not be passed on"}};
  SharedGauge<std::uint64_t> rows{*this, "rows", {.unit = "rows", .help = "Rows of all reports"}};
  Family<Counter> faults{
      *this, "faults", {"reason"}, {.unit = "requests", .help = "Requests in which something is wrong"}};
};

// What is done with packets, beside reports. Made anew when the configuration was read again.
struct Plan {
  // Servers that `previous` has, too, are sent to by the same Tee. Error: kInvalid, of these.
  static Expected<std::shared_ptr<Plan>> make(const Config& config, LastLines& slow_lines,
                                              const Plan* previous);

  Networks allowed;
  Rewrites rewrites;
  std::optional<SlowLog> slow;
  std::vector<std::string> forward;
  std::shared_ptr<Tee> tee;  // null: packets go nowhere else
};

// One thread at a time.
class Server {
 public:
  explicit Server(const Config& config);
  // Ends it, and takes what waits in the sockets, for a second at most.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Opens the sockets and starts the threads, which block all signals. Errors: an address, a socket, the
  // folder of files; nothing is started.
  Expected<void> start(const Config& config);
  // Goes on by another configuration, but for its FixedConfig; no packet and no total is lost. Error: it goes
  // on as it was. Throws std::bad_alloc, and goes on as it was then, too.
  Expected<void> change(const Config& config);

  // To be called once a second: writes files, counts what is counted elsewhere, lets unused rows go. What
  // went wrong. Throws std::bad_alloc: what was not done is done later.
  std::vector<Error> tend();

  // Where it listens.
  [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }
  [[nodiscard]] LastLines& bad_lines() { return bad_lines_; }
  [[nodiscard]] std::uint64_t packets() const { return packets_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  // What one thread needs for itself.
  struct Worker;

  void use(std::shared_ptr<Plan> plan);
  void receive(Listener& listener);
  void take(pinba::Datagram datagram, const sockaddr_storage& from, Worker& worker);
  void count_of_plans();
  void count_of_tees();

  ServerStats stats_;
  LastLines slow_lines_;
  LastLines bad_lines_;
  BadPackets bad_;
  Reports reports_;
  std::atomic<std::shared_ptr<Plan>> plan_;
  std::atomic<std::uint64_t> plans_ = 1;  // how many there were
  std::atomic<std::uint64_t> packets_ = 0;
  std::chrono::seconds expire_;
  Clock::time_point swept_at_ = Clock::now();
  // Plans and tees that threads may have, the present ones last, and what of theirs is counted already.
  struct CountedPlan {
    std::shared_ptr<Plan> plan;
    std::uint64_t slow = 0;
    std::uint64_t slow_left_out = 0;
  };
  struct CountedTee {
    std::shared_ptr<Tee> tee;
    TeeCounts counts = {};
  };
  std::vector<CountedPlan> counted_plans_;
  std::vector<CountedTee> counted_tees_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  Descriptor ends_;
  std::vector<std::thread> threads_;
};

}  // namespace mmstats::receive
