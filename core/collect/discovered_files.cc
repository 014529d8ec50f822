#include "collect/discovered_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "collect/folder_path.h"

namespace mmstats {

bool DiscoveredFile::is_deleted() const {
  struct stat info{};
  return open.is_open() && ::fstat(open.fd(), &info) == 0 && info.st_nlink == 0;
}

void DiscoveredFiles::begin_scan(const Discovery::MayRelease* may_release) {
  may_release_ = may_release;
  next_to_release_ = 0;
}

FileKey DiscoveredFiles::find(const FileId& id) const {
  const auto known = by_id_.find(id);
  // The number of one that was released may be another file's by now, so that is no other name of it.
  return known == by_id_.end() || files_[known->second].released ? kNoFile : known->second;
}

bool DiscoveredFiles::is_at(int fd, const char* name, FileKey key) const {
  struct stat info{};
  if (key == kNoFile || ::fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
  const DiscoveredFile& file = files_[key];
  // The inode of a file that is not held may be another's by now.
  const bool touched = file.released && (file.changed.tv_sec != info.st_ctim.tv_sec ||
                                         file.changed.tv_nsec != info.st_ctim.tv_nsec);
  return FileId{info.st_dev, info.st_ino} == file.id && !touched;
}

// ---- Names.

void DiscoveredFiles::add_name(WatchedFolder& folder, const std::string& text, FileKey key) {
  DiscoveredFile& file = files_[key];
  file.places.push_back({&folder, &text});
  file.path = join_path(folder.where.path, text);
}

void DiscoveredFiles::lose_name(const std::string& text, WatchedFolder::Name& name) {
  if (name.file == kNoFile) return;
  std::erase_if(files_[name.file].places, [&](const auto& place) { return place.name == &text; });
  nameless_.push_back(name.file);
  name.file = kNoFile;
}

// The file is deleted: names that it had in folders which cannot be listed now are none.
void DiscoveredFiles::forget_names(FileKey key) {
  auto& places = files_[key].places;
  for (const auto& place : places) place.folder->names.find(*place.name)->second.file = kNoFile;
  places.clear();
}

// A file that lost a name may have got another one in this scan: only then is it judged.
bool DiscoveredFiles::end_scan() {
  may_release_ = nullptr;
  std::sort(nameless_.begin(), nameless_.end());
  nameless_.erase(std::unique(nameless_.begin(), nameless_.end()), nameless_.end());
  std::vector<FileKey> unseen;
  for (const FileKey key : nameless_) {
    DiscoveredFile& file = files_[key];
    if (!file.places.empty() && file.is_deleted()) forget_names(key);
    if (!file.places.empty()) {
      file.unseen = false;
      file.path = join_path(file.places.back().folder->where.path, *file.places.back().name);
    } else if (file.released) {
      const auto known = by_id_.find(file.id);
      if (known != by_id_.end() && known->second == key) by_id_.erase(known);
      released_.give(file.owner, 1);
      file = DiscoveredFile{};
      free_keys_.push_back(key);
    } else if (file.position != kNoFile) {
      if (!file.unseen && file.successor == kNoFile && file.open.is_open() && !file.is_deleted()) {
        file.unseen = true;
        unseen.push_back(key);
        continue;
      }
      by_id_.erase(file.id);
      leave_active(file);
      found_.gone.push_back(key);
    }
  }
  nameless_.swap(unseen);
  return !nameless_.empty();
}

// ---- Room.

bool DiscoveredFiles::make_room(uid_t owner) {
  while (room_.places.room(owner) == 0) {
    if (!release_one()) return false;
  }
  return true;
}

// Stops reading one file whose room others need. It stays known, so that it is not taken for a new one.
bool DiscoveredFiles::release_one() {
  if (may_release_ == nullptr || !*may_release_) return false;
  for (; next_to_release_ < active_.size(); ++next_to_release_) {
    const FileKey key = active_[next_to_release_];
    DiscoveredFile& file = files_[key];
    if (!(*may_release_)(key) || released_.room(file.owner) == 0) continue;
    struct stat info{};
    Descriptor opened;
    const int fd = folder_of(file, opened);
    if (fd < 0 || ::fstatat(fd, file.places.back().name->c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (FileId{info.st_dev, info.st_ino} != file.id) continue;
    static_cast<void>(released_.take(file.owner, 1));
    leave_active(file);
    file.released = true;
    file.changed = info.st_ctim;
    found_.released.push_back(key);
    return true;
  }
  return false;
}

void DiscoveredFiles::leave_active(DiscoveredFile& file) {
  room_.places.give(file.owner, 1);
  const FileKey moved = active_.back();
  active_[file.position] = moved;
  files_[moved].position = file.position;
  active_.pop_back();
  file.position = kNoFile;
}

FileKey DiscoveredFiles::add(OpenFile opened, std::string path) {
  const uid_t owner = payer(opened.owner());
  if (!make_room(owner) || !room_.places.take(owner, 1)) return kNoFile;
  FileKey key = 0;
  if (free_keys_.empty()) {
    key = static_cast<FileKey>(files_.size());
    files_.emplace_back();
  } else {
    key = free_keys_.back();
    free_keys_.pop_back();
  }
  DiscoveredFile& file = files_[key];
  file.id = opened.id();
  file.owner = owner;
  file.path = std::move(path);
  file.position = static_cast<std::uint32_t>(active_.size());
  if (room_.descriptors.take(file.owner, 1)) {
    if (opened.move_high(room_.ceiling)) {
      file.open = std::move(opened);
      ++held_;
    } else {
      room_.descriptors.give(file.owner, 1);
    }
  }
  active_.push_back(key);
  by_id_.insert_or_assign(file.id, key);
  found_.appeared.push_back(key);
  return key;
}

void DiscoveredFiles::forget(FileKey key) {
  DiscoveredFile& file = files_[key];
  if (file.open.is_open()) {
    --held_;
    room_.descriptors.give(file.owner, 1);
  }
  if (file.released) return file.open.close();
  file = DiscoveredFile{};
  free_keys_.push_back(key);
}

// ---- Between scans.

int DiscoveredFiles::folder_of(const DiscoveredFile& file, Descriptor& opened) noexcept {
  errno = ESTALE;
  if (file.places.empty()) return -1;
  try {
    return file.places.back().folder->open(opened);
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return -1;
  }
}

const OpenFile* DiscoveredFiles::open(const DiscoveredFile& file, OpenFile& opened) noexcept {
  if (file.open.is_open()) return &file.open;
  Descriptor folder;
  const int fd = folder_of(file, folder);
  if (fd < 0) return nullptr;
  int sys_errno = ENOMEM;
  try {
    auto found = OpenFile::open(fd, file.places.back().name->c_str(), file.path);
    if (found && found->id() == file.id) {
      opened = std::move(*found);
      return &opened;
    }
    sys_errno = found || found.error().sys_errno == 0 ? ESTALE : found.error().sys_errno;
  } catch (const std::bad_alloc&) {
  }
  errno = sys_errno;
  return nullptr;
}

}  // namespace mmstats
