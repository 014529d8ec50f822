// Answers for the page: series over all workers, at one scan, and the processes behind them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "collect/processes.h"
#include "collect/watch.h"
#include "tools/mmash/files.h"
#include "tools/mmash/http.h"

namespace mmash {

// What the fold knows, brought up to date when somebody asks: all who ask within kShare get the same scan.
class Live {
 public:
  static constexpr std::chrono::milliseconds kShare{50};
  static constexpr std::size_t kMaxIds = 100'000;  // in one request for values

  explicit Live(const std::vector<std::string>& globs);

  // Scans, if the last scan is older than kShare. True if it did: then report() is new.
  bool scan();
  [[nodiscard]] const mmstats::ScanReport& report() const { return *report_; }
  void told(std::size_t count) { watch_.told(count); }  // as Watch::told
  [[nodiscard]] const mmstats::Watch& watch() const { return watch_; }
  [[nodiscard]] std::chrono::steady_clock::duration since_scan() const;  // 0: there was none

  // The three below: core/tools/mmash/page has the other end. They scan().
  Response series(const Request& request);
  Response values(const Request& request);
  // Reads `files`, once a second at most.
  Response processes(Files& files);

 private:
  std::string epoch_;  // as a JSON string
  std::string where_;  // JSON members that tell the machine and the globs
  mmstats::Watch watch_;
  const mmstats::ScanReport* report_ = nullptr;
  std::chrono::steady_clock::time_point scanned_at_;
  std::chrono::system_clock::time_point time_;
  mmstats::Processes processes_;
  std::string processes_json_;  // the answer
  std::chrono::steady_clock::time_point processes_at_;
};

}  // namespace mmash
