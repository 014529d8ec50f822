// Answers for the page: series over all workers, at one scan, and the processes behind them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collect/processes.h"
#include "collect/watch.h"
#include "tools/mmash/by_process.h"
#include "tools/mmash/files.h"
#include "tools/mmash/http.h"
#include "tools/mmash/past.h"

namespace mmash {

// What the fold knows, brought up to date when somebody asks: all who ask within kShare get the same scan.
class Live {
 public:
  static constexpr std::chrono::milliseconds kShare{50};
  // Of these: the buckets of one may take tens of kilobytes.
  static constexpr std::size_t kMaxDistributions = 256;
  static constexpr std::size_t kMaxByProcess = 24;  // ids: each is told of every process

  Live(const std::vector<std::string>& globs, mmstats::Rules rules);

  // Keeps a past from now on: keep() is to be called every `interval` seconds, after scan().
  void begin_past(Past::Limits limits, double interval);
  void keep();
  [[nodiscard]] const std::optional<Past>& past() const { return past_; }

  // Scans, if the last scan is older than kShare, or was for the past: who changed a file and asks then sees
  // it, as nobody asked before. True if it did: then report() is new.
  bool scan();
  [[nodiscard]] const mmstats::ScanReport& report() const { return *report_; }
  void told(std::size_t count) { watch_.told(count); }  // as Watch::told
  [[nodiscard]] const mmstats::Watch& watch() const { return watch_; }
  [[nodiscard]] std::chrono::steady_clock::time_point scanned_at() const { return scanned_at_; }
  [[nodiscard]] std::chrono::steady_clock::duration since_scan() const;  // 0: there was none

  // The four below: core/tools/mmash/page has the other end. They scan().
  // {"epoch": E, "series": [{"id", "label", "kind", "unit", "help"}, ...]}: those that have an id from `from`
  // on. One of a family has two members more: "family", and "dimensions" {NAME: VALUE, ...} in their order.
  // The kind "histogram" is a distribution over all workers; what is computed of it are series, too.
  Response series(const Request& request);
  // {"epoch": E, "time": T, "series": how many have an id, "values": [...]}: of each of `ids` a number, null
  // where there is none, or of a distribution [bucket, count, ...]: how many values there were ever in each
  // bucket that has some, ascending. The least value of bucket b is 2^(-30 + b div 32) * (1 + b mod 32 / 32).
  // "ended", if there are any: where in `values` there is none because all processes that had one have ended.
  // With `process`, an id as processes() has it: what the files of this one hold now, and "process": who it
  // is, or null.
  Response values(const Request& request);
  // {"epoch", "time", "processes": [{"id", "command", "pid", "created", "state", "values": [...]}, ...]}: of
  // each of `ids`, what the files of each process hold now: as values(), and see ByProcess.
  Response by_process(const Request& request);
  // {"epoch": E, "interval": seconds between two times, null: no past is kept, "times": [Unix seconds, ...],
  // "totals": {ID: [bucket, count, ...]}, "values": [...]}: of each of `ids` a list with an item for each of
  // the times, which are those at or after `from`; null: there is nothing of it. An item is a number, or
  // null; or of a distribution [bucket, count, ...]: how many values came into each bucket since the time
  // before, null where that is not known. The totals are those of distributions at the last of the times, as
  // in values().
  Response history(const Request& request);
  // Reads `files`, once a second at most.
  Response processes(Files& files);

 private:
  void list_new();
  [[nodiscard]] std::optional<AskedOne> asked(std::size_t id) const;
  [[nodiscard]] static bool has_too_many(const AllAsked& all);
  [[nodiscard]] static Response too_many_distributions();
  [[nodiscard]] double unix_seconds() const;  // of the last scan
  [[nodiscard]] std::string head(bool with_series) const;
  void add_value(std::string& json, const std::optional<AskedOne>& one) const;
  bool has_past(std::size_t id, std::uint64_t first, std::uint64_t end);
  void add_past(std::string& json, std::size_t id, std::uint64_t tick);  // one that has_past()
  [[nodiscard]] std::string problems() const;

  std::string epoch_;  // as a JSON string
  std::string where_;  // JSON members that tell the machine and the globs
  mmstats::Watch watch_;
  ByProcess by_process_;
  const mmstats::ScanReport* report_ = nullptr;
  std::chrono::steady_clock::time_point scanned_at_;
  std::chrono::system_clock::time_point time_;
  std::vector<AskedOne> listed_;  // by id, which stays
  std::size_t series_listed_ = 0;
  std::vector<bool> distributions_listed_;
  std::optional<Past> past_;
  double interval_ = 0;
  bool kept_ = false;           // the last scan was for the past
  std::vector<double> values_;  // of a tick of the past
  std::vector<const mmstats::BucketCounts*> totals_;
  std::vector<Past::Count> counts_;
  mmstats::Processes processes_;
  std::string processes_json_;  // the answer
  std::chrono::steady_clock::time_point processes_at_;
};

}  // namespace mmash
