// What there is to tell of one folder and of the names in it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/shares.h"
#include "mmstats/error.h"

namespace mmstats {

// Of its names a part alone, the same ones as long as they are there. They are shared out among their owners:
// where one has more than another, his make room for the other's. `room` is for the errors of all folders,
// the same in all calls. No locks; one thread at a time.
class FolderErrors {
 public:
  static constexpr std::size_t kMaxNames = 20;

  struct One {
    Error error;
    uid_t owner = 0;         // of what the name is, or of the folder
    std::uint64_t name = 0;  // a keyed hash, or which error of the folder it is
    bool of_folder = false;
    bool seen = true;  // in this listing, or the last
  };

  // A listing begins, and ends: what was not seen again in it is forgotten.
  void begin();
  void end(Shares& room);

  // True: the error of that name is kept, and is seen again.
  [[nodiscard]] bool see(std::uint64_t name);
  // Whether an error of one more name of `owner` would be kept.
  [[nodiscard]] bool may_add(const Shares& room, uid_t owner) const;
  // An error of a name: instead of the one that is kept of it, or if it may be added. False: it is not kept.
  bool add(Shares& room, uid_t owner, std::uint64_t name, Error error);
  // An error of the folder, whose owner is `owner` as long as it has any: instead of the one that is kept
  // with that number, or if there is room for it.
  void add_of_folder(Shares& room, uid_t owner, unsigned number, Error error);
  void clear(Shares& room);

  [[nodiscard]] std::span<const One> all() const { return kept_; }

 private:
  [[nodiscard]] std::size_t count(uid_t owner) const;
  [[nodiscard]] std::size_t loser(uid_t to) const;
  One* find(std::uint64_t name, bool of_folder);

  std::vector<One> kept_;
  std::size_t names_ = 0;  // of them
};

}  // namespace mmstats
