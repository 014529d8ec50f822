// Folders, the names in them and the files behind the names. Above 450 lines, because one scan changes all
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
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "base/keyed_hash.h"
#include "collect/folder_path.h"
#include "collect/folder_search.h"
#include "collect/looks.h"
#include "collect/remove.h"
#include "collect/shares.h"
#include "collect/watched_folder.h"

namespace mmstats {
namespace {

namespace fs = boost::filesystem;
using std::chrono::system_clock;

// Descriptors of the soft limit that are left to the host.
constexpr rlim_t kLeftToHost = 256;
// Names of one file that are known at once. Others are seen when one of these is gone.
constexpr std::size_t kMaxNames = 8;
// Errors of all folders; and of folders in one scan.
constexpr std::size_t kMaxNameErrors = 2000;
constexpr std::size_t kMaxFolderErrors = 100;
// Names that are known not to fit, for each file that does: so many are remembered.
constexpr std::size_t kRefusedPerFile = 4;
// What is remembered is made sure of now and then, as a number may be another file's by now.
constexpr std::uint64_t kListingsToDoubt = 64;
constexpr std::size_t kMinLooks = 100;
constexpr const char* kAdvice =
    "they are left out; one user may have three quarters of what the others leave; raise MaxFiles "
    "(max_files)";

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

// One of a file's names. Both live as long as the folder has the name.
struct Place {
  WatchedFolder* folder = nullptr;
  const std::string* name = nullptr;

  [[nodiscard]] std::string path() const { return join_path(folder->where.path, *name); }
};

struct File {
  OpenFile open;
  FileId id;
  uid_t owner = 0;
  std::string path;             // of the last of its places, or the last that it had
  std::vector<Place> places;    // at most kMaxNames; none: gone, or the key is free
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

struct FolderOrder {
  bool operator()(const FolderPath& a, const FolderPath& b) const {
    const int paths = a.path.compare(b.path);
    return paths != 0 ? paths < 0 : a.fixed < b.fixed;
  }
};

}  // namespace

struct Discovery::Impl {
  struct Glob {
    FolderGlob folder;
    std::string pattern;
    [[nodiscard]] bool is_wild() const { return !folder.parts.empty(); }
  };
  std::vector<Glob> globs;  // those that are wild
  DiscoveryLimits limits;
  int ceiling = 0;
  std::size_t held = 0;
  std::uint64_t listing = 0;

  Shares room;              // for files that are read and for wild folders, of which each takes one
  Shares descriptors;       // those files and folders, held
  Shares released;          // files
  Shares errors;            // of names
  Looks looks;              // at names in folders
  Looks folder_looks;       // at names that may be folders
  std::size_t refused = 0;  // names, in all folders
  bool refusing = false;    // files were left out at the last scan, or are at this one

  std::map<FolderPath, std::unique_ptr<WatchedFolder>, FolderOrder> folders;
  std::unordered_map<std::string, std::size_t, KeyedHash, std::equal_to<>>
      above_folders;  // wild folders that are known below a path
  std::vector<File> files;
  std::vector<FileKey> free_keys;
  std::vector<FileKey> active;
  std::vector<FileKey> nameless;  // files that lost one of their names in this scan, or are unseen
  std::unordered_map<FileId, FileKey, FileIdHash> by_id;
  Found found;
  std::vector<Error> glob_errors;  // of globs that lead nowhere
  std::vector<Error> folder_errors;
  const MayRelease* may_release = nullptr;  // in a scan
  std::size_t next_to_release = 0;          // in `active`: those before it were asked about in this scan

