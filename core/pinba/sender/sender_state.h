// What the threads of a sender share: its servers, the mutex, and the worker that looks names up and sends
// what waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "pinba/sender.h"
#include "pinba/sender/destination.h"

namespace pinba {

// Each function but those marked wants the mutex held.
struct __attribute__((visibility("hidden"))) Sender::State : std::enable_shared_from_this<Sender::State> {
  explicit State(SenderOptions given) : options(std::move(given)) {}

  void start();  // takes the mutex; once, when all servers are there
  void close();  // takes the mutex; sends what can be sent at once
  bool drain(Destination& server);
  bool drain_all(bool ask_again = false);  // see Destination::take_refusals()
  bool need_worker();
  void become_child();  // after fork()

  // Calls visit(server) for those that get a packet of this script.
  template <class Visit>
  void for_each_server(std::string_view script_name, Visit visit) {
    if (options.spread == SenderOptions::Spread::kByScript) {
      visit(servers[mmstats::fnv1a(script_name) % servers.size()]);
    } else {
      for (Destination& server : servers) visit(server);
    }
  }

  const SenderOptions options;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<Destination> servers;  // refer to the options
  bool working = false;              // there is a worker; not so in a child of fork(), at first
  bool has_names = false;            // so that it must be there

 private:
  void work();  // takes the mutex; the worker's body
  void start_look_up(std::size_t index);
  void looked_up(std::size_t index, std::uint64_t of_process, std::vector<Address> found);  // takes the mutex

  std::thread worker_;
  bool closed_ = false;
  std::uint64_t process_ = 0;  // how often fork() made a child of us
};

}  // namespace pinba
