#include "collect/folder_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "base/keyed_hash.h"
#include "collect/folder_path.h"

namespace mmstats {
namespace {

// Errors of all folders, and of the names in them.
constexpr std::size_t kMaxErrors = 2000;
// Names that cannot be used, of which in one scan it is looked whose they are.
constexpr std::size_t kErrorLooks = 200;
// Names that are listed in a scan in the folders of one owner, for each file that may be read.
constexpr std::size_t kNamesPerFile = 2;
// Names of a folder that are listed in a scan, whatever was listed before.
constexpr std::size_t kNamesOfEach = 64;
// Times as many are listed at the first scan, to which all are new.
constexpr std::size_t kFirst = 16;
// Which error of a folder it is.
constexpr unsigned kOfListing = 0;
constexpr unsigned kOfNames = 1;
constexpr unsigned kOfRoom = 2;
constexpr unsigned kOfParts = 3;
// Names that are known not to fit, for each file that does: so many are remembered.
constexpr std::size_t kRefusedPerFile = 4;
// What is remembered is made sure of now and then, as a number may be another file's by now.
constexpr std::uint64_t kListingsToDoubt = 64;

// Or the most that there is.
std::size_t times(std::size_t a, std::size_t b) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  return a > kMost / b ? kMost : a * b;
}

// What a name is that is no regular file.
const char* kind_of_name(unsigned char type) {
  switch (type) {
    case DT_DIR:
      return "is not a regular file but a folder; it is left alone";
    case DT_LNK:
      return "is not a regular file but a symbolic link, which is not followed; it is left alone";
    case DT_FIFO:
      return "is not a regular file but a FIFO; it is left alone";
    case DT_SOCK:
      return "is not a regular file but a socket; it is left alone";
    default:
      return "is not a regular file but a device; it is left alone";
  }
}

// What it is called in FolderErrors.
std::uint64_t error_name(const dirent& entry) {
  return keyed_hash(keyed_hash(std::string_view(entry.d_name)), entry.d_type);
}

// What it is called among those that are refused.
std::uint64_t refused_name(const dirent& entry) {
  return keyed_hash(keyed_hash(std::string_view(entry.d_name)), entry.d_ino);
}

}  // namespace

FolderNames::FolderNames(const DiscoveryLimits& limits, DiscoveredFiles& files)
    : max_files_(limits.max_files),
      files_(files),
      looks_(Looks::per_scan(limits.max_files)),
      errors_looks_(kErrorLooks),
      errors_(kMaxErrors),
      each_scan_(std::max(limits.max_names, times(limits.max_files, kNamesPerFile))) {}

void FolderNames::begin_scan() {
  ++scan_;
  max_names_ = scan_ == 1 ? times(each_scan_, kFirst) : each_scan_;
  for (auto entry = listed_.begin(); entry != listed_.end();)
    entry = std::exchange(entry->second, 0) == 0 ? listed_.erase(entry) : std::next(entry);
  looks_.begin_scan();
  errors_looks_.begin_scan();
}

