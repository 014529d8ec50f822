// What copies of a client share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinba/monitor.h"

namespace pinba {

struct __attribute__((visibility("hidden"))) Client::Core {
  Core(Sender given, ClientOptions given_options, const SenderOptions& sender_options);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  void log(std::string_view message) const {
    if (options.log && !message.empty()) options.log(message);
  }
  // Tells of a misuse, if there was one.
  void fail(const char* problem) const {
    if (problem == nullptr) return;
    log(problem);
    if (options.raise_on_fail) throw MonitorError(problem);
  }
  // Adds to `news` when a count passes a power of two.
  static void tell(std::atomic<std::uint64_t>& count, std::uint64_t more, std::string_view what,
                   std::string& news);
  // After a request could not be sent, and that was logged.
  void fail_lost(bool lost) const {
    if (lost && options.raise_on_fail) throw MonitorError("a request was not sent: its datagram was dropped");
  }
  // Adds to `news` what was changed of a request, now and then.
  void tell_of_changes(const Changes& changes, std::string_view script_name, std::string& news);
  // Adds to `news` which servers are not found, or send packets back, and which do no more.
  void tell_of_servers(std::string& news);
  // False if a datagram was dropped. Adds what there is to log to `news`.
  bool send(Encoder& encoder, const Request& request, std::string& news);

  Sender sender;
  ClientOptions options;
  // What was told of a server so far.
  struct Server {
    explicit Server(std::string given) : name(std::move(given)) {}
    std::string name;
    std::atomic<std::uint64_t> not_found = 0;
    std::atomic<std::uint64_t> refused = 0;  // since it took packets
    std::atomic<bool> is_unfound = false;
    std::atomic<bool> is_refusing = false;
    std::atomic<std::uint64_t> forgiven = 0;  // refusals of before
    // While it refuses; one thread at a time.
    std::uint64_t last_refused = 0;
    std::uint64_t sent_then = 0;
    std::chrono::steady_clock::time_point quiet_since;
  };
  void tell_of_recovery(Server& server, const SenderCounts& counts, std::string& news);
  std::deque<Server> servers;  // in the sender's order

  std::atomic<std::uint32_t> served = 0;
  std::atomic<std::uint64_t> changed = 0;
  std::atomic<std::uint64_t> dropped = 0;
  std::atomic<std::uint64_t> left_out = 0;
  std::chrono::milliseconds quiet;  // so long without a refusal, and a server takes packets again
  std::mutex news_mutex;
  std::mutex mutex;
  std::vector<MonitorState*> spare;  // owned; their memory serves the next requests
};

}  // namespace pinba
