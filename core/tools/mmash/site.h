// All answers of mmash, by path. No sockets here.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collect/complaints.h"
#include "collect/rules.h"
#include "tools/mmash/family_rows.h"
#include "tools/mmash/files.h"
#include "tools/mmash/grouping.h"
#include "tools/mmash/growth.h"
#include "tools/mmash/http.h"
#include "tools/mmash/live.h"
#include "tools/mmash/metric_names.h"
#include "tools/mmash/metrics.h"
#include "tools/mmash/page.h"
#include "tools/mmash/slow_requests.h"
#include "tools/mmash/stats.h"

namespace mmash {

// What the page can look back at.
struct PastOptions {
  double minutes = 0;   // 0: nothing
  double interval = 5;  // seconds
  double megabytes = 32;
};

class Site {
 public:
  // `complain` is told of files that cannot be used, once each, and not too many in a minute.
  // `slow_requests`: see SlowRequests. With a `past`, tick() is to be called every interval.
  Site(const std::vector<std::string>& globs, mmstats::Rules rules, HostNames hosts, Page page,
       BucketBounds bounds, std::function<void(std::string_view)> complain, std::string slow_requests = {},
       PastOptions past = {});
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  // The answer's later pieces need this object.
  Response answer(const Request& request);

  // Scans if somebody asked once, and nobody for `quiet`: so that files that were removed are
  // let go, and counted to their end.
  void scan_again(std::chrono::seconds quiet);

  // Scans, and keeps what it finds as a part of the past.
  void tick();

 private:
  Response route(const Request& request);
  Response health();
  Response groups(std::string_view label, const Request& request);
  Response metrics(const Request& request);
  [[nodiscard]] Look look() const;  // at what was scanned last
  void scan();

  HostNames hosts_;
  Page page_;
  std::function<void(std::string_view)> complain_;
  PastOptions past_;
  bool told_short_ = false;
  SlowRequests slow_requests_;
  mmstats::ComplaintLog complaints_;
  Files files_;
  Live live_;
  Growth growth_;
  Grouping grouping_;
  FamilyRows table_;
  Stats stats_;
  MetricNames names_;
  BucketBounds bounds_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace mmash
