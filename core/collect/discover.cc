// Folders, the names in them and the files behind the names. Above 400 lines, because one scan changes all
// three together: a file is gone only when its last name in any folder is.
#include "collect/discover.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <compare>
#include <iterator>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "base/keyed_hash.h"
#include "collect/folder_search.h"
#include "collect/remove.h"
#include "collect/watched_folder.h"

namespace mmstats {
namespace {

namespace fs = boost::filesystem;
using std::chrono::system_clock;

// Descriptors of the soft limit that are left to the host.
constexpr rlim_t kLeftToHost = 256;

struct FileIdHash {
  std::size_t operator()(const FileId& id) const { return keyed_hash(id.device, id.inode); }
};

// Raises the soft limit of descriptors by `wanted`, as far as the hard one allows, and returns
// the number below which descriptors of ours must stay.
int raise_descriptor_limit(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t target = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, 1024) + wanted);
  if (limit.rlim_cur < target) {
    const rlimit raised{target, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit.rlim_cur = target;
  }
  const rlim_t usable = limit.rlim_cur > kLeftToHost ? limit.rlim_cur - kLeftToHost : 0;
  return static_cast<int>(std::min<rlim_t>(usable, 1U << 30U));
}

struct File {
  OpenFile open;
  FileId id;
  uid_t owner = 0;
  std::string path;
  std::uint32_t names = 0;      // in all folders; 0: gone, or the key is free
  std::uint32_t position = 0;   // in Impl::active; kNoFile: gone, or released
  FileKey successor = kNoFile;  // of a file that is gone: which has its name now
  bool unseen = false;          // at the last scan it had no name in the folders, but one somewhere
  bool released = false;
  timespec changed{};  // of a file that is released, when it was

  // Of one that is held: no folder of the system has a name for it.
  [[nodiscard]] bool is_deleted() const {
    struct stat info{};
    return open.is_open() && ::fstat(open.fd(), &info) == 0 && info.st_nlink == 0;
  }
};

}  // namespace

struct Discovery::Impl {
  struct Glob {
    fs::path folder;
    std::string pattern;
    bool wild = false;  // the folder part has wildcards: which folders there are may change
  };
  std::vector<Glob> globs;
  DiscoveryLimits limits;
  int ceiling = 0;
  std::size_t held = 0;
  std::uint64_t listing = 0;

  std::map<std::string, std::unique_ptr<WatchedFolder>> folders;
  std::vector<File> files;
  std::vector<FileKey> free_keys;
  std::vector<FileKey> active;
  std::vector<FileKey> nameless;  // files that lost one of their names in this scan, or are unseen
  std::unordered_map<FileId, FileKey, FileIdHash> by_id;
  Found found;
  std::vector<Error> folder_errors;
  const MayRelease* may_release = nullptr;  // in a scan
  std::size_t next_to_release = 0;          // in `active`: those before it were asked about in this scan

  Impl(std::vector<std::string> patterns, DiscoveryLimits limits_);
  void find_wild_folders();
  void add_folder(const fs::path& folder, const std::string& pattern);
  void scan_folder(WatchedFolder& folder, system_clock::time_point now);
  void list(WatchedFolder& folder, const timespec& stamp, system_clock::time_point now);
  void see_name(WatchedFolder& folder, const dirent& entry);
  bool still_there(const WatchedFolder& folder, const char* text, const WatchedFolder::Name& name) const;
  bool release_one();
  void leave_active(File& file);
  void find_path(FileKey key);
  FileKey open_new(WatchedFolder& folder, const char* name);
  void lose_name(WatchedFolder::Name& name);
  void forget_names(FileKey key);
  void lose_all_names(WatchedFolder& folder);
  template <class Use>
  bool with_descriptor(const File& file, Use&& use) noexcept;
};

Discovery::Impl::Impl(std::vector<std::string> patterns, DiscoveryLimits limits_) : limits(limits_) {
  ceiling = raise_descriptor_limit(std::min(limits.max_files, limits.max_held));
  for (auto& text : patterns) {
    const fs::path path(text);
    Glob glob{path.parent_path(), path.filename().string(), false};
    if (glob.folder.empty()) glob.folder = ".";
    glob.wild = has_wildcard(glob.folder.native());
    if (!glob.wild) add_folder(glob.folder, glob.pattern);
    globs.push_back(std::move(glob));
  }
}

void Discovery::Impl::add_folder(const fs::path& folder, const std::string& pattern) {
  auto& entry = folders[folder.native()];
  if (!entry) {
    entry = std::make_unique<WatchedFolder>();
    entry->path = folder.native();
  }
  entry->in_globs = true;
  if (entry->add_pattern(pattern)) entry->list_next_time = true;
}

