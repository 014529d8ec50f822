#include "collect/discover.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "collect/discovered_files.h"
#include "collect/discovery_room.h"
#include "collect/folder_names.h"
#include "collect/remove.h"
#include "collect/watched_folders.h"

namespace mmstats {

// Each knows those before it.
struct Discovery::Impl {
  DiscoveryRoom room;
  Found found;
  DiscoveredFiles files;
  FolderNames names;
  WatchedFolders folders;

  Impl(std::vector<std::string> globs, const DiscoveryLimits& limits)
      : room(limits),
        files(limits, room, found),
        names(limits, files),
        folders(std::move(globs), limits, room, names) {}
};

Discovery::Discovery(std::vector<std::string> globs, const DiscoveryLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(globs), limits)) {}
Discovery::Discovery(Discovery&&) noexcept = default;
Discovery& Discovery::operator=(Discovery&&) noexcept = default;
Discovery::~Discovery() = default;

const Found& Discovery::scan(std::chrono::system_clock::time_point now, const MayRelease& may_release) {
  Impl& self = *impl_;
  Found& found = self.found;
  found.appeared.clear();
  found.gone.clear();
  found.released.clear();
  found.errors.clear();
  found.folders_listed = found.folders_failed = found.skipped = found.unreadable = found.beyond_limit = 0;
  found.folders_beyond_limit = found.folders_put_off = 0;
  self.files.begin_scan(&may_release);
  self.names.begin_scan();
  self.folders.scan(now, found);
  self.names.end_scan(found.beyond_limit);
  if (self.files.end_scan()) self.folders.list_next_time();
  return found;
}

std::span<const FileKey> Discovery::files() const { return impl_->files.active(); }
const std::string& Discovery::path(FileKey file) const { return impl_->files[file].path; }
std::size_t Discovery::fixed_part(FileKey file) const {
  const auto& places = impl_->files[file].places;
  return places.empty() ? 0 : places.back().folder->where.fixed;
}
FileId Discovery::id(FileKey file) const { return impl_->files[file].id; }
uid_t Discovery::owner(FileKey file) const { return impl_->files[file].owner; }
std::size_t Discovery::held() const { return impl_->files.held(); }
bool Discovery::is_held(FileKey file) const { return impl_->files[file].open.is_open(); }

ssize_t Discovery::read_at(FileKey key, std::uint64_t offset, std::span<std::byte> into) noexcept {
  OpenFile opened;
  const OpenFile* open = DiscoveredFiles::open(impl_->files[key], opened);
  return open == nullptr ? -1 : open->read_at(offset, into);
}

std::int64_t Discovery::size(FileKey key) noexcept {
  const DiscoveredFile& file = impl_->files[key];
  struct stat info{};
  int result = -1;
  if (file.open.is_open()) {
    result = ::fstat(file.open.fd(), &info);
  } else {
    Descriptor opened;
    const int folder = DiscoveredFiles::folder_of(file, opened);
    if (folder >= 0) result = ::fstatat(folder, file.places.back().name->c_str(), &info, AT_SYMLINK_NOFOLLOW);
  }
  if (result != 0) return -1;
  if (FileId{info.st_dev, info.st_ino} == file.id) return info.st_size;
  errno = ESTALE;
  return -1;
}

Expected<Snapshot> Discovery::snapshot(FileKey key, std::uint64_t max_file_size) {
  const DiscoveredFile& file = impl_->files[key];
  OpenFile opened;
  if (const OpenFile* open = DiscoveredFiles::open(file, opened))
    return read_snapshot(*open, file.path, max_file_size);
  return tl::unexpected(system_failure(file.path, "cannot be opened"));
}

Writers Discovery::writers(FileKey key) noexcept {
  OpenFile opened;
  const OpenFile* open = DiscoveredFiles::open(impl_->files[key], opened);
  return open == nullptr ? Writers{} : writers_of(open->fd());
}

bool Discovery::is_replaced(FileKey gone) const { return impl_->files[gone].successor != kNoFile; }

bool Discovery::is_deleted(FileKey key) const { return impl_->files[key].is_deleted(); }

Expected<void> Discovery::remove(FileKey key) {
  const DiscoveredFile& file = impl_->files[key];
  Descriptor folder;
  const int fd = DiscoveredFiles::folder_of(file, folder);
  OpenFile opened;
  const OpenFile* open = fd < 0 ? nullptr : DiscoveredFiles::open(file, opened);
  if (open == nullptr)
    return tl::unexpected(failure(ErrorKind::kChanged, file.path, "is another file now; it is kept"));
  WatchedFolder& where = *file.places.back().folder;
  auto removed = remove_unwritten(*open, fd, file.places.back().name->c_str(), file.path);
  // It is not there any more, or never will be.
  if (removed || removed.error().kind != ErrorKind::kBusy) where.turn.looked = 0;
  return removed;
}

void Discovery::forget(FileKey key) { impl_->files.forget(key); }

}  // namespace mmstats
