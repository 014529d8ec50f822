// All reports of a server: those of the configuration, and one for each set of names that timers' tags have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "plugin_pinba/receive/fair_bound.h"
#include "plugin_pinba/receive/packet.h"
#include "plugin_pinba/receive/report.h"
#include "plugin_pinba/receive/source.h"

namespace mmstats::receive {

// Under the prefix: reports of timers by their tags, and what the server says of itself.
inline constexpr std::string_view kTimerReports = "timer";
inline constexpr std::string_view kStatsOfServer = "receiver";

// Those of a configuration that has none: requests by script, by server, by host and by status.
std::vector<ReportSpec> default_reports(std::string_view prefix, std::size_t max_rows);

// A name as OpenMetrics has them: what is no letter, digit or underscore becomes one; "tag_" comes before
// what cannot be a dimension all the same.
std::string dimension_of(std::string_view name);

struct ReportsOptions {
  std::string prefix = "pinba";  // of all labels
  std::vector<ReportSpec> reports;
  bool timers_by_tags = true;
  std::size_t max_tag_sets = 64;  // timers of further ones are one report without keys
  std::size_t max_rows = 500;     // of a set of tags
  // In all reports: of files, 48 KiB each at most in every thread that counts.
  std::size_t max_all_rows = 8000;
};

// Any thread, but the destructor. Of what is bounded one sender may have three quarters of what others leave
// (FairBound).
class Reports {
  struct Thread;

 public:
  // What one thread remembers; of one thread at a time.
  class Caches {
   public:
    Caches();
    ~Caches();
    Caches(Caches&&) noexcept;
    Caches& operator=(Caches&&) noexcept;

   private:
    friend class Reports;
    std::shared_ptr<Thread> thread_;
  };

  explicit Reports(ReportsOptions options);
  // Nobody counts any more.
  ~Reports();
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;

  // Counts the request, and each of its timers, in all reports that it is in. What has no row of its own
  // counts in one whose values are all "other". Takes no memory and no lock that another thread has, where
  // all rows are known to this thread. Throws std::bad_alloc, and may be counted in some of the reports then.
  void count(const Packet& packet, Source source, Caches& caches);

  // To be called in equal intervals. Where a quarter of a report's rows were not used since the call before
  // the last one, or any for four times as long, all are made anew: those that are not used any more are
  // gone. Totals that readers know stay theirs: the files that end are there until the next call, so that who
  // reads them meanwhile has all that was counted. How many rows there are. Nobody counts meanwhile: it takes
  // some microseconds a report. Throws std::bad_alloc: some reports are as they were then.
  std::size_t sweep();

  // Rows of all reports, a row of long values counts as several. Any thread.
  [[nodiscard]] std::size_t rows() const { return budget_.taken(); }

  // From now on it is as if it had been made with these. Rows of reports that stay the same go on; those of
  // others end as in sweep(), but are there until the call after the next one. Throws std::bad_alloc, and
  // changes nothing then.
  void change(ReportsOptions options);

 private:
  struct TagSet {
    std::unique_ptr<Report> report;
    Source source;  // whose it is
  };
  class Stop;
  struct Retired {
    std::unique_ptr<Book> book;
    std::uint32_t until;  // the round in which it ends
  };

  Thread& thread_of(Caches& caches);
  void count_in(const Report& report, std::size_t index, const Packet& packet, const TimerEntry* timer,
                Source source, Thread& thread) const;
  void count_by_tags(const TimerEntry& timer, Source source, Thread& thread);
  const Report& report_of_tags(Source source, Thread& thread);
  const Report& report_of_other_tags();
  [[nodiscard]] ReportSpec spec_of_tags(const std::vector<std::string_view>& names) const;
  std::size_t sweep(Report& report);

  ReportsOptions options_;  // without the reports
  FairBound budget_;
  FairBound tag_sets_;
  // Of what changes only while nobody counts:
  std::vector<std::unique_ptr<Report>> fixed_;
  std::uint32_t round_ = 0;
  std::vector<Retired> retired_;

  std::mutex tags_mutex_;  // of what follows
  std::map<std::string, TagSet, std::less<>> by_tags_;
  std::unique_ptr<Report> other_tags_;  // of sets beyond the bound

  std::mutex threads_mutex_;  // of what follows; locked before those of threads
  std::vector<std::shared_ptr<Thread>> threads_;
};

}  // namespace mmstats::receive