void Discovery::Impl::find_wild_folders() {
  if (std::none_of(globs.begin(), globs.end(), [](const Glob& glob) { return glob.wild; })) return;
  for (auto& [path, folder] : folders) folder->in_globs = false;
  FolderSearch search;
  for (const auto& glob : globs) {
    if (!glob.wild) {
      folders[glob.folder.native()]->in_globs = true;
      continue;
    }
    search.found.clear();
    search.look(glob.folder.native());
    for (const auto& folder : search.found) add_folder(folder, glob.pattern);
  }
  found.folders_failed += search.errors.size();
  std::move(search.errors.begin(), search.errors.end(), std::back_inserter(folder_errors));
  for (auto entry = folders.begin(); entry != folders.end();) {
    if (entry->second->in_globs || search.may_hold(entry->first)) {
      ++entry;
      continue;
    }
    lose_all_names(*entry->second);
    entry = folders.erase(entry);
  }
}

void Discovery::Impl::lose_name(WatchedFolder::Name& name) {
  if (name.file == kNoFile) return;
  --files[name.file].names;
  nameless.push_back(name.file);
  name.file = kNoFile;
}

// The file is deleted: names that it had in folders which cannot be listed now are none.
void Discovery::Impl::forget_names(FileKey key) {
  for (auto& [path, folder] : folders) {
    for (auto& [text, name] : folder->names) {
      if (name.file == key) name.file = kNoFile;
    }
  }
  files[key].names = 0;
}

void Discovery::Impl::lose_all_names(WatchedFolder& folder) {
  for (auto& [text, name] : folder.names) lose_name(name);
  folder.names.clear();
  folder.errors.clear();
  folder.skipped = folder.unreadable = folder.beyond_limit = 0;
}

void Discovery::Impl::scan_folder(WatchedFolder& folder, system_clock::time_point now) {
  struct stat info{};
  const auto fail = [&](const char* what) {
    if (!folder.in_globs) return;  // one above it could not be looked into, which is told
    ++found.folders_failed;
    folder_errors.push_back(system_failure(folder.path, what));
  };
  if (::stat(folder.path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      // Not an error: an application that makes it may come later.
      folder.close();
      lose_all_names(folder);
    } else {
      fail("cannot look at the folder");
    }
    return;
  }
  const FileId id{info.st_dev, info.st_ino};
  if ((folder.directory == nullptr || folder.id != id) && !folder.open()) {
    return fail("cannot list the folder");
  }
  ++found.folders_listed;
  if (folder.must_list(info.st_mtim, now)) list(folder, info.st_mtim, now);
}

void Discovery::Impl::list(WatchedFolder& folder, const timespec& stamp, system_clock::time_point now) {
  ++listing;
  folder.begin_listing(stamp, now);
  errno = 0;
  while (const dirent* entry = ::readdir(folder.directory)) {
    if (folder.matches(entry->d_name)) see_name(folder, *entry);
    errno = 0;
  }
  if (errno != 0) {
    // What was not listed may still be there: keep it.
    folder.errors.push_back(system_failure(folder.path, "cannot list the folder to its end"));
    folder.list_next_time = true;
    return;
  }
  for (auto entry = folder.names.begin(); entry != folder.names.end();) {
    if (entry->second.seen == listing || still_there(folder, entry->first.c_str(), entry->second)) {
      ++entry;
      continue;
    }
    lose_name(entry->second);
    entry = folder.names.erase(entry);
  }
}

