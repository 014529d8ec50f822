// One folder in which files are looked for: what its globs match, the names that were seen in it, and whether
// it must be listed again.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/descriptor.h"
#include "base/keyed_hash.h"
#include "collect/discover.h"
#include "collect/folder_errors.h"
#include "collect/folder_path.h"
#include "collect/turns.h"
#include "mmstats/snapshot.h"

namespace mmstats {

inline constexpr FileKey kNoFile = ~FileKey{0};

// What to do about what is beyond max_files.
inline constexpr const char* kMaxFilesAdvice =
    "they are left out; one user may have three quarters of what the others leave; raise MaxFiles "
    "(max_files)";

// A name for which there was no room, by a hash of what its folder lists of it.
struct RefusedName {
  uid_t owner = 0;         // of the file
  std::uint64_t seen = 0;  // number of the listing that saw it last
};

// Of the names in a folder that match.
struct NameCounts {
  std::size_t skipped = 0;
  std::size_t unreadable = 0;
  std::size_t beyond_limit = 0;
  std::size_t untold = 0;  // that cannot be used, and have no error of their own
};

struct WatchedFolder {
  FolderPath where;
  bool wild = false;  // found by wildcards: anybody may have made it
  // A shell makes thousands of literal names of one glob: they are looked up, not tried one by one.
  std::unordered_set<std::string, KeyedHash, std::equal_to<>> literals;
  // What names end with that match a wildcard before it, as in *.mmstats: most globs are such.
  std::vector<std::string> endings;
  std::vector<std::string> patterns;  // the others
  // Of the folder that was opened last, only to look into it; none: it is opened for each use.
  Descriptor descriptor;
  FileId id;  // of that folder
  uid_t owner = 0;
  FileId found_id;  // of one that is wild: what the search saw
  timespec found_stamp{};
  timespec stamp{};                                 // the folder's, when it was last listed
  std::chrono::system_clock::time_point listed_at;  // when it was last listed
  bool list_next_time = true;                       // what the last listing said may not be all
  // Of a listing that goes on at the next scan: the place where it does, as dirent::d_off says; 0: none does.
  off_t resume = 0;
  std::uint64_t listing = 0;  // number of the last listing, or of that one
  bool in_globs = true;
  Turn turn;  // of one that is wild
  struct Name {
    FileKey file = kNoFile;
    std::uint64_t seen = 0;  // number of the listing that saw it last
  };
  std::unordered_map<std::string, Name, KeyedHash, std::equal_to<>> names;
  std::unordered_map<std::uint64_t, RefusedName, KeyedNumberHash> refused;  // by a keyed hash
  FolderErrors errors;                                                      // of the last listing
  NameCounts counted;   // by the last listing that came to an end
  NameCounts counting;  // by the last listing

  [[nodiscard]] bool matches(const char* name) const;
  // What is known of all its names: the last listing may not be at its end.
  [[nodiscard]] NameCounts counts() const;
  // A descriptor of the folder that was listed: its own, or opened into `opened`; or -1, with errno. Throws
  // std::bad_alloc.
  int open(Descriptor& opened) const;
  // False if it is there already.
  bool add_pattern(const std::string& pattern);

  // Whether what it said when it was listed last may have changed: its stamp is `now_stamp` now.
  [[nodiscard]] bool must_list(const timespec& now_stamp, std::chrono::system_clock::time_point now) const;
  // It is listed from now on.
  void begin_listing(std::uint64_t number, const timespec& now_stamp,
                     std::chrono::system_clock::time_point now);
};

}  // namespace mmstats
