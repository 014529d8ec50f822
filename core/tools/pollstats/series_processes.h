// What each process has of one series, from scan to scan.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collect/bucket_counts.h"
#include "collect/distributions.h"
#include "collect/series_parts.h"
#include "collect/watch.h"
#include "tools/pollstats/processes.h"
#include "tools/pollstats/samples.h"
#include "tools/shared/process_files.h"

namespace pollstats {

// A series of a watch, by its index.
struct SeriesChoice {
  std::uint32_t series = 0;
  std::optional<std::uint32_t> distribution = {};  // it stands for this one
  bool operator==(const SeriesChoice&) const = default;
};

// A row of a list of processes.
struct ProcessRow {
  Process process;
  // The rest is of a series, if it is one's list. Of a histogram: how many values there were.
  Sample sample = {};
  std::vector<float> past = {};  // as Samples::history: the last scans, the newest last
  std::shared_ptr<const mmstats::Distribution> distribution = {};  // of a histogram: its interval and scale
};

// The values that `now` has more than `before`; all, where it has fewer than that.
mmstats::BucketCounts added_since(const mmstats::BucketCounts& before, const mmstats::BucketCounts& now);

// No file is read for it: the watch knows all. One thread at a time.
class SeriesProcesses {
 public:
  // `history`: scans that are kept. `most_gone`: processes that have gone and are remembered; after more of
  // them all begins anew, so that memory is bounded where processes come and go for days.
  explicit SeriesProcesses(std::size_t history, std::string proc = "/proc", std::size_t most_gone = 1000)
      : history_(history), proc_(std::move(proc)), most_gone_(most_gone) {}

  // Forgets what there was: from now on it is this series.
  void begin(const SeriesChoice& choice);

  // The processes that have a file with the series, after a scan that was made at `at`; in no order. What
  // changed is known from the second call on. The same time again: nothing happened.
  const std::vector<ProcessRow>& take(const mmstats::Watch& watch, std::chrono::steady_clock::time_point at);

  // Processes, with those that have gone.
  [[nodiscard]] std::size_t remembered() const { return series_.size(); }

 private:
  std::size_t place_of(const ProcessId& id, const std::map<ProcessId, mmstats::ProcessFiles>& found);

  std::size_t history_;
  std::string proc_;
  std::size_t most_gone_;
  SeriesChoice choice_;
  Samples samples_{0};
  std::optional<std::chrono::steady_clock::time_point> last_;
  std::map<ProcessId, std::size_t> places_;        // in the next two
  std::vector<mmstats::Series> series_;            // by process, as if each had a series of its own
  std::vector<mmstats::SeriesParts::Part> parts_;  // what it is made of, at the last scan
  std::vector<mmstats::BucketCounts> counts_;      // of a histogram, at the last scan
  std::vector<ProcessRow> rows_;
};

}  // namespace pollstats
