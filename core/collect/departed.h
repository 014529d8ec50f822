// Lives whose file is gone, should it come back: moved out of sight for a while, or published again by
// rename. Each counts against the user whose file it was, and his oldest make room. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "collect/file_buckets.h"
#include "collect/layout.h"
#include "collect/ledger.h"
#include "collect/shares.h"
#include "collect/worker_slots.h"
#include "format/owner.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// One life: what is known of its values and of who writes them, whatever file they are in.
struct Life {
  std::shared_ptr<const Layout> layout;  // none: no life yet
  LifeMark mark;
  Ledger ledger;
  std::unique_ptr<FileBuckets> buckets;  // null: there are none, as in most files
  Held held;                             // what it takes of its owner's share of memory, beside the layout
  OwnerMemory owner_memory;
  OwnerState owner = OwnerState::kUnknown;
  std::int32_t slot = WorkerSlots::kNone;
  WorkerFile worker;  // if it has a slot
  ReservedSlots::Ticket reserved = ReservedSlots::kNone;
  std::int32_t bound = WorkerSlots::kNone;  // the last slot that it had: its series are this one's

  [[nodiscard]] const FileBuckets& known_buckets() const {
    static const FileBuckets kNone;
    return buckets ? *buckets : kNone;
  }
};

class DepartedLives {
 public:
  static constexpr std::size_t kMaxLives = 10'000;  // shared out as memory is
  static constexpr std::chrono::hours kKept{1};

  // Takes the life of a file of `user`; forgets his oldest ones, or this one, if he would have too many.
  // `path`: where the file was last.
  void add(uid_t user, Life&& life, const std::string& path, const FileId& file,
           std::chrono::steady_clock::time_point now);

  // The life that goes on in a file which says it is `owner`: sys.pid and sys.created are equal, and it is
  // the same inode or has the same folder and name. What is said by neither is equal, too: better a value
  // that is counted once too rarely than twice. But another user's file goes on with it only if it is the
  // same inode.
  std::optional<Life> take(uid_t user, const Owner& owner, const std::string& path, const FileId& file);

  // Forgets those that have been away for too long.
  void expire(std::chrono::steady_clock::time_point now);
  [[nodiscard]] bool has(uid_t user) const { return lives_.contains(user); }
  // Forgets the user's oldest one. False: he has none.
  bool drop_oldest(uid_t user);
  // The most lives that one question has to pass, as they have all in common that is asked for.
  [[nodiscard]] std::size_t most_alike() const;

 private:
  struct Departed {
    Life life;
    Held one;  // of kMaxLives: its owner's, whose file it was
    std::uint64_t by_path = 0;
    std::optional<std::uint64_t> by_file;  // none: the file is not known any more
    std::chrono::steady_clock::time_point since;
  };
  using Lives = std::list<Departed>;  // the oldest first
  using Index = std::unordered_multimap<std::uint64_t, Lives::iterator>;
  // A file says of itself who its owner is, and any number of files may say the same: only together with what
  // the system says is that a key which few lives share.
  static std::uint64_t path_key(uid_t user, const Owner& owner, const std::string& path);
  static std::uint64_t file_key(const Owner& owner, const FileId& file);
  static void erase(Index& index, std::uint64_t key, Lives::iterator life);
  void drop(Lives& of_user, Lives::iterator life);

  Shares number_{kMaxLives};
  std::map<uid_t, Lives> lives_;
  Index by_path_;
  Index by_file_;
};

}  // namespace mmstats
