#include "collect/watched_folders.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <limits>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"

namespace mmstats {
namespace {

// Of folders, in one scan.
constexpr std::size_t kMaxFolderErrors = 100;
// Wild folders of one user that are looked at in each scan: so many that hold files, and so many that do not.
constexpr std::size_t kHoldingEachScan = 1000;
constexpr std::size_t kEmptyEachScan = 500;

}  // namespace

WatchedFolders::WatchedFolders(std::vector<std::string> globs, const DiscoveryLimits& limits,
                               DiscoveryRoom& room, FolderNames& names)
    : max_files_(limits.max_files),
      room_(room),
      names_(names),
      vain_(limits.max_files),
      holding_turns_(kHoldingEachScan),
      empty_turns_(kEmptyEachScan),
      errors_room_(kMaxFolderErrors) {
  for (auto& text : globs) {
    const boost::filesystem::path path(text);
    Glob glob{split_glob(path.parent_path().native()), path.filename().string()};
    if (glob.folder.parts.empty()) {
      const std::string folder = glob.folder.fixed.empty() ? "." : glob.folder.fixed;
      add({folder, folder.size()}).add_pattern(glob.pattern);
    } else if (glob.folder.is_valid()) {
      globs_.push_back(std::move(glob));
    } else {
      glob_errors_.push_back(
          failure(ErrorKind::kInvalid, text, "has \"..\" after a wildcard, which leads nowhere"));
    }
  }
}

void WatchedFolders::scan(std::chrono::system_clock::time_point now, Found& found) {
  ++scan_;
  errors_.clear();
  errors_room_ = Shares(kMaxFolderErrors);
  for (const Error& error : glob_errors_) tell(error, ::geteuid());
  find_wild(found);
  for (auto& [where, folder] : folders_) {
    if (!folder->turn.waits) {
      look_into(*folder, now, found);
    } else if (folder->id != FileId{}) {
      ++found.folders_listed;
    }
  }
  for (const auto& [where, folder] : folders_) {
    const NameCounts counts = folder->counts();
    found.skipped += counts.skipped;
    found.unreadable += counts.unreadable;
    found.beyond_limit += counts.beyond_limit;
  }
  // What concerns many files comes first.
  for (const auto& one : errors_) found.errors.push_back({&one.error, one.owner});
  for (const bool of_folder : {true, false}) {
    for (const auto& [where, folder] : folders_) {
      for (const auto& one : folder->errors.all()) {
        if (one.of_folder == of_folder) found.errors.push_back({&one.error, one.owner});
      }
    }
  }
}

void WatchedFolders::list_next_time() {
  for (const auto& [where, folder] : folders_) folder->list_next_time = true;
}

WatchedFolder& WatchedFolders::add(const FolderPath& where) {
  auto& entry = folders_[where];
  if (!entry) {
    entry = std::make_unique<WatchedFolder>();
    entry->where = where;
  }
  return *entry;
}

void WatchedFolders::tell(Error error, uid_t owner) {
  if (errors_room_.take(owner, 1)) errors_.push_back({std::move(error), owner});
}

// ---- Those that wildcards lead to.

void WatchedFolders::find_wild(Found& found) {
  if (globs_.empty()) return;
  vain_.begin_scan();
  take_turns(found);
  const Glob* now = nullptr;
  std::size_t refused = 0;
  FolderSearch search(
      room_.ids, vain_,
      {.is_known =
           [&](const FolderPath& where) { return above_.contains(where.path) || folders_.contains(where); },
       .waits = [&](const FolderPath& where) { return waits(where); },
       .listed =
           [&](const FolderPath& where, uid_t owner) {
             const auto above = above_.find(where.path);
             if (above != above_.end()) above->second.lister = owner;
           },
       .found =
           [&](const FolderPath& where, const struct stat& info) {
             const auto answer = find(*now, where, info);
             if (answer == FolderSearch::Answer::kNoRoom) ++refused;
             return answer;
           }});
  std::size_t left_out = 0;
  for (const Glob& glob : globs_) {
    now = &glob;
    search.look(glob.folder);
    const std::size_t beyond = std::exchange(refused, 0) + search.left_out() - left_out;
    left_out = search.left_out();
    if (beyond == 0) continue;
    found.folders_beyond_limit += beyond;
    tell(failure(ErrorKind::kLimit, glob.folder.fixed.empty() ? "." : glob.folder.fixed,
                 fmt::format("has folders behind wildcards beyond the limit of {}; {}", max_files_,
                             kMaxFilesAdvice)),
         ::geteuid());
  }
  found.folders_failed += search.failed();
  for (auto& one : search.take_errors()) tell(std::move(one.error), one.owner);
  for (auto entry = folders_.begin(); entry != folders_.end();) {
    WatchedFolder& folder = *entry->second;
    if (folder.in_globs || search.may_hold(folder.where)) {
      ++entry;
      continue;
    }
    drop(folder);
    entry = folders_.erase(entry);
  }
}

// Says which of the wild folders are looked for at this scan.
void WatchedFolders::take_turns(Found& found) {
  for (auto& [where, folder] : folders_) {
    if (folder->wild)
      (folder->names.empty() ? empty_turns_ : holding_turns_).add(folder->owner, folder->turn);
  }
  crowded_.clear();
  added_.clear();
  for (Turns* turns : {&holding_turns_, &empty_turns_})
    turns->choose(scan_, [&](uid_t owner, std::size_t waiting) { crowded_[owner] += waiting; });
  for (auto& [where, folder] : folders_) {
    folder->in_globs = !folder->wild || folder->turn.waits;
    if (!crowded_.empty() && folder->wild && !folder->turn.waits) mark_due(where);
  }
  for (const auto& [owner, waiting] : crowded_) {
    found.folders_put_off += waiting;
    tell(failure(ErrorKind::kLimit, {},
                 fmt::format(
                     "folders of user {} that wildcards lead to are looked at in turn, {} that hold files "
                     "and {} that do not at each scan: what is new in the others is found later; remove "
                     "those that are not used",
                     owner, kHoldingEachScan, kEmptyEachScan)),
         owner);
  }
}

// All above it are looked at.
void WatchedFolders::mark_due(const FolderPath& where) {
  std::string path = where.path;
  for (auto slash = path.rfind('/'); slash != std::string::npos && slash > where.fixed;
       slash = path.rfind('/')) {
    path.resize(slash);
    above_.find(path)->second.due = scan_;
  }
}

// Of one that is known, or above one.
bool WatchedFolders::waits(const FolderPath& where) const {
  if (crowded_.empty()) return false;
  if (const auto folder = folders_.find(where); folder != folders_.end() && !folder->second->turn.waits)
    return false;
  const auto entry = above_.find(where.path);
  if (entry == above_.end()) return true;
  const Above& above = entry->second;
  // Anybody may have made a new one in a folder of somebody else.
  return above.due != scan_ && (!above.lister || crowded_.contains(*above.lister));
}

// Whether one more of `owner` may be found at this scan.
bool WatchedFolders::may_add(uid_t owner) {
  constexpr std::size_t kFirst = 4;  // times as many at the first scan, to which all are new
  return !empty_turns_.is_bound(owner) || ++added_[owner] <= (scan_ == 1 ? kFirst : 1) * kEmptyEachScan;
}

FolderSearch::Answer WatchedFolders::find(const Glob& glob, const FolderPath& where,
                                          const struct stat& info) {
  const auto known = folders_.find(where);
  const uid_t owner = room_.ids.payer(info.st_uid);
  if (known == folders_.end() || known->second->owner != owner) {
    if (room_.places.room(owner) == 0) return FolderSearch::Answer::kNoRoom;
    if (known == folders_.end() && !may_add(owner)) return FolderSearch::Answer::kLater;
    static_cast<void>(room_.places.take(owner, 1));
    if (known != folders_.end()) room_.places.give(known->second->owner, 1);
  }
  WatchedFolder& folder = known == folders_.end() ? add(where) : *known->second;
  if (known == folders_.end()) {
    folder.wild = true;
    folder.turn.looked = scan_;
    count_above(where, true);
  }
  set_owner(folder, owner);
  folder.in_globs = true;
  folder.found_id = {info.st_dev, info.st_ino};
  folder.found_stamp = info.st_mtim;
  if (folder.add_pattern(glob.pattern)) folder.list_next_time = true;
  return FolderSearch::Answer::kWanted;
}

void WatchedFolders::count_above(const FolderPath& where, bool added) {
  std::string path = where.path;
  for (auto slash = path.rfind('/'); slash != std::string::npos && slash > where.fixed;
       slash = path.rfind('/')) {
    path.resize(slash);
    if (added) {
      Above& above = above_[path];
      ++above.folders;
      above.due = scan_;
    } else if (const auto entry = above_.find(path); --entry->second.folders == 0) {
      above_.erase(entry);
    }
  }
}

// It is there no more.
void WatchedFolders::drop(WatchedFolder& folder) {
  names_.lose_all(folder);
  drop_descriptor(folder);
  room_.places.give(folder.owner, 1);
  count_above(folder.where, false);
}

// ---- Whose they are, and their descriptors.

void WatchedFolders::set_owner(WatchedFolder& folder, uid_t owner) {
  if (folder.owner == owner) return;
  drop_descriptor(folder);
  names_.lose_errors(folder);
  folder.owner = owner;
  folder.list_next_time = true;
}

void WatchedFolders::drop_descriptor(WatchedFolder& folder) {
  if (folder.wild && folder.descriptor) room_.descriptors.give(folder.owner, 1);
  folder.descriptor.reset();
}

// The descriptor's number, which becomes the folder's if there is room for it.
int WatchedFolders::hold(WatchedFolder& folder, Descriptor& opened) {
  int fd = opened.release();
  const bool counted = folder.wild && room_.descriptors.take(folder.owner, 1);
  const bool high = (counted || !folder.wild) &&
                    move_high(fd, folder.wild ? room_.ceiling : std::numeric_limits<int>::max());
  opened.reset(fd);
  if (high || !folder.wild) {
    folder.descriptor = std::move(opened);
  } else if (counted) {
    room_.descriptors.give(folder.owner, 1);
  }
  return fd;
}

// ---- What is in them.

void WatchedFolders::look_into(WatchedFolder& folder, std::chrono::system_clock::time_point now,
                               Found& found) {
  const auto is_missing = [] { return errno == ENOENT || errno == ENOTDIR; };
  struct stat info{};
  Descriptor opened;
  if (folder.wild && folder.in_globs) {
    // The search has just looked at it.
    info.st_dev = folder.found_id.device;
    info.st_ino = folder.found_id.inode;
    info.st_mtim = folder.found_stamp;
  } else {
    bool seen = false;
    if (folder.wild) {
      opened = open_folder(folder.where);
      seen = opened && ::fstat(opened.get(), &info) == 0;
    } else {
      seen = ::stat(folder.where.path.c_str(), &info) == 0;
    }
    if (!seen) return is_missing() ? leave(folder) : fail(folder, "cannot look at the folder", found);
    if (!folder.wild) set_owner(folder, room_.ids.payer(info.st_uid));
  }
  if (folder.id != FileId{info.st_dev, info.st_ino}) {
    drop_descriptor(folder);
    folder.list_next_time = true;
    folder.resume = 0;
  }
  if (!folder.must_list(info.st_mtim, now)) {
    ++found.folders_listed;
    return;
  }
  int fd = folder.descriptor.get();
  if (!folder.descriptor) {
    if (!opened) opened = open_folder(folder.where);
    struct stat now_open{};
    if (!opened || ::fstat(opened.get(), &now_open) != 0) {
      return is_missing() ? leave(folder) : fail(folder, "cannot look into the folder", found);
    }
    folder.id = {now_open.st_dev, now_open.st_ino};
    // Another one took its place just now: whose it is will be known at the next scan.
    if (folder.wild && room_.ids.payer(now_open.st_uid) != folder.owner) return;
    info.st_mtim = now_open.st_mtim;
    fd = hold(folder, opened);
  }
  if (names_.list(folder, fd, info.st_mtim, now)) {
    ++found.folders_listed;
  } else if (errno == ENOENT) {
    leave(folder);
  } else {
    fail(folder, "cannot list the folder", found);
  }
}

// It is not there. Not an error: an application that makes it may come later.
void WatchedFolders::leave(WatchedFolder& folder) {
  drop_descriptor(folder);
  names_.lose_all(folder);
  folder.id = {};
}

void WatchedFolders::fail(const WatchedFolder& folder, const char* what, Found& found) {
  const int sys_errno = errno;
  if (!folder.in_globs) return;  // one above it could not be looked into, which is told
  ++found.folders_failed;
  tell(system_failure(folder.where.path, what, sys_errno), folder.owner);
}

}  // namespace mmstats