  Impl(std::vector<std::string> patterns, DiscoveryLimits limits_);
  WatchedFolder& add_folder(const FolderPath& where);
  void find_wild_folders();
  bool find_folder(const Glob& glob, const FolderPath& where, const struct stat& info);
  void count_above(const FolderPath& where, bool added);
  void drop_folder(WatchedFolder& folder);
  void set_owner(WatchedFolder& folder, uid_t owner);
  void drop_descriptor(WatchedFolder& folder);
  void tell_of_folder(Error error);
  void fail(const WatchedFolder& folder, const char* what);
  void leave(WatchedFolder& folder);
  void scan_folder(WatchedFolder& folder, system_clock::time_point now);
  int descriptor_of(WatchedFolder& folder, Descriptor& opened);
  void list(WatchedFolder& folder, int fd, const timespec& stamp, system_clock::time_point now);
  bool list_names(WatchedFolder& folder, DIR* directory);
  void see_name(WatchedFolder& folder, int fd, const dirent& entry);
  bool still_there(int fd, const char* text, const WatchedFolder::Name& name) const;
  bool make_room(uid_t owner);
  bool release_one();
  void leave_active(File& file);
  FileKey open_new(WatchedFolder& folder, int fd, const dirent& entry);
  FileKey refuse(WatchedFolder& folder, std::uint64_t name, uid_t owner);
  FileKey leave_out(WatchedFolder& folder);
  FileKey add_file(OpenFile opened, std::string path);
  void add_name(WatchedFolder& folder, const std::string& text, WatchedFolder::Name& name, FileKey key);
  void lose_name(const std::string& text, WatchedFolder::Name& name);
  void forget_names(FileKey key);
  void lose_all_names(WatchedFolder& folder);
  void judge_nameless();
  template <class Use>
  bool with_descriptor(const File& file, Use&& use) noexcept;
  template <class Use>
  bool in_folder(const File& file, Use&& use) noexcept;
};

Discovery::Impl::Impl(std::vector<std::string> patterns, DiscoveryLimits limits_)
    : limits(limits_),
      ceiling(raise_descriptor_limit(std::min(limits.max_files, limits.max_held))),
      room(limits.max_files),
      descriptors(std::min<std::size_t>(
          limits.max_held, static_cast<std::size_t>(std::max(ceiling - kFirstHighDescriptor, 0)))),
      released(limits.max_files),
      errors(kMaxNameErrors),
      looks(std::max(limits.max_files, kMinLooks)),
      folder_looks(std::max(limits.max_files, kMinLooks)) {
  for (auto& text : patterns) {
    const boost::filesystem::path path(text);
    Glob glob{split_glob(path.parent_path().native()), path.filename().string()};
    if (!glob.is_wild()) {
      const std::string folder = glob.folder.fixed.empty() ? "." : glob.folder.fixed;
      if (add_folder({folder, folder.size()}).add_pattern(glob.pattern)) continue;
    } else if (glob.folder.is_valid()) {
      globs.push_back(std::move(glob));
    } else {
      glob_errors.push_back(
          failure(ErrorKind::kInvalid, text, "has \"..\" after a wildcard, which leads nowhere"));
    }
  }
}

WatchedFolder& Discovery::Impl::add_folder(const FolderPath& where) {
  auto& entry = folders[where];
  if (!entry) {
    entry = std::make_unique<WatchedFolder>();
    entry->where = where;
  }
  return *entry;
}

// ---- Which folders there are.

void Discovery::Impl::find_wild_folders() {
  if (globs.empty()) return;
  for (auto& [where, folder] : folders) folder->in_globs = !folder->wild;
  const Glob* now = nullptr;
  std::size_t refused_folders = 0;
  FolderSearch search(folder_looks, {.is_known =
                                         [&](const FolderPath& where) {
                                           return above_folders.contains(where.path) ||
                                                  folders.contains(where);
                                         },
                                     .found =
                                         [&](const FolderPath& where, const struct stat& info) {
                                           const bool wanted = find_folder(*now, where, info);
                                           if (!wanted) ++refused_folders;
                                           return wanted;
                                         }});
  std::size_t left_out = 0;
  for (const Glob& glob : globs) {
    now = &glob;
    search.look(glob.folder);
    const std::size_t beyond = std::exchange(refused_folders, 0) + search.left_out() - left_out;
    left_out = search.left_out();
    if (beyond == 0) continue;
    found.folders_beyond_limit += beyond;
    tell_of_folder(failure(
        ErrorKind::kLimit, glob.folder.fixed.empty() ? "." : glob.folder.fixed,
        fmt::format("has folders behind wildcards beyond the limit of {}; {}", limits.max_files, kAdvice)));
  }
  found.folders_failed += search.failed();
  for (Error& error : search.take_errors()) tell_of_folder(std::move(error));
  for (auto entry = folders.begin(); entry != folders.end();) {
    WatchedFolder& folder = *entry->second;
    if (folder.in_globs || search.may_hold(folder.where)) {
      ++entry;
      continue;
    }
    drop_folder(folder);
    entry = folders.erase(entry);
  }
}

// False: there is no room for it.
bool Discovery::Impl::find_folder(const Glob& glob, const FolderPath& where, const struct stat& info) {
  const auto known = folders.find(where);
  if (known == folders.end() || known->second->owner != info.st_uid) {
    if (!room.take(info.st_uid, 1)) return false;
    if (known != folders.end()) room.give(known->second->owner, 1);
  }
  WatchedFolder& folder = known == folders.end() ? add_folder(where) : *known->second;
  if (known == folders.end()) {
    folder.wild = true;
    count_above(where, true);
  }
  set_owner(folder, info.st_uid);
  folder.in_globs = true;
  folder.found_id = {info.st_dev, info.st_ino};
  folder.found_stamp = info.st_mtim;
  if (folder.add_pattern(glob.pattern)) folder.list_next_time = true;
  return true;
}

void Discovery::Impl::count_above(const FolderPath& where, bool added) {
  std::string path = where.path;
  for (auto slash = path.rfind('/'); slash != std::string::npos && slash > where.fixed;
       slash = path.rfind('/')) {
    path.resize(slash);
    if (added) {
      ++above_folders[path];
    } else if (const auto entry = above_folders.find(path); --entry->second == 0) {
      above_folders.erase(entry);
    }
  }
}

// Of a wild folder that is there no more.
void Discovery::Impl::drop_folder(WatchedFolder& folder) {
  lose_all_names(folder);
  drop_descriptor(folder);
  errors.give(folder.owner, std::exchange(folder.errors_counted, 0));
  room.give(folder.owner, 1);
  count_above(folder.where, false);
}

void Discovery::Impl::set_owner(WatchedFolder& folder, uid_t owner) {
  if (folder.owner == owner) return;
  drop_descriptor(folder);
  errors.give(folder.owner, std::exchange(folder.errors_counted, 0));
  folder.errors.clear();
  folder.owner = owner;
  folder.list_next_time = true;
}

void Discovery::Impl::drop_descriptor(WatchedFolder& folder) {
  if (folder.wild && folder.descriptor) descriptors.give(folder.owner, 1);
  folder.descriptor.reset();
}

void Discovery::Impl::tell_of_folder(Error error) {
  if (folder_errors.size() < kMaxFolderErrors) folder_errors.push_back(std::move(error));
}

void Discovery::Impl::fail(const WatchedFolder& folder, const char* what) {
  const int sys_errno = errno;
  if (!folder.in_globs) return;  // one above it could not be looked into, which is told
  ++found.folders_failed;
  tell_of_folder(system_failure(folder.where.path, what, sys_errno));
}

// It is not there. Not an error: an application that makes it may come later.
void Discovery::Impl::leave(WatchedFolder& folder) {
  drop_descriptor(folder);
  lose_all_names(folder);
  folder.id = {};
}

// ---- What is in a folder.

void Discovery::Impl::scan_folder(WatchedFolder& folder, system_clock::time_point now) {
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
    if (!seen) return is_missing() ? leave(folder) : fail(folder, "cannot look at the folder");
    if (!folder.wild) set_owner(folder, info.st_uid);
  }
  if (folder.id != FileId{info.st_dev, info.st_ino}) {
    drop_descriptor(folder);
    folder.list_next_time = true;
  }
  if (!folder.must_list(info.st_mtim, now)) {
    ++found.folders_listed;
    return;
  }
  if (!folder.descriptor) {
    if (!opened) opened = open_folder(folder.where);
    struct stat now_open{};
    if (!opened || ::fstat(opened.get(), &now_open) != 0) {
      return is_missing() ? leave(folder) : fail(folder, "cannot look into the folder");
    }
    folder.id = {now_open.st_dev, now_open.st_ino};
    // Another one took its place just now: whose it is will be known at the next scan.
    if (folder.wild && now_open.st_uid != folder.owner) return;
    info.st_mtim = now_open.st_mtim;
    int fd = opened.release();
    const bool counted = folder.wild && descriptors.take(folder.owner, 1);
    const bool high =
        (counted || !folder.wild) && move_high(fd, folder.wild ? ceiling : std::numeric_limits<int>::max());
    opened.reset(fd);
    if (high || !folder.wild) {
      folder.descriptor = std::move(opened);
    } else if (counted) {
      descriptors.give(folder.owner, 1);
    }
  }
  list(folder, folder.descriptor ? folder.descriptor.get() : opened.get(), info.st_mtim, now);
}

// A descriptor of the folder that was listed: its own, or opened for the call; or -1, with errno.
int Discovery::Impl::descriptor_of(WatchedFolder& folder, Descriptor& opened) {
  if (folder.descriptor) return folder.descriptor.get();
  struct stat info{};
  opened = open_folder(folder.where);
  if (!opened || ::fstat(opened.get(), &info) != 0) return -1;
  if (folder.id == FileId{info.st_dev, info.st_ino}) return opened.get();
  errno = ESTALE;
  return -1;
}

void Discovery::Impl::list(WatchedFolder& folder, int fd, const timespec& stamp,
                           system_clock::time_point now) {
  // Opened for each listing: the buffer that goes with it is large.
  Descriptor listed(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(listed ? ::fdopendir(listed.get()) : nullptr, close);
  if (directory == nullptr) {
    return errno == ENOENT ? leave(folder) : fail(folder, "cannot list the folder");
  }
  static_cast<void>(listed.release());
  ++found.folders_listed;
  ++listing;
  errors.give(folder.owner, std::exchange(folder.errors_counted, 0));
  const std::size_t most = std::min(errors.room(folder.owner), WatchedFolder::kMaxErrors);
  folder.begin_listing(stamp, now, most);
  if (list_names(folder, directory.get())) {
    for (auto entry = folder.names.begin(); entry != folder.names.end();) {
      if (entry->second.seen == listing || still_there(fd, entry->first.c_str(), entry->second)) {
        ++entry;
        continue;
      }
      lose_name(entry->first, entry->second);
      entry = folder.names.erase(entry);
    }
    refused -= std::erase_if(folder.refused, [&](const auto& entry) { return entry.second.seen != listing; });
  } else {
    // What was not listed may still be there: keep it.
    folder.complain(system_failure(folder.where.path, "cannot list the folder to its end"));
    folder.list_next_time = true;
  }
  folder.end_listing();
  if (folder.beyond_limit != 0 && most != 0) {
    folder.errors.push_back(failure(
        ErrorKind::kLimit, folder.where.path,
        fmt::format("has files beyond the limit of {} for all folders; {}", limits.max_files, kAdvice)));
  }
  folder.errors_counted = std::min(folder.errors.size(), most);
  if (folder.errors_counted != 0) static_cast<void>(errors.take(folder.owner, folder.errors_counted));
}

// False, with errno: not to its end.
bool Discovery::Impl::list_names(WatchedFolder& folder, DIR* directory) {
  const int fd = ::dirfd(directory);
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (folder.matches(entry->d_name)) see_name(folder, fd, *entry);
    errno = 0;
  }
  return errno == 0;
}

// A listing may miss a name that is renamed while it goes on; taking its file for gone would count it
// twice when it is seen again.
bool Discovery::Impl::still_there(int fd, const char* text, const WatchedFolder::Name& name) const {
  struct stat info{};
  if (name.file == kNoFile || ::fstatat(fd, text, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
  const File& file = files[name.file];
  // The inode of a file that is not held may be another's by now.
  const bool touched = file.released && (file.changed.tv_sec != info.st_ctim.tv_sec ||
                                         file.changed.tv_nsec != info.st_ctim.tv_nsec);
  return FileId{info.st_dev, info.st_ino} == file.id && !touched;
}

void Discovery::Impl::see_name(WatchedFolder& folder, int fd, const dirent& entry) {
  // What had the name before, if anything, loses it.
  if (entry.d_type != DT_REG && entry.d_type != DT_UNKNOWN) return folder.skip(entry.d_name, entry.d_type);
  auto known = folder.names.find(std::string_view(entry.d_name));
  FileKey predecessor = kNoFile;
  if (known != folder.names.end() && known->second.file != kNoFile) {
    const File& file = files[known->second.file];
    // On some file systems (overlays) the listing's inode number is not the file's own.
    if ((file.id.inode == entry.d_ino && !file.released) || still_there(fd, entry.d_name, known->second)) {
      known->second.seen = listing;
      return;
    }
    predecessor = known->second.file;
    lose_name(known->first, known->second);
  }
  const FileKey file = open_new(folder, fd, entry);
  if (file == kNoFile) return;
  if (predecessor != kNoFile) files[predecessor].successor = file;
  if (known == folder.names.end()) known = folder.names.try_emplace(entry.d_name).first;
  add_name(folder, known->first, known->second, file);
}

void Discovery::Impl::add_name(WatchedFolder& folder, const std::string& text, WatchedFolder::Name& name,
                               FileKey key) {
  name = {key, listing};
  File& file = files[key];
  file.places.push_back({&folder, &text});
  file.path = file.places.back().path();
}

void Discovery::Impl::lose_name(const std::string& text, WatchedFolder::Name& name) {
  if (name.file == kNoFile) return;
  std::erase_if(files[name.file].places, [&](const Place& place) { return place.name == &text; });
  nameless.push_back(name.file);
  name.file = kNoFile;
}

// The file is deleted: names that it had in folders which cannot be listed now are none.
void Discovery::Impl::forget_names(FileKey key) {
  for (const Place& place : files[key].places) place.folder->names.find(*place.name)->second.file = kNoFile;
  files[key].places.clear();
}

void Discovery::Impl::lose_all_names(WatchedFolder& folder) {
  for (auto& [text, name] : folder.names) lose_name(text, name);
  folder.names.clear();
  refused -= folder.refused.size();
  folder.refused.clear();
  folder.errors.clear();
  folder.skipped = folder.unreadable = folder.beyond_limit = 0;
}

// ---- Room.

// Whether one more file of `owner` can be read.
bool Discovery::Impl::make_room(uid_t owner) {
  while (room.room(owner) == 0) {
    if (!release_one()) return false;
  }
  return true;
}

// Stops reading one file whose room others need. It stays known, so that it is not taken for a new one.
bool Discovery::Impl::release_one() {
  if (may_release == nullptr || !*may_release) return false;
  for (; next_to_release < active.size(); ++next_to_release) {
    const FileKey key = active[next_to_release];
    File& file = files[key];
    struct stat info{};
    bool is_there = false;
    if (!(*may_release)(key) || released.room(file.owner) == 0) continue;
    in_folder(file, [&](int fd, const char* name) {
      is_there =
          ::fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && FileId{info.st_dev, info.st_ino} == file.id;
    });
    if (!is_there) continue;
    static_cast<void>(released.take(file.owner, 1));
    leave_active(file);
    file.released = true;
    file.changed = info.st_ctim;
    found.released.push_back(key);
    return true;
  }
  return false;
}

void Discovery::Impl::leave_active(File& file) {
  room.give(file.owner, 1);
  const FileKey moved = active.back();
  active[file.position] = moved;
  files[moved].position = file.position;
  active.pop_back();
  file.position = kNoFile;
}

FileKey Discovery::Impl::leave_out(WatchedFolder& folder) {
  refusing = true;
  ++folder.beyond_limit;
  folder.list_next_time = true;
  return kNoFile;
}

// There is no room for the file, as was found out by a look at it.
FileKey Discovery::Impl::refuse(WatchedFolder& folder, std::uint64_t name, uid_t owner) {
  looks.in_vain(folder.owner);
  const auto remembered = folder.refused.find(name);
  if (remembered != folder.refused.end()) {
    remembered->second.owner = owner;
  } else if (refused / kRefusedPerFile < limits.max_files) {
    ++refused;
    folder.refused.insert({name, {owner, listing}});
  }
  return leave_out(folder);
}

// ---- New names.

FileKey Discovery::Impl::open_new(WatchedFolder& folder, int fd, const dirent& entry) {
  const auto is_full = [&](const FileId& id) {
    const auto known = by_id.find(id);
    return known != by_id.end() && !files[known->second].released &&
           files[known->second].places.size() >= kMaxNames;
  };
  // Its names are many; those that are known are enough.
  if (is_full({folder.id.device, entry.d_ino})) return kNoFile;

  const std::uint64_t name = keyed_hash(keyed_hash(std::string_view(entry.d_name)), entry.d_ino);
  if (const auto remembered = folder.refused.find(name); remembered != folder.refused.end()) {
    remembered->second.seen = listing;
    if (!make_room(remembered->second.owner) && !looks.once_in(kListingsToDoubt)) return leave_out(folder);
  }
  if (!looks.may_look(folder.owner)) return leave_out(folder);
  struct stat info{};
  // What does not fit is not opened.
  if (refusing && ::fstatat(fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode)) {
    const auto same = by_id.find({info.st_dev, info.st_ino});
    const bool is_known = same != by_id.end() && !files[same->second].released;
    if (!is_known && !make_room(info.st_uid)) return refuse(folder, name, info.st_uid);
  }
  auto path = join_path(folder.where.path, entry.d_name);
  auto opened = OpenFile::open(fd, entry.d_name, path);
  if (!opened) {
    looks.in_vain(folder.owner);
    if (opened.error().kind == ErrorKind::kNotFound) return kNoFile;  // gone since it was listed
    if (opened.error().kind == ErrorKind::kNotRegular) {
      ++folder.skipped;
    } else {
      // Permissions and limits may change without a trace on the folder.
      ++folder.unreadable;
      folder.list_next_time = true;
    }
    folder.complain(std::move(opened.error()));
    return kNoFile;
  }
  const FileId id = opened->id();
  // The inode of one that was released may be another file's by now, so that is no other name of it.
  if (const auto same = by_id.find(id); same != by_id.end() && !files[same->second].released) {
    if (!is_full(id)) return same->second;
    looks.in_vain(folder.owner);
    return kNoFile;
  }
  if (!make_room(opened->owner()) || !room.take(opened->owner(), 1))
    return refuse(folder, name, opened->owner());
  refused -= folder.refused.erase(name);
  return add_file(std::move(*opened), std::move(path));
}

FileKey Discovery::Impl::add_file(OpenFile opened, std::string path) {
  FileKey key = 0;
  if (free_keys.empty()) {
    key = static_cast<FileKey>(files.size());
    files.emplace_back();
  } else {
    key = free_keys.back();
    free_keys.pop_back();
  }
  File& file = files[key];
  file.id = opened.id();
  file.owner = opened.owner();
  file.path = std::move(path);
  file.position = static_cast<std::uint32_t>(active.size());
  if (descriptors.take(file.owner, 1)) {
    if (opened.move_high(ceiling)) {
      file.open = std::move(opened);
      ++held;
    } else {
      descriptors.give(file.owner, 1);
    }
  }
  active.push_back(key);
  by_id.insert_or_assign(file.id, key);
  found.appeared.push_back(key);
  return key;
}

// A file that lost a name may have got another one in this scan: only then is it judged.
void Discovery::Impl::judge_nameless() {
  std::sort(nameless.begin(), nameless.end());
  nameless.erase(std::unique(nameless.begin(), nameless.end()), nameless.end());
  std::vector<FileKey> unseen;
  for (const FileKey key : nameless) {
    File& file = files[key];
    if (!file.places.empty() && file.is_deleted()) forget_names(key);
    if (!file.places.empty()) {
      file.unseen = false;
      file.path = file.places.back().path();
    } else if (file.released) {
      const auto known = by_id.find(file.id);
      if (known != by_id.end() && known->second == key) by_id.erase(known);
      released.give(file.owner, 1);
      file = File{};
      free_keys.push_back(key);
    } else if (file.position != kNoFile) {
      if (!file.unseen && file.successor == kNoFile && file.open.is_open() && !file.is_deleted()) {
        file.unseen = true;
        unseen.push_back(key);
        continue;
      }
      by_id.erase(file.id);
      leave_active(file);
      found.gone.push_back(key);
    }
  }
  nameless.swap(unseen);
  if (!nameless.empty()) {
    for (const auto& [where, folder] : folders) folder->list_next_time = true;
  }
}

// ---- Between scans.

// Calls use(folder's descriptor, name) for one of the file's names; false, with errno, if it has none, or if
// its folder is another one by now.
template <class Use>
bool Discovery::Impl::in_folder(const File& file, Use&& use) noexcept {
  errno = ESTALE;
  if (file.places.empty()) return false;
  try {
    Descriptor opened;
    const Place& place = file.places.back();
    const int fd = descriptor_of(*place.folder, opened);
    if (fd < 0) return false;
    use(fd, place.name->c_str());
    return true;
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return false;
  }
}

// Calls `use` with the file's descriptor, held or opened for the call; false, with errno, if there is
// none because its name leads elsewhere now or it cannot be opened.
template <class Use>
bool Discovery::Impl::with_descriptor(const File& file, Use&& use) noexcept {
  if (file.open.is_open()) {
    use(file.open);
    return true;
  }
  bool used = false;
  int sys_errno = 0;
  const bool looked = in_folder(file, [&](int fd, const char* name) {
    const auto opened = OpenFile::open(fd, name, file.path);
    if (opened && opened->id() == file.id) {
      use(*opened);
      used = true;
    } else {
      sys_errno = opened || opened.error().sys_errno == 0 ? ESTALE : opened.error().sys_errno;
    }
  });
  if (looked && !used) errno = sys_errno;
  return used;
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
  found.folders_beyond_limit = 0;
  self.folder_errors = self.glob_errors;
  self.may_release = &may_release;
  self.next_to_release = 0;
  self.looks.begin_scan();
  self.folder_looks.begin_scan();

  self.find_wild_folders();
  for (auto& [where, folder] : self.folders) self.scan_folder(*folder, now);
  for (const auto& [where, folder] : self.folders) {
    found.skipped += folder->skipped;
    found.unreadable += folder->unreadable;
    found.beyond_limit += folder->beyond_limit;
    for (const auto& error : folder->errors) found.errors.push_back(&error);
  }
  self.refusing = found.beyond_limit != 0;
  for (const auto& error : self.folder_errors) found.errors.push_back(&error);
  self.judge_nameless();
  self.may_release = nullptr;
  return found;
}

std::span<const FileKey> Discovery::files() const { return impl_->active; }
const std::string& Discovery::path(FileKey file) const { return impl_->files[file].path; }
std::size_t Discovery::fixed_part(FileKey file) const {
  const auto& places = impl_->files[file].places;
  return places.empty() ? 0 : places.back().folder->where.fixed;
}
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
  int result = -1;
  if (file.open.is_open()) {
    result = ::fstat(file.open.fd(), &info);
  } else {
    impl_->in_folder(
        file, [&](int fd, const char* name) { result = ::fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW); });
  }
  if (result != 0) return -1;
  if (FileId{info.st_dev, info.st_ino} == file.id) return info.st_size;
  errno = ESTALE;
  return -1;
}

Expected<Snapshot> Discovery::snapshot(FileKey key, std::uint64_t max_file_size) {
  const File& file = impl_->files[key];
  Expected<Snapshot> result;
  if (impl_->with_descriptor(
          file, [&](const OpenFile& open) { result = read_snapshot(open, file.path, max_file_size); })) {
    return result;
  }
  return tl::unexpected(system_failure(file.path, "cannot be opened"));
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
  Expected<void> result =
      tl::unexpected(failure(ErrorKind::kChanged, file.path, "is another file now; it is kept"));
  impl_->in_folder(file, [&](int fd, const char* name) {
    if (file.open.is_open()) {
      result = remove_unwritten(file.open, fd, name, file.path);
      return;
    }
    const auto opened = OpenFile::open(fd, name, file.path);
    if (opened && opened->id() == file.id) result = remove_unwritten(*opened, fd, name, file.path);
  });
  return result;
}

void Discovery::forget(FileKey key) {
  File& file = impl_->files[key];
  if (file.open.is_open()) {
    --impl_->held;
    impl_->descriptors.give(file.owner, 1);
  }
  if (file.released) return file.open.close();
  file = File{};
  impl_->free_keys.push_back(key);
}

}  // namespace mmstats
