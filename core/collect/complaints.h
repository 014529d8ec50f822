// Complaints: which were told already, how many may be told, and how long a line may be. Whoever can write
// into a watched folder can make complaints; the log must not become their target. One that was not told for
// want of room is told later: nothing is lost but what goes beyond a bound, and that is counted. Whose turn
// it is: fair_complaints.h.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "collect/shares.h"
#include "mmstats/error.h"

namespace mmstats {

// The part of a log that complaints may fill. One thread at a time.
class ComplaintLog {
 public:
  static constexpr unsigned kPerScan = 10;
  static constexpr unsigned kPerMinute = 30;
  static constexpr std::size_t kMaxQueued = 100;

  // Writes one line; `level` is the sink's own.
  using Write = std::function<void(int level, std::string_view text)>;

  // `level`: of the line that tells how many complaints wait. `per_scan`: kPerMinute where complaints come
  // between scans, too.
  ComplaintLog(Write write, int level, unsigned per_scan = kPerScan);

  // Begins a scan, and a new minute if `now` says so. Writes what was queued: as much as leaves half of the
  // room to those that come again.
  void begin_scan(std::chrono::steady_clock::time_point now);

  // Writes a complaint for which the caller will come again. False: there is no room now.
  bool tell(int level, std::string_view text);

  // Writes a complaint that is made once: now, or when there is room. If kMaxQueued wait already, it is only
  // counted.
  void tell_once(int level, std::string_view text);

  // Ends a scan. `waiting`: how many different complaints tell() had no room for. Writes what is queued, as
  // far as there is room, and how many wait: at most once a minute, and if it is news.
  void end_scan(std::uint64_t waiting);

  // Writes all that is queued, as the program ends. What was left out, and not told yet, is told with it.
  void end();

 private:
  bool spend();
  bool write_queued();

  Write write_;
  int level_;
  unsigned per_scan_;
  std::chrono::steady_clock::time_point minute_began_{};
  bool began_ = false;
  unsigned left_in_scan_ = 0;
  unsigned left_in_minute_ = 0;
  unsigned first_in_minute_ = 0;  // lines that were queued and came before others
  std::deque<std::pair<int, std::string>> queued_;
  std::uint64_t lost_ = 0;  // for good
  bool told_waiting_ = false;
  std::uint64_t last_waiting_ = 0;
  std::uint64_t last_lost_ = 0;
};

// Which complaints were told, for as long as they are made at each scan. Bounded, and shared out among those
// whose they are: a complaint for which there is no room is never told, but still counted.
class ToldComplaints {
 public:
  static constexpr std::size_t kMax = 10'000;

  // Forgets those that were not made at the last scan.
  void begin_scan();
  // This one is made now. True if it was told.
  bool has(const Error& error, uid_t owner);
  // It is told now.
  void add(const Error& error, uid_t owner);
  [[nodiscard]] bool has_room(uid_t owner) const { return room_.room(owner) > 0; }

 private:
  struct Told {
    std::uint64_t scan = 0;  // that met it last
    uid_t owner = 0;
  };
  Shares room_{kMax};
  std::unordered_map<std::uint64_t, Told> told_;  // by hash
  std::uint64_t scan_ = 0;
};

// `text` as one line of at most `max_bytes` bytes (at least 16): bytes that are no printable text are
// escaped, and what is too long loses its middle, as the ends of a path and of a reason say most.
std::string log_line(std::string_view text, std::size_t max_bytes);

}  // namespace mmstats
