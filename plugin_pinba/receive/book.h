// All rows of a report, from one moment at which they were made anew to the next one, as families of mmstats
// files. To readers a new book is a new life of the same series.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "plugin_pinba/receive/fair_bound.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/report.h"

namespace mmstats::receive {

// Handles of what is counted, and when that was. Any thread.
struct Row {
  Counter requests;
  Histogram seconds;
  Gauge<double> user_seconds;
  Gauge<double> system_seconds;
  std::optional<Counter> bytes;            // of requests alone, as that below
  std::optional<MovingAverage> memory;     // bytes
  std::atomic<std::uint32_t> used_in = 0;  // the round of Reports::sweep()

  void count(const Packet& packet, std::uint32_t round) {
    requests.incr();
    seconds.add(packet.seconds);
    use(packet, round);
    if (bytes && packet.bytes > 0) bytes->incr(packet.bytes);
    if (memory && packet.memory > 0) memory->add(static_cast<double>(packet.memory));
  }
  // `first`: of its request.
  void count(const TimerEntry& timer, bool first, std::uint32_t round) {
    if (first) requests.incr();
    if (timer.hits == 1) {
      seconds.add(timer.seconds);
    } else {
      seconds.add(timer.seconds / timer.hits, timer.hits);
    }
    use(timer, round);
  }

 private:
  void use(const auto& processor, std::uint32_t round) {
    if (processor.user_seconds > 0) user_seconds.add(processor.user_seconds);
    if (processor.system_seconds > 0) system_seconds.add(processor.system_seconds);
    // Other threads look at it at each count: it is written once a round.
    if (used_in.load(std::memory_order_relaxed) != round) used_in.store(round, std::memory_order_relaxed);
  }
};

class Book {
 public:
  struct Found {
    Row& row;
    bool own;  // of these values; else it is that of all others
  };
  struct Use {
    std::size_t rows = 0;
    std::size_t idle = 0;       // not used for so many rounds
    std::size_t long_idle = 0;  // of these, for four times as many
  };

  // As Report's.
  Book(const ReportSpec& spec, FairBound& budget);
  // Its files end.
  ~Book();
  Book(const Book&) = delete;
  Book& operator=(const Book&) = delete;

  // Any thread. The row of these values, which is made if there may be one more of that source's. `key`: to
  // be written. Throws std::bad_alloc.
  Found find(std::span<const std::string_view> values, Source source, std::string& key);

  // While nobody else does anything:
  [[nodiscard]] Use use(std::uint32_t round, std::uint32_t idle_rounds) const;
  [[nodiscard]] std::size_t rows() const { return by_key_.size(); }
  [[nodiscard]] bool is_empty() const { return by_key_.empty() && other_.load() == nullptr; }
  // Gives its part of the budget back; no row is made from then on.
  void close();

 private:
  class Shelf;
  struct Share {
    Source source;
    std::size_t count;
  };

  Row& add(std::span<const std::string_view> values);
  Row& other();
  bool take(Source source, std::size_t count);

  const ReportSpec spec_;
  FairBound& budget_;
  std::mutex mutex_;
  std::list<Shelf> shelves_;
  // Once it is full it stays as it is, and needs no lock.
  std::unordered_map<std::string, Row*, KeyedHash, std::equal_to<>> by_key_;
  FairBound bound_;
  std::vector<Share> shares_;  // of the budget
  std::atomic<Row*> other_ = nullptr;
  std::atomic<bool> full_ = false;
};

}  // namespace mmstats::receive
