// Lives whose file is gone, should it come back: moved out of sight for a while, or published again by
// rename. Bounded: the oldest make room. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "collect/layout.h"
#include "collect/ledger.h"
#include "collect/worker_slots.h"
#include "format/owner.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// One life: what is known of its values and of who writes them, whatever file they are in.
struct Life {
  std::shared_ptr<const Layout> layout;  // none: no life yet
  LifeMark mark;
  Ledger ledger;
  OwnerMemory owner_memory;
  OwnerState owner = OwnerState::kUnknown;
  std::int32_t slot = WorkerSlots::kNone;
  WorkerFile worker;                        // if it has a slot
  std::int32_t bound = WorkerSlots::kNone;  // the last slot that it had: its series are this one's

  // Values that it keeps, for bounds: what was lost takes about as much as two.
  [[nodiscard]] std::size_t values() const {
    return (layout ? layout->plans().size() : 0) + 2 * ledger.lost();
  }
};

class DepartedLives {
 public:
  static constexpr std::size_t kMaxLives = 10'000;
  static constexpr std::size_t kMaxValues = 1'000'000;
  static constexpr std::chrono::hours kKept{1};

  // `path`: where the file was last.
  void add(Life&& life, const std::string& path, const FileId& file,
           std::chrono::steady_clock::time_point now);

  // The life that goes on in a file which says it is `owner`: sys.pid and sys.created are equal, and it is
  // the same inode or has the same folder and name. What is said by neither is equal, too: better a value
  // that is counted once too rarely than twice.
  std::optional<Life> take(const Owner& owner, const std::string& path, const FileId& file);

  // Forgets those that have been away for too long; all of them: shapes that they alone have are free then.
  void expire(std::chrono::steady_clock::time_point now);
  void clear();

  [[nodiscard]] bool empty() const { return lives_.empty(); }

 private:
  struct Departed {
    Life life;
    std::uint64_t path = 0;  // its hash
    FileId file;
    std::chrono::steady_clock::time_point since;
  };
  using Lives = std::list<Departed>;  // the oldest first
  static std::uint64_t key(const Owner& owner);
  void drop(Lives::iterator life);

  Lives lives_;
  std::unordered_multimap<std::uint64_t, Lives::iterator> by_owner_;
  std::size_t values_ = 0;
};

}  // namespace mmstats
