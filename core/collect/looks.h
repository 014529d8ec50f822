// How many names are looked at that may turn out to be nothing for us: names of other users' files for which
// there is no room, files that cannot be opened, folders that lead nowhere. Anybody can make as many of them
// as he likes, each costs system calls, and only such a call tells whose it is.
//
// Looks in vain are bounded in each scan, and shared out among the owners of the folders that the names are
// in. What is found costs nothing here: other bounds hold for that. Where more names wait than may be looked
// at, chance decides, with the same odds for each name in the folders of one owner: so every one is looked at
// some day, whatever others do with theirs. No locks; one thread at a time.
#pragma once

#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/keyed_hash.h"
#include "collect/shares.h"

namespace mmstats {

class Looks {
 public:
  // What quiet scans leave is kept for one with more to do: so many scans' worth, that one included.
  static constexpr std::size_t kBurst = 4;
  // How many in a scan are enough where so many files may be read: with what quiet scans left, one look for
  // each.
  static std::size_t per_scan(std::size_t max_files) {
    return std::max<std::size_t>(max_files / kBurst, 100);
  }

  // `per_scan`: above 0.
  explicit Looks(std::size_t per_scan)
      : per_scan_(per_scan),
        most_(per_scan > std::numeric_limits<std::size_t>::max() / kBurst
                  ? std::numeric_limits<std::size_t>::max()
                  : kBurst * per_scan),
        spent_(most_) {
    if (::getrandom(&chance_, sizeof chance_, GRND_NONBLOCK) < 0)
      chance_ = static_cast<std::uint64_t>(::getpid());
  }

  void begin_scan() {
    const std::size_t left = spent_.limit() - spent_.total();
    spent_ = Shares(most_ - left > per_scan_ ? left + per_scan_ : most_);
    for (auto entry = owners_.begin(); entry != owners_.end();) {
      Waiting& waiting = entry->second;
      waiting.last = std::exchange(waiting.now, 0);
      entry = waiting.last == 0 ? owners_.erase(entry) : std::next(entry);
    }
  }

  // Whether a name in a folder of `owner` may be looked at now; it waits if not.
  [[nodiscard]] bool may_look(uid_t owner) {
    Waiting& waiting = owners_[owner];
    // A little is left for what is more than it was.
    const std::size_t usable = spent_.may_hold(owner) - spent_.may_hold(owner) / 8;
    if (spent_.room(owner) != 0 && (waiting.last <= usable || next() % waiting.last < usable)) return true;
    ++waiting.now;
    return false;
  }

  // The look led to nothing. `again`: the name will be asked about at the next scan as well.
  void in_vain(uid_t owner, bool again = true) {
    if (again) ++owners_[owner].now;
    static_cast<void>(spent_.take(owner, 1));
  }

  // True by chance, once in so many times.
  [[nodiscard]] bool once_in(std::uint64_t times) { return next() % times == 0; }

 private:
  struct Waiting {
    std::size_t last = 0;  // names that waited, or were looked at in vain, at the last scan
    std::size_t now = 0;
  };

  std::uint64_t next() {
    std::uint64_t mixed = (chance_ += 0x9E3779B97F4A7C15U);
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31U);
  }

  std::size_t per_scan_;
  std::size_t most_;
  Shares spent_;
  std::unordered_map<uid_t, Waiting, KeyedNumberHash> owners_;
  std::uint64_t chance_ = 0;
};

}  // namespace mmstats