// A listing may miss a name that is renamed while it goes on; taking its file for gone would count it
// twice when it is seen again.
bool Discovery::Impl::still_there(const WatchedFolder& folder, const char* text,
                                  const WatchedFolder::Name& name) const {
  struct stat info{};
  const int directory = ::dirfd(folder.directory);
  if (name.file == kNoFile || directory < 0) return false;
  if (::fstatat(directory, text, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
  const File& file = files[name.file];
  // The inode of a file that is not held may be another's by now.
  const bool touched = file.released && (file.changed.tv_sec != info.st_ctim.tv_sec ||
                                         file.changed.tv_nsec != info.st_ctim.tv_nsec);
  return FileId{info.st_dev, info.st_ino} == file.id && !touched;
}

void Discovery::Impl::see_name(WatchedFolder& folder, const dirent& entry) {
  if (entry.d_type != DT_REG && entry.d_type != DT_UNKNOWN) {
    ++folder.skipped;
    folder.errors.push_back(skipped_name((fs::path(folder.path) / entry.d_name).native(), entry.d_type));
    return;  // and what had this name before, if anything, loses it
  }
  auto known = folder.names.find(std::string_view(entry.d_name));
  FileKey predecessor = kNoFile;
  if (known != folder.names.end() && known->second.file != kNoFile) {
    const File& file = files[known->second.file];
    // On some file systems (overlays) the listing's inode number is not the file's own.
    if ((file.id.inode == entry.d_ino && !file.released) ||
        still_there(folder, entry.d_name, known->second)) {
      known->second.seen = listing;
      return;
    }
    predecessor = known->second.file;
    lose_name(known->second);
  }
  const FileKey file = open_new(folder, entry.d_name);
  if (file == kNoFile) return;
  if (predecessor != kNoFile) files[predecessor].successor = file;
  if (known == folder.names.end()) known = folder.names.try_emplace(entry.d_name).first;
  known->second = {file, listing};
}

// Stops reading one file whose room others need. It stays known, so that it is not taken for a new one.
bool Discovery::Impl::release_one() {
  if (may_release == nullptr || !*may_release) return false;
  while (next_to_release < active.size()) {
    const FileKey key = active[next_to_release];
    File& file = files[key];
    struct stat info{};
    if (!(*may_release)(key) || ::fstatat(AT_FDCWD, file.path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      ++next_to_release;
      continue;
    }
    leave_active(file);
    file.released = true;
    file.changed = info.st_ctim;
    found.released.push_back(key);
    return true;
  }
  return false;
}

// A file that lost one of several names is called by one that it has.
void Discovery::Impl::find_path(FileKey key) {
  File& file = files[key];
  struct stat info{};
  const bool leads = ::fstatat(AT_FDCWD, file.path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (leads && FileId{info.st_dev, info.st_ino} == file.id) return;
  for (const auto& [path, folder] : folders) {
    for (const auto& [text, name] : folder->names) {
      if (name.file != key) continue;
      file.path = (fs::path(folder->path) / text).native();
      return;
    }
  }
}

void Discovery::Impl::leave_active(File& file) {
  const FileKey moved = active.back();
  active[file.position] = moved;
  files[moved].position = file.position;
  active.pop_back();
  file.position = kNoFile;
}

FileKey Discovery::Impl::open_new(WatchedFolder& folder, const char* name) {
  auto path = (fs::path(folder.path) / name).native();
  auto opened = OpenFile::open(::dirfd(folder.directory), name, path);
  if (!opened) {
    if (opened.error().kind == ErrorKind::kNotFound) return kNoFile;  // gone since it was listed
    if (opened.error().kind == ErrorKind::kNotRegular) ++folder.skipped;
    // Permissions and limits may change without a trace on the folder.
    if (opened.error().kind != ErrorKind::kNotRegular) {
      ++folder.unreadable;
      folder.list_next_time = true;
    }
    folder.errors.push_back(std::move(opened.error()));
    return kNoFile;
  }
  const FileId id = opened->id();
  // The inode of one that was released may be another file's by now, so that is no other name of it.
  if (const auto same = by_id.find(id); same != by_id.end() && !files[same->second].released) {
    File& file = files[same->second];
    ++file.names;
    file.path = std::move(path);
    return same->second;
  }
  if (active.size() >= limits.max_files && !release_one()) {
    if (folder.beyond_limit++ == 0) {
      folder.errors.push_back(
          failure(ErrorKind::kLimit, folder.path,
                  fmt::format("has files beyond the limit of {} for all folders; they are left out",
                              limits.max_files)));
    }
    folder.list_next_time = true;
    return kNoFile;
  }
  FileKey key = 0;
  if (free_keys.empty()) {
    key = static_cast<FileKey>(files.size());
    files.emplace_back();
  } else {
    key = free_keys.back();
    free_keys.pop_back();
  }
  File& file = files[key];
  file.id = id;
  file.owner = opened->owner();
  file.path = std::move(path);
  file.names = 1;
  file.position = static_cast<std::uint32_t>(active.size());
  if (held < limits.max_held && opened->move_high(ceiling)) {
    file.open = std::move(*opened);
    ++held;
  }
  active.push_back(key);
  by_id.insert_or_assign(id, key);
  found.appeared.push_back(key);
  return key;
}

// Calls `use` with the file's descriptor, held or opened for the call; false, with errno, if there is
// none because its name leads elsewhere now or it cannot be opened.
template <class Use>
bool Discovery::Impl::with_descriptor(const File& file, Use&& use) noexcept {
  if (file.open.is_open()) {
    use(file.open);
    return true;
  }
  try {
    const auto opened = OpenFile::open(AT_FDCWD, file.path.c_str(), file.path);
    if (opened && opened->id() == file.id) {
      use(*opened);
      return true;
    }
    errno = opened || opened.error().sys_errno == 0 ? ESTALE : opened.error().sys_errno;
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
  }
  return false;
}

Discovery::Discovery(std::vector<std::string> globs, DiscoveryLimits limits)
    : impl_(std::make_unique<Impl>(std::move(globs), limits)) {}
Discovery::Discovery(Discovery&&) noexcept = default;
Discovery& Discovery::operator=(Discovery&&) noexcept = default;
Discovery::~Discovery() = default;

const Found& Discovery::scan(system_clock::time_point now, const MayRelease& may_release) {
  Impl& self = *impl_;
  Found& found = self.found;
  found.appeared.clear();
  found.gone.clear();
  found.released.clear();
  found.errors.clear();
  found.folders_listed = found.folders_failed = found.skipped = found.unreadable = found.beyond_limit = 0;
  self.folder_errors.clear();
  self.may_release = &may_release;
  self.next_to_release = 0;

  self.find_wild_folders();
  for (auto& [path, folder] : self.folders) self.scan_folder(*folder, now);
  for (const auto& [path, folder] : self.folders) {
    found.skipped += folder->skipped;
    found.unreadable += folder->unreadable;
    found.beyond_limit += folder->beyond_limit;
    for (const auto& error : folder->errors) found.errors.push_back(&error);
  }
  for (const auto& error : self.folder_errors) found.errors.push_back(&error);

  // A file that lost a name may have got another one in this scan: only then is it judged.
  std::sort(self.nameless.begin(), self.nameless.end());
  self.nameless.erase(std::unique(self.nameless.begin(), self.nameless.end()), self.nameless.end());
  std::vector<FileKey> unseen;
  for (const FileKey key : self.nameless) {
    File& file = self.files[key];
    if (file.names != 0 && file.is_deleted()) self.forget_names(key);
    if (file.names != 0) {
      file.unseen = false;
      self.find_path(key);
    } else if (file.released) {
      const auto known = self.by_id.find(file.id);
      if (known != self.by_id.end() && known->second == key) self.by_id.erase(known);
      file = File{};
      self.free_keys.push_back(key);
    } else if (file.position != kNoFile) {
      if (!file.unseen && file.successor == kNoFile && file.open.is_open() && !file.is_deleted()) {
        file.unseen = true;
        unseen.push_back(key);
        continue;
      }
      self.by_id.erase(file.id);
      self.leave_active(file);
      found.gone.push_back(key);
    }
  }
  self.nameless.swap(unseen);
  if (!self.nameless.empty()) {
    for (const auto& [path, folder] : self.folders) folder->list_next_time = true;
  }
  self.may_release = nullptr;
  return found;
}

std::span<const FileKey> Discovery::files() const { return impl_->active; }
const std::string& Discovery::path(FileKey file) const { return impl_->files[file].path; }
FileId Discovery::id(FileKey file) const { return impl_->files[file].id; }
uid_t Discovery::owner(FileKey file) const { return impl_->files[file].owner; }
std::size_t Discovery::held() const { return impl_->held; }
bool Discovery::is_held(FileKey file) const { return impl_->files[file].open.is_open(); }

ssize_t Discovery::read_at(FileKey key, std::uint64_t offset, std::span<std::byte> into) noexcept {
  const File& file = impl_->files[key];
  if (file.open.is_open()) return file.open.read_at(offset, into);
  ssize_t got = -1;
  impl_->with_descriptor(file, [&](const OpenFile& open) { got = open.read_at(offset, into); });
  return got;
}

std::int64_t Discovery::size(FileKey key) noexcept {
  const File& file = impl_->files[key];
  struct stat info{};
  const int result = file.open.is_open() ? ::fstat(file.open.fd(), &info)
                                         : ::fstatat(AT_FDCWD, file.path.c_str(), &info, AT_SYMLINK_NOFOLLOW);
  if (result != 0) return -1;
  if (FileId{info.st_dev, info.st_ino} == file.id) return info.st_size;
  errno = ESTALE;
  return -1;
}

Writers Discovery::writers(FileKey key) noexcept {
  Writers writers;
  impl_->with_descriptor(impl_->files[key], [&](const OpenFile& open) { writers = writers_of(open.fd()); });
  return writers;
}

bool Discovery::is_replaced(FileKey gone) const { return impl_->files[gone].successor != kNoFile; }

bool Discovery::is_deleted(FileKey key) const { return impl_->files[key].is_deleted(); }

Expected<void> Discovery::remove(FileKey key) {
  const File& file = impl_->files[key];
  Expected<void> result;
  if (impl_->with_descriptor(file,
                             [&](const OpenFile& open) { result = remove_unwritten(open, file.path); })) {
    return result;
  }
  return tl::unexpected(failure(ErrorKind::kChanged, file.path, "is another file now; it is kept"));
}

void Discovery::forget(FileKey key) {
  File& file = impl_->files[key];
  if (file.open.is_open()) --impl_->held;
  if (file.released) return file.open.close();
  file = File{};
  impl_->free_keys.push_back(key);
}

}  // namespace mmstats
