// Requests -> datagrams -> servers; in a dry run they are printed instead.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pinba/encode.h"
#include "pinba/request.h"
#include "pinba/sender.h"
#include "plugin_pinba/daemon/daemon_log.h"
#include "plugin_pinba/forward/config.h"
#include "plugin_pinba/forward/outbox.h"

namespace mmstats::forward {

using daemon::DaemonLog;
using daemon::Priority;

// One thread at a time, beside the sender's own.
class Delivery {
 public:
  Delivery(DaemonLog& log, bool dry_run) : log_(log), dry_run_(dry_run) {}

  // Packets are from now on as `config` says. Where it has other servers, what waits for the previous ones is
  // sent first. False: there can be no sender, as the log says, and the previous one stays, if there is one.
  bool configure(const Config& config);

  void begin_scan() { requests_ = datagrams_ = 0; }
  void take(const pinba::Request& request);
  void end_scan();  // the log tells of servers that are not found, or lose packets, and when that is over

  // When to ask what came of the packets, which is known a little later than they are sent; none: not now.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> look_at() const { return look_at_; }
  // Asks, and tells the log of what is lost.
  void look();

  [[nodiscard]] bool waits() const { return !outbox_.empty(); }
  void send_burst();  // if something waits

  // All that waits for its turn; what then waits for a name, or for room in a socket, gets so much more time,
  // and so does what may come back.
  void send_all(std::chrono::milliseconds at_most);

  // As far as it can be known: UDP tells of nothing that is lost on its way. False too if a server is not
  // found for which there was nothing; waits for that, `at_most`. The log tells of what waits.
  [[nodiscard]] bool is_all_sent(std::chrono::milliseconds at_most = {}) const;

  [[nodiscard]] std::size_t requests() const { return requests_; }    // of this scan
  [[nodiscard]] std::size_t datagrams() const { return datagrams_; }  // of these

 private:
  // How a server did so far.
  struct Told {
    std::string server;
    std::uint64_t sent = 0;
    std::uint64_t lost = 0;
    bool losing = false;
    bool not_found = false;
  };

  void tell(bool is_end_of_scan);

  DaemonLog& log_;
  bool dry_run_;
  pinba::Encoder encoder_;
  pinba::SenderOptions options_;
  std::optional<pinba::Sender> sender_;  // none in a dry run
  Outbox outbox_;
  std::vector<Told> told_;  // by server
  bool told_dropped_ = false;
  std::optional<std::chrono::steady_clock::time_point> look_at_;
  std::size_t requests_ = 0;
  std::size_t datagrams_ = 0;
};

}  // namespace mmstats::forward
