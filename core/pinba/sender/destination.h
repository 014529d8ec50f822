// One server of a sender: its addresses, a socket that is connected to one of them, and what waits for it.
// Knows no threads and takes no locks; whoever calls holds the sender's.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "pinba/sender.h"
#include "pinba/sender/packet_queue.h"

namespace pinba {

class Destination {
 public:
  using Clock = std::chrono::steady_clock;

  // `options` must outlive it. A host that is an address needs no look-up.
  Destination(const SenderOptions& options, std::string host, std::string port);

  // Puts a packet into the queue. False if it was dropped.
  bool enqueue(Datagram packet);
  // Sends what waits. True if nothing waits any more, else send_at() says when to try again.
  bool drain();
  // Counts, or sends to the next address, what came back since the last call: the next one that sends would
  // be told of it, which there may never be. Asks the system after something was sent, or `again`.
  void take_refusals(bool again);
  // Whether something waits for nothing but the end of a burst.
  [[nodiscard]] bool is_pausing(Clock::time_point now) const;
  // Whether an address may still refuse what could be sent to the next one, or what was sent in the last
  // `refusal`.
  [[nodiscard]] bool may_come_back(Clock::time_point now, Clock::duration refusal) const;
  // For who waits beside the callers: takes the refusals that it is time for. ask_at() says when that is
  // next.
  void ask(Clock::time_point now);

  // Of a name. Nothing found: the old addresses may still do, and retry_interval goes by.
  void look_up_begins();
  void look_up_failed();
  void found(std::vector<Address> addresses);

  void drop_all();      // what waits, and the socket
  void become_child();  // after fork()

  void count_dropped() { ++counts_.dropped; }
  [[nodiscard]] SenderCounts counts() const;
  [[nodiscard]] std::size_t waiting() const { return queue_.count(); }
  [[nodiscard]] bool is_name() const { return is_name_; }
  [[nodiscard]] bool has_address() const { return !addresses_.empty(); }
  [[nodiscard]] bool resolving() const { return resolving_; }
  [[nodiscard]] Clock::time_point resolve_at() const { return resolve_at_; }
  [[nodiscard]] Clock::time_point send_at() const { return send_at_; }
  [[nodiscard]] Clock::time_point ask_at() const { return ask_at_; }
  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] const std::string& port() const { return port_; }

 private:
  bool after_error(int error, std::size_t packets, bool segmented, int& tries);
  void drop_front(std::size_t packets);
  bool open();
  void close_socket();
  [[nodiscard]] std::size_t most_messages() const;
  std::size_t left_of_burst();
  bool next_address();
  [[nodiscard]] bool came_back() const;
  void keep(std::span<const std::byte> message, std::size_t packets);
  void begin_to_ask();
  void refused();
  void resolve_soon();

  const SenderOptions& options_;
  std::string host_;
  std::string port_;
  bool is_name_ = false;
  std::vector<Address> addresses_;
  std::size_t current_ = 0;  // of the addresses
  std::size_t untried_ = 0;  // addresses left to try before the next look-up
  mmstats::Descriptor socket_;
  bool too_large_ = false;  // the last call met EMSGSIZE, which may be an earlier packet's
  bool segments_ = true;    // the system can cut a message into equal packets
  bool resolving_ = false;
  Clock::time_point resolve_at_;
  Clock::time_point reopen_at_;   // no earlier try to open a socket
  Clock::time_point used_since_;  // this address; zero: not yet
  Clock::time_point send_at_;
  Clock::time_point burst_end_;
  std::size_t in_burst_ = 0;  // packets sent before burst_end_
  PacketQueue queue_;
  // What the last call sent, equal packets, while it may come back and be tried at another address.
  std::vector<std::byte> sent_;
  std::size_t sent_size_ = 0;
  Clock::time_point sent_at_;
  // When to ask for its refusal though nobody calls, and how long after that again.
  Clock::time_point ask_at_ = Clock::time_point::max();
  Clock::duration ask_pause_{};
  bool unasked_ = false;            // something was sent of whose refusal nobody asked yet
  Clock::time_point last_sent_at_;  // what may still come back; zero: nothing
  SenderCounts counts_;
};

}  // namespace pinba
