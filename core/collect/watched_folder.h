// One folder in which files are looked for: what its globs match, the names that were seen in it, and whether
// it must be listed again.
#pragma once

#include <dirent.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/discover.h"
#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

inline constexpr FileKey kNoFile = ~FileKey{0};

struct WatchedFolder {
  std::string path;
  // A shell makes thousands of literal names of one glob: they are looked up, not tried one by one.
  std::unordered_set<std::string, KeyedHash, std::equal_to<>> literals;
  std::vector<std::string> patterns;
  DIR* directory = nullptr;
  FileId id;
  timespec stamp{};                                 // the folder's, when it was last listed
  std::chrono::system_clock::time_point listed_at;  // when it was last listed
  bool list_next_time = true;                       // what the last listing said may not be all
  bool in_globs = true;
  struct Name {
    FileKey file = kNoFile;
    std::uint64_t seen = 0;  // number of the listing that saw it last
  };
  std::unordered_map<std::string, Name, KeyedHash, std::equal_to<>> names;
  std::vector<Error> errors;  // of the last listing
  std::size_t skipped = 0;
  std::size_t unreadable = 0;
  std::size_t beyond_limit = 0;

  WatchedFolder() = default;
  WatchedFolder(const WatchedFolder&) = delete;
  WatchedFolder& operator=(const WatchedFolder&) = delete;
  ~WatchedFolder() { close(); }

  // Opens the folder itself, with a descriptor out of the way of select(2). False, with errno: it cannot be.
  bool open();
  void close();

  [[nodiscard]] bool matches(const char* name) const;
  // False if it is there already.
  bool add_pattern(const std::string& pattern);

  // Whether what it said when it was listed last may have changed: its stamp is `now_stamp` now.
  [[nodiscard]] bool must_list(const timespec& now_stamp, std::chrono::system_clock::time_point now) const;
  // It is listed now.
  void begin_listing(const timespec& now_stamp, std::chrono::system_clock::time_point now);
};

// A name that matches and is no regular file. `type`: of its dirent.
Error skipped_name(std::string path, unsigned char type);

}  // namespace mmstats
