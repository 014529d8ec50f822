// Which folders there are: those that the globs name, and those that wildcards lead to, now.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "collect/discover.h"
#include "collect/discovery_room.h"
#include "collect/folder_names.h"
#include "collect/folder_path.h"
#include "collect/folder_search.h"
#include "collect/shares.h"
#include "collect/turns.h"
#include "collect/vain_names.h"
#include "collect/watched_folder.h"
#include "mmstats/error.h"

namespace mmstats {

// No locks; one thread at a time.
class WatchedFolders {
 public:
  // `room` and `names` live longer.
  WatchedFolders(std::vector<std::string> globs, const DiscoveryLimits& limits, DiscoveryRoom& room,
                 FolderNames& names);

  // Finds the folders, lists those that may have changed, and adds what is to tell of all to `found`, which
  // refers to it until the next scan.
  void scan(std::chrono::system_clock::time_point now, Found& found);
  // All are listed at the next scan.
  void list_next_time();

 private:
  struct Glob {
    FolderGlob folder;
    std::string pattern;
  };
  struct Order {
    bool operator()(const FolderPath& a, const FolderPath& b) const {
      const int paths = a.path.compare(b.path);
      return paths != 0 ? paths < 0 : a.fixed < b.fixed;
    }
  };

  // Of a path that leads to wild folders.
  struct Above {
    std::size_t folders = 0;      // that are known below it
    std::uint64_t due = 0;        // number of the last scan at which one of them did not wait
    std::optional<uid_t> lister;  // its owner, if folders were looked for in it by a wildcard
  };

  WatchedFolder& add(const FolderPath& where);
  void take_turns(Found& found);
  bool may_add(uid_t owner);
  void mark_due(const FolderPath& where);
  [[nodiscard]] bool waits(const FolderPath& where) const;
  void find_wild(Found& found);
  FolderSearch::Answer find(const Glob& glob, const FolderPath& where, const struct stat& info);
  void count_above(const FolderPath& where, bool added);
  void drop(WatchedFolder& folder);
  void set_owner(WatchedFolder& folder, uid_t owner);
  void drop_descriptor(WatchedFolder& folder);
  int hold(WatchedFolder& folder, Descriptor& opened);
  void look_into(WatchedFolder& folder, std::chrono::system_clock::time_point now, Found& found);
  void leave(WatchedFolder& folder);
  void fail(const WatchedFolder& folder, const char* what, Found& found);
  void tell(Error error, uid_t owner);

  std::vector<Glob> globs_;  // those that are wild
  std::size_t max_files_;
  DiscoveryRoom& room_;
  FolderNames& names_;
  VainNames vain_;
  // Of wild folders: those that hold files, and the others.
  Turns holding_turns_;
  Turns empty_turns_;
  std::unordered_map<uid_t, std::size_t, KeyedNumberHash> crowded_;  // users, and how many of theirs wait
  std::unordered_map<uid_t, std::size_t, KeyedNumberHash> added_;    // theirs that are new at this scan
  std::uint64_t scan_ = 0;
  std::map<FolderPath, std::unique_ptr<WatchedFolder>, Order> folders_;
  std::unordered_map<std::string, Above, KeyedHash, std::equal_to<>> above_;
  std::vector<Error> glob_errors_;  // of globs that lead nowhere
  Shares errors_room_;
  std::vector<FolderSearch::OneError> errors_;  // of folders, at this scan
};

}  // namespace mmstats
