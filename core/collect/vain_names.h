// Names behind wildcards that led to no folder for us when they were looked at, and those that were not
// looked at yet. Anybody can make as many of them as he likes, and only a look tells whose one is.
//
// A look in vain is remembered, with whose the name was: from then on it is looked at in turn (turns.h). So
// the names of one user, however many, cost a bounded number of looks in each scan, and take none from
// another user's, nor from new ones. New names are bounded as looks.h says, and so is memory: what cannot be
// remembered is new at each scan. No locks; one thread at a time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "collect/looks.h"
#include "collect/shares.h"
#include "collect/turns.h"

namespace mmstats {

class VainNames {
 public:
  // Of one user's that are remembered, in a scan.
  static constexpr std::size_t kEachScan = 500;

  explicit VainNames(std::size_t max_files);

  void begin_scan();

  enum class Answer : std::uint8_t {
    kLook,
    kNothing,  // there was nothing for us lately, nor any sign of a change
    kLeftOut,  // there may be something
  };
  // About `name`, a keyed hash, in a folder of `folder_owner`.
  Answer ask(std::uint64_t name, uid_t folder_owner);
  // After kLook: it led nowhere, or, if `no_room`, to a folder for which its owner has no room now. `owner`:
  // whose that folder is, or else what the name leads to.
  void was_in_vain(std::uint64_t name, uid_t folder_owner, uid_t owner, bool no_room);

 private:
  struct Name {
    uid_t owner = 0;
    bool no_room = false;
    Turn turn;
    std::uint64_t seen = 0;  // number of the scan that saw it last
  };

  Looks looks_;  // at new names
  Shares room_;  // names that are remembered
  Turns turns_{kEachScan};
  std::unordered_map<std::uint64_t, Name, KeyedNumberHash> names_;
  std::uint64_t scan_ = 0;
};

}  // namespace mmstats
