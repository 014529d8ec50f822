// The files that are known: by which names, with their descriptors, and in which room.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/descriptor.h"
#include "base/keyed_hash.h"
#include "collect/discover.h"
#include "collect/discovery_room.h"
#include "collect/shares.h"
#include "collect/watched_folder.h"
#include "mmstats/snapshot.h"

namespace mmstats {

struct DiscoveredFile {
  // One of its names. Both live as long as the folder has the name.
  struct Place {
    WatchedFolder* folder = nullptr;
    const std::string* name = nullptr;
  };

  OpenFile open;
  FileId id;
  uid_t owner = 0;
  std::string path;             // of the last of its places, or the last that it had
  std::vector<Place> places;    // at most kMaxNames; none: gone, or the key is free
  std::uint32_t position = 0;   // among those that are read; kNoFile: gone, or released
  FileKey successor = kNoFile;  // of a file that is gone: which has its name now
  bool unseen = false;          // at the last scan it had no name in the folders, but one somewhere
  bool released = false;
  timespec changed{};  // of a file that is released, when it was

  // Of one that is held: no folder of the system has a name for it.
  [[nodiscard]] bool is_deleted() const;
};

// No locks; one thread at a time.
class DiscoveredFiles {
 public:
  // Names of one file that are known at once. Others are seen when one of these is gone.
  static constexpr std::size_t kMaxNames = 8;

  // Both live longer. What appears, is gone or is released is added to `found`.
  DiscoveredFiles(const DiscoveryLimits& limits, DiscoveryRoom& room, Found& found)
      : room_(room), found_(found), released_(limits.max_released) {}

  // `may_release` lives until the end of the scan.
  void begin_scan(const Discovery::MayRelease* may_release);
  // True: there are files without a name in the folders, which may get one soon.
  [[nodiscard]] bool end_scan();

  [[nodiscard]] const DiscoveredFile& operator[](FileKey key) const { return files_[key]; }
  [[nodiscard]] std::span<const FileKey> active() const { return active_; }  // that are read
  [[nodiscard]] std::size_t held() const { return held_; }
  // The file that is read and has this number, or kNoFile.
  [[nodiscard]] FileKey find(const FileId& id) const;
  // Whether `name`, of the folder `fd`, is the file `key` still.
  [[nodiscard]] bool is_at(int fd, const char* name, FileKey key) const;

  // As SubordinateIds::payer.
  [[nodiscard]] uid_t payer(uid_t owner) const { return room_.ids.payer(owner); }
  // Whether one more file of `owner` can be read. Releases others for it.
  bool make_room(uid_t owner);
  // A file that is not known. kNoFile: there is no room. It needs a name in this scan.
  FileKey add(OpenFile opened, std::string path);
  // The name that was the one's is the other's now.
  void replace(FileKey one, FileKey other) { files_[one].successor = other; }
  // The folder's name `text` leads to the file.
  void add_name(WatchedFolder& folder, const std::string& text, FileKey key);
  // The name leads to no file any more.
  void lose_name(const std::string& text, WatchedFolder::Name& name);
  // Ends what `gone` or `released` began: Discovery::forget.
  void forget(FileKey key);

  // A descriptor of the folder of the file's last name, held or opened into `opened`. -1, with errno: it has
  // no name, or its folder is another one by now.
  static int folder_of(const DiscoveredFile& file, Descriptor& opened) noexcept;
  // The file, held or opened into `opened`. None, with errno: its name leads elsewhere now, or it cannot be
  // opened.
  static const OpenFile* open(const DiscoveredFile& file, OpenFile& opened) noexcept;

 private:
  struct FileIdHash {
    std::size_t operator()(const FileId& id) const { return keyed_hash(id.device, id.inode); }
  };

  bool release_one();
  void leave_active(DiscoveredFile& file);
  void forget_names(FileKey key);

  DiscoveryRoom& room_;
  Found& found_;
  Shares released_;
  std::vector<DiscoveredFile> files_;
  std::vector<FileKey> free_keys_;
  std::vector<FileKey> active_;
  std::vector<FileKey> nameless_;  // files that lost one of their names in this scan, or are unseen
  std::unordered_map<FileId, FileKey, FileIdHash> by_id_;
  std::size_t held_ = 0;
  const Discovery::MayRelease* may_release_ = nullptr;  // in a scan
  std::size_t next_to_release_ = 0;  // in active_: those before it were asked about in this scan
};

}  // namespace mmstats
