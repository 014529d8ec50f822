// What is kept of requests or timers under some keys: a row for each combination of their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_pinba/receive/fair_bound.h"
#include "plugin_pinba/receive/filter.h"
#include "plugin_pinba/receive/packet.h"

namespace mmstats::receive {

// What rows are told apart by.
struct Key {
  KeyPlace place;
  std::string dimension;  // as OpenMetrics has it
  friend bool operator==(const Key&, const Key&) = default;
};

// What a row counts.
enum class Counted : std::uint8_t { kRequests, kTimers };

struct ReportSpec {
  std::string label;  // "pinba.script": its fields are pinba.script.seconds and so on; up to 1,024 bytes
  Counted counted = Counted::kRequests;
  std::vector<Key> keys;  // 1 to 16, whose dimensions differ; none: there is one row
  Filter filter;
  std::size_t max_rows = 500;  // beside that of all others; a row of long values counts as several
  friend bool operator==(const ReportSpec&, const ReportSpec&) = default;
};

// Of keys, in their order. Views the packet, and `status`.
struct KeyValues {
  std::vector<std::string_view> all;
  std::string status;
};

class Book;

// One thread at a time, but for what is const.
class Report {
 public:
  // `budget`: rows that all reports together may have; it must outlive this.
  Report(ReportSpec spec, FairBound& budget);
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // Whether the request, or that timer of it, is to be counted, and in the row of which values: it passes the
  // filter, and has all keys. Throws std::bad_alloc.
  bool find_values(const Packet& packet, const TimerEntry* timer, KeyValues& into) const;
  // Where its rows are now.
  [[nodiscard]] Book& book() const { return *book_; }
  [[nodiscard]] const ReportSpec& spec() const { return spec_; }

  // Makes all rows anew: returns the book that they were in, which readers still see until it ends, and which
  // gives its part of the budget back. Throws std::bad_alloc, and changes nothing then.
  std::unique_ptr<Book> renew();
  // As renew(), but it makes no rows any more, and nothing may be done with it.
  std::unique_ptr<Book> end() noexcept;

 private:
  ReportSpec spec_;
  FairBound& budget_;
  std::unique_ptr<Book> book_;
};

}  // namespace mmstats::receive