bool FolderNames::list(WatchedFolder& folder, int fd, const timespec& stamp,
                       std::chrono::system_clock::time_point now) {
  // Opened for each listing: the buffer that goes with it is large.
  Descriptor listed(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  // Where the file system's places do not last, names may be missed: end_listing() looks after them.
  if (listed && folder.resume != 0 && ::lseek(listed.get(), folder.resume, SEEK_SET) < 0) folder.resume = 0;
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(listed ? ::fdopendir(listed.get()) : nullptr, close);
  if (directory == nullptr) return false;
  static_cast<void>(listed.release());
  if (folder.resume == 0) folder.begin_listing(++listing_, stamp, now);
  switch (list_names(folder, directory.get())) {
    case Listed::kPart:
      folder.errors.add_of_folder(
          errors_, folder.owner, kOfParts,
          failure(ErrorKind::kLimit, folder.where.path,
                  "has very many names, a part of which is listed at each scan: what is new is found later; "
                  "remove those that are not used"));
      return true;
    case Listed::kWhole:
      end_listing(folder, fd);
      break;
    case Listed::kFailed:
      // What was not listed may still be there: keep it.
      folder.errors.add_of_folder(errors_, folder.owner, kOfListing,
                                  system_failure(folder.where.path, "cannot list the folder to its end"));
      folder.list_next_time = true;
  }
  folder.resume = 0;
  folder.counted = folder.counting;
  if (folder.counted.untold != 0) {
    folder.errors.add_of_folder(
        errors_, folder.owner, kOfNames,
        failure(ErrorKind::kNotRegular, folder.where.path,
                fmt::format("has {} more names that cannot be used; they are not told one by one",
                            folder.counted.untold)));
  }
  if (folder.counted.beyond_limit != 0) {
    folder.errors.add_of_folder(errors_, folder.owner, kOfRoom,
                                failure(ErrorKind::kLimit, folder.where.path,
                                        fmt::format("has files beyond the limit of {} for all folders; {}",
                                                    max_files_, kMaxFilesAdvice)));
  }
  folder.errors.end(errors_);
  return true;
}

// What was not listed is lost.
void FolderNames::end_listing(WatchedFolder& folder, int fd) {
  for (auto entry = folder.names.begin(); entry != folder.names.end();) {
    // A listing may miss a name that is renamed while it goes on; taking its file for gone would count it
    // twice when it is seen again.
    if (entry->second.seen == folder.listing || files_.is_at(fd, entry->first.c_str(), entry->second.file)) {
      ++entry;
      continue;
    }
    files_.lose_name(entry->first, entry->second);
    entry = folder.names.erase(entry);
  }
  refused_ -=
      std::erase_if(folder.refused, [&](const auto& entry) { return entry.second.seen != folder.listing; });
}

void FolderNames::lose_all(WatchedFolder& folder) {
  for (auto& [text, name] : folder.names) files_.lose_name(text, name);
  folder.names.clear();
  refused_ -= folder.refused.size();
  folder.refused.clear();
  lose_errors(folder);
  folder.counted = folder.counting = {};
  folder.resume = 0;
}

// kPart: resume says where it goes on. kFailed: with errno.
FolderNames::Listed FolderNames::list_names(WatchedFolder& folder, DIR* directory) {
  const int fd = ::dirfd(directory);
  std::size_t& listed = listed_[folder.owner];
  const std::size_t left_to_owner = max_names_ - std::min(listed, max_names_);
  for (std::size_t left = std::max(left_to_owner / 2, kNamesOfEach); left > 0; --left) {
    errno = 0;
    const dirent* const entry = ::readdir(directory);
    if (entry == nullptr) return errno == 0 ? Listed::kWhole : Listed::kFailed;
    ++listed;
    folder.resume = entry->d_off;
    if (folder.matches(entry->d_name)) see_name(folder, fd, *entry);
  }
  return Listed::kPart;
}

void FolderNames::see_name(WatchedFolder& folder, int fd, const dirent& entry) {
  // What had the name before, if anything, loses it.
  if (entry.d_type != DT_REG && entry.d_type != DT_UNKNOWN) return skip(folder, fd, entry);
  if (is_refused(folder, entry)) {
    leave_out(folder);
    return;
  }
  auto known = folder.names.find(std::string_view(entry.d_name));
  FileKey predecessor = kNoFile;
  if (known != folder.names.end() && known->second.file != kNoFile) {
    const DiscoveredFile& file = files_[known->second.file];
    // On some file systems (overlays) the listing's inode number is not the file's own.
    if ((file.id.inode == entry.d_ino && !file.released) ||
        files_.is_at(fd, entry.d_name, known->second.file)) {
      known->second.seen = folder.listing;
      return;
    }
    predecessor = known->second.file;
    files_.lose_name(known->first, known->second);
  }
  const FileKey file = open_new(folder, fd, entry);
  if (file == kNoFile) return;
  if (predecessor != kNoFile) files_.replace(predecessor, file);
  if (known == folder.names.end()) known = folder.names.try_emplace(entry.d_name).first;
  known->second = {file, folder.listing};
  files_.add_name(folder, known->first, file);
}

// Whether there is still no room for the file, so far as is known. Where one has very many, that is so for
// most names: nothing else is looked up for them.
bool FolderNames::is_refused(WatchedFolder& folder, const dirent& entry) {
  if (folder.refused.empty()) return false;
  const auto remembered = folder.refused.find(refused_name(entry));
  if (remembered == folder.refused.end()) return false;
  remembered->second.seen = folder.listing;
  return !files_.make_room(remembered->second.owner) && !looks_.once_in(kListingsToDoubt);
}

// A name that matches and is no regular file. Allocates nothing if the last listing said the same.
void FolderNames::skip(WatchedFolder& folder, int fd, const dirent& entry) {
  ++folder.counting.skipped;
  if (folder.errors.see(error_name(entry))) return;
  if (!errors_looks_.may_look(folder.owner)) {
    ++folder.counting.untold;
    return;
  }
  struct stat info{};
  const uid_t owner =
      ::fstatat(fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 ? files_.payer(info.st_uid) : folder.owner;
  if (!folder.errors.may_add(errors_, owner)) {
    errors_looks_.in_vain(folder.owner);
    ++folder.counting.untold;
    return;
  }
  folder.errors.add(errors_, owner, error_name(entry),
                    failure(ErrorKind::kNotRegular, join_path(folder.where.path, entry.d_name),
                            kind_of_name(entry.d_type)));
}

// A name that looks like a file and cannot be used.
void FolderNames::complain(WatchedFolder& folder, int fd, const dirent& entry, Error error) {
  struct stat info{};
  const uid_t owner =
      ::fstatat(fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 ? files_.payer(info.st_uid) : folder.owner;
  if (!folder.errors.add(errors_, owner, error_name(entry), std::move(error))) ++folder.counting.untold;
}

FileKey FolderNames::open_new(WatchedFolder& folder, int fd, const dirent& entry) {
  const auto is_full = [&](FileKey file) {
    return file != kNoFile && files_[file].places.size() >= DiscoveredFiles::kMaxNames;
  };
  // Its names are many; those that are known are enough.
  if (is_full(files_.find({folder.id.device, entry.d_ino}))) return kNoFile;

  const std::uint64_t name = refused_name(entry);
  if (!looks_.may_look(folder.owner)) return leave_out(folder);
  struct stat info{};
  // What does not fit is not opened.
  if (refusing_ && ::fstatat(fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode)) {
    const bool is_known = files_.find({info.st_dev, info.st_ino}) != kNoFile;
    const uid_t owner = files_.payer(info.st_uid);
    if (!is_known && !files_.make_room(owner)) return refuse(folder, name, owner);
  }
  auto path = join_path(folder.where.path, entry.d_name);
  auto opened = OpenFile::open(fd, entry.d_name, path);
  if (!opened) {
    looks_.in_vain(folder.owner);
    if (opened.error().kind == ErrorKind::kNotFound) return kNoFile;  // gone since it was listed
    if (opened.error().kind == ErrorKind::kNotRegular) {
      ++folder.counting.skipped;
    } else {
      // Permissions and limits may change without a trace on the folder.
      ++folder.counting.unreadable;
      folder.list_next_time = true;
    }
    complain(folder, fd, entry, std::move(opened.error()));
    return kNoFile;
  }
  if (const FileKey same = files_.find(opened->id()); same != kNoFile) {
    if (!is_full(same)) return same;
    looks_.in_vain(folder.owner);
    return kNoFile;
  }
  const uid_t owner = files_.payer(opened->owner());
  const FileKey added = files_.add(std::move(*opened), std::move(path));
  if (added == kNoFile) return refuse(folder, name, owner);
  refused_ -= folder.refused.erase(name);
  return added;
}

// There is no room for the file, as was found out by a look at it.
FileKey FolderNames::refuse(WatchedFolder& folder, std::uint64_t name, uid_t owner) {
  looks_.in_vain(folder.owner);
  const auto remembered = folder.refused.find(name);
  if (remembered != folder.refused.end()) {
    remembered->second.owner = owner;
  } else if (refused_ / kRefusedPerFile < max_files_) {
    ++refused_;
    folder.refused.insert({name, {owner, folder.listing}});
  }
  return leave_out(folder);
}

FileKey FolderNames::leave_out(WatchedFolder& folder) {
  refusing_ = true;
  ++folder.counting.beyond_limit;
  folder.list_next_time = true;
  return kNoFile;
}

}  // namespace mmstats
