// What is looked at in this scan, where one user has more of something than is good to look at in each: the
// same number of his at every scan, those first that were not looked at for longest. So each of his is looked
// at in one of as many scans as that number goes into all of them, and nobody else's ever waits for his. What
// is of root or of our own user never waits. No locks; one thread at a time.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"

namespace mmstats {

// Of one thing.
struct Turn {
  std::uint64_t looked = 0;  // number of the scan that looked at it last, or found it; 0: it comes first
  bool waits = false;        // at this scan
};

class Turns {
 public:
  // `each_scan`: of one owner's, above 0. `self`: who is trusted as root is.
  explicit Turns(std::size_t each_scan, uid_t self = ::geteuid()) : each_scan_(each_scan), self_(self) {}

  [[nodiscard]] bool is_bound(uid_t owner) const { return owner != 0 && owner != self_; }

  // Something is there, at this scan. It lives until choose().
  void add(uid_t owner, Turn& turn) {
    turn.waits = false;
    if (is_bound(owner)) owners_[owner].push_back(&turn);
  }

  // Says of all that was added whether it waits at scan `number`, which grows, and calls
  // crowded(owner, waiting) for each owner some of whose things do.
  template <class Crowded>
  void choose(std::uint64_t number, Crowded&& crowded) {
    for (auto& [owner, turns] : owners_) {
      const std::size_t looked = std::min(turns.size(), each_scan_);
      const auto end = turns.begin() + static_cast<std::ptrdiff_t>(looked);
      if (end != turns.end()) {
        std::nth_element(turns.begin(), end, turns.end(),
                         [](const Turn* a, const Turn* b) { return a->looked < b->looked; });
        std::for_each(end, turns.end(), [](Turn* turn) { turn->waits = true; });
        crowded(owner, turns.size() - looked);
      }
      std::for_each(turns.begin(), end, [&](Turn* turn) { turn->looked = number; });
    }
    owners_.clear();
  }

 private:
  std::size_t each_scan_;
  uid_t self_;
  std::unordered_map<uid_t, std::vector<Turn*>, KeyedNumberHash> owners_;
};

}  // namespace mmstats
