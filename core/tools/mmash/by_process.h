// Series taken apart by the processes that they are the sum of, at one scan, as JSON.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/watch.h"
#include "tools/mmash/watched_processes.h"

namespace mmash {

// A series, or a distribution, of the watch. None: nothing has the id.
struct AskedOne {
  bool is_distribution = false;
  std::uint32_t index = 0;
};
using AllAsked = std::vector<std::optional<AskedOne>>;

// What the watch knows anyway is told: no file is read for an answer. One thread at a time.
class ByProcess {
 public:
  // Buckets of so many in one answer; of the processes that have fewer values they are told together.
  static constexpr std::size_t kMaxDistributions = 256;

  // `watch`: lives longer.
  explicit ByProcess(const mmstats::Watch& watch) : watch_(watch) {}
  ByProcess(const ByProcess&) = delete;
  ByProcess& operator=(const ByProcess&) = delete;

  // The watch was asked for a scan: it may know other things now.
  void scanned() { known_ = false; }

  // JSON members: "processes", those that have a file with one of them, each with "values" in their order:
  // null where it has none; and, where there is something to tell, "rest": the buckets that were too many, in
  // their order.
  std::string all(const AllAsked& asked);

  // JSON members: "process", null if there is none; and "values", of this one alone.
  std::string one(std::string_view id, const AllAsked& asked);

  // The places in `asked` of gauges that have no value because all processes that had one have ended; of one
  // process, if `id` is not empty.
  std::vector<std::size_t> ended(const AllAsked& asked, std::string_view id = {});

 private:
  const std::vector<WatchedProcess>& processes();
  const WatchedProcess* find(std::string_view id);

  const mmstats::Watch& watch_;
  bool known_ = false;
  std::vector<WatchedProcess> processes_;
};

}  // namespace mmash
