// A server as senders must expect one, Pinba2 or the maintained fork of the classic engine: the buffer of its
// socket, how it counts, and what it makes of timers. Messages are read by protobuf's own library.
#pragma once

#include <doctest/doctest.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "held_calls.h"
#include "pinba/packet_check.h"
#include "udp_receiver.h"

// What a server shows of the packets in its window.
class PinbaReport {
 public:
  // All timers with equal tags.
  struct Row {
    std::uint32_t hits = 0;  // 32 bits: they wrap
    double value = 0;        // seconds
    // Of a histogram: an entry of n hits and v seconds is n times v / n.
    std::map<double, std::uint64_t> times;

    // The time that this share of the hits did not exceed.
    [[nodiscard]] double percentile(double share) const {
      std::uint64_t all = 0;
      for (const auto& [time, count] : times) all += count;
      double left = share * static_cast<double>(all);
      for (const auto& [time, count] : times) {
        left -= static_cast<double>(count);
        if (left <= 0) return time;
      }
      return times.empty() ? 0 : times.rbegin()->first;
    }
  };

  void add(const pinba_wire::Request& message) {
    ++requests;
    document_size += message.document_size();
    int tag = 0;
    for (int i = 0; i < message.timer_hit_count_size(); ++i) {
      std::map<std::string, std::string> tags;  // of two values of a name the first counts
      for (const int end = tag + static_cast<int>(message.timer_tag_count(i)); tag < end; ++tag) {
        tags.emplace(message.dictionary(static_cast<int>(message.timer_tag_name(tag))),
                     message.dictionary(static_cast<int>(message.timer_tag_value(tag))));
      }
      Row& row = rows[tags];
      row.hits += message.timer_hit_count(i);
      row.value += static_cast<double>(message.timer_value(i));
      row.times[static_cast<double>(message.timer_value(i)) / message.timer_hit_count(i)] +=
          message.timer_hit_count(i);
    }
  }

  std::uint64_t requests = 0;  // each packet counts
  std::uint64_t document_size = 0;
  std::map<std::map<std::string, std::string>, Row> rows;
};

class PinbaServer {
 public:
  [[nodiscard]] std::string address() const { return receiver_.server(); }

  // Calls run() in a thread of its own, and reads only while that, or a thread which it started, waits for
  // another or for a moment: as a server that is a little too slow. What its buffer does not hold is lost.
  // False: the system does not allow it, and nothing was done.
  template <class Run>
  bool serve(Run run) {
    const bool done = held::detail::hold(SYS_futex, run, [this](auto&) { read(); });
    read();
    return done;
  }
  // As a server that is much too slow: reads when run() is over.
  template <class Run>
  void serve_late(Run run) {
    run();
    read();
  }

  [[nodiscard]] const PinbaReport& report() const { return report_; }

 private:
  static constexpr int kBuffer = 212'992;  // net.core.rmem_default

  void read() {
    for (const auto& packet : receiver_.received()) {
      const auto bytes = std::as_bytes(std::span(packet));
      CHECK(broken_rule(bytes) == "");
      report_.add(parsed(bytes));
    }
  }

  UdpReceiver receiver_{AF_INET, 0, kBuffer / 2};
  PinbaReport report_;
};
