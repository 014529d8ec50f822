// What is in the watched folders: the names that match, and which of the files behind them are known.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "collect/discover.h"
#include "collect/discovered_files.h"
#include "collect/looks.h"
#include "collect/shares.h"
#include "collect/watched_folder.h"

namespace mmstats {

// No locks; one thread at a time.
class FolderNames {
 public:
  // `files` lives longer.
  FolderNames(const DiscoveryLimits& limits, DiscoveredFiles& files);

  void begin_scan();
  // `left_out`: how many files all folders have for which there is no room.
  void end_scan(std::size_t left_out) { refusing_ = left_out != 0; }

  // Lists the folder, for which `fd` is open, or goes on with that; `stamp` is its time. False, with errno:
  // that was not possible, and all is as it was.
  [[nodiscard]] bool list(WatchedFolder& folder, int fd, const timespec& stamp,
                          std::chrono::system_clock::time_point now);
  // The folder is there no more, nor is what is in it.
  void lose_all(WatchedFolder& folder);
  // The folder is another user's by now.
  void lose_errors(WatchedFolder& folder) { folder.errors.clear(errors_); }

 private:
  enum class Listed : std::uint8_t { kWhole, kPart, kFailed };
  Listed list_names(WatchedFolder& folder, DIR* directory);
  void end_listing(WatchedFolder& folder, int fd);
  void see_name(WatchedFolder& folder, int fd, const dirent& entry);
  bool is_refused(WatchedFolder& folder, const dirent& entry);
  void skip(WatchedFolder& folder, int fd, const dirent& entry);
  void complain(WatchedFolder& folder, int fd, const dirent& entry, Error error);
  FileKey open_new(WatchedFolder& folder, int fd, const dirent& entry);
  FileKey refuse(WatchedFolder& folder, std::uint64_t name, uid_t owner);
  FileKey leave_out(WatchedFolder& folder);

  std::size_t max_files_;
  DiscoveredFiles& files_;
  Looks looks_;                // at names that may be files
  Looks errors_looks_;         // at those that cannot be used: whose they are
  Shares errors_;              // of all folders and names
  std::size_t each_scan_;      // names that are listed in the folders of one owner
  std::size_t max_names_ = 0;  // at this scan
  std::unordered_map<uid_t, std::size_t, KeyedNumberHash> listed_;  // by owner of the folder, at this scan
  std::uint64_t scan_ = 0;
  std::uint64_t listing_ = 0;  // the last one's number
  std::size_t refused_ = 0;    // names, in all folders
  bool refusing_ = false;      // files were left out at the last scan, or are at this one
};

}  // namespace mmstats
