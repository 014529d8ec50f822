#include "collect/watched_folder.h"

#include <dirent.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/failure.h"

namespace mmstats {
namespace {

using std::chrono::system_clock;

// A folder's time stamp may be as coarse as this, and two changes within it look like one.
constexpr std::chrono::seconds kStampDoubt{2};
// Whatever its stamp, a folder is listed this often: not every file system keeps its stamps.
constexpr std::chrono::seconds kListAgain{60};

system_clock::time_point to_time_point(const timespec& stamp) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::seconds(stamp.tv_sec) + std::chrono::nanoseconds(stamp.tv_nsec)));
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

bool is_path_of(std::string_view path, std::string_view folder, std::string_view name) {
  if (!path.starts_with(folder) || !path.ends_with(name)) return false;
  const std::size_t between = path.size() - std::min(path.size(), folder.size() + name.size());
  return between == (folder.empty() || folder.ends_with('/') ? 0U : 1U);
}

}  // namespace

bool WatchedFolder::matches(const char* name) const {
  return literals.find(std::string_view(name)) != literals.end() ||
         std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), name, FNM_PERIOD | FNM_PATHNAME) == 0;
         });
}

int WatchedFolder::open(Descriptor& opened) const {
  if (descriptor) return descriptor.get();
  struct stat info{};
  opened = open_folder(where);
  if (!opened || ::fstat(opened.get(), &info) != 0) return -1;
  if (id == FileId{info.st_dev, info.st_ino}) return opened.get();
  errno = ESTALE;
  return -1;
}

bool WatchedFolder::add_pattern(const std::string& pattern) {
  if (pattern.find_first_of("*?[\\") == std::string::npos) return literals.insert(pattern).second;
  if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) return false;
  patterns.push_back(pattern);
  return true;
}

bool WatchedFolder::must_list(const timespec& now_stamp, system_clock::time_point now) const {
  const bool same = now_stamp.tv_sec == stamp.tv_sec && now_stamp.tv_nsec == stamp.tv_nsec;
  const bool fresh = now >= listed_at && now - listed_at < kListAgain;
  return !same || !fresh || list_next_time;
}

void WatchedFolder::begin_listing(const timespec& now_stamp, system_clock::time_point now,
                                  std::size_t max_errors) {
  skipped = unreadable = beyond_limit = 0;
  max_errors_ = max_errors;
  errors_now_ = untold_ = 0;
  // A change right after this listing may leave the same stamp, so a recent stamp proves nothing.
  list_next_time = to_time_point(now_stamp) + kStampDoubt > now;
  stamp = now_stamp;
  listed_at = now;
}

void WatchedFolder::complain(Error error) {
  if (errors_now_ >= max_errors_) {
    ++untold_;
    return;
  }
  if (errors_now_ == errors.size()) errors.emplace_back();
  errors[errors_now_++] = std::move(error);
}

void WatchedFolder::skip(const char* name, unsigned char type) {
  ++skipped;
  if (errors_now_ >= max_errors_) {
    ++untold_;
    return;
  }
  const char* const what = kind_of_name(type);
  if (errors_now_ < errors.size()) {
    const Error& last = errors[errors_now_];
    if (last.kind == ErrorKind::kNotRegular && last.sys_errno == 0 && last.message == what &&
        is_path_of(last.path, where.path, name)) {
      ++errors_now_;
      return;
    }
  }
  complain(failure(ErrorKind::kNotRegular, join_path(where.path, name), what));
}

void WatchedFolder::end_listing() {
  errors.resize(errors_now_);
  if (untold_ == 0 || max_errors_ == 0) return;
  errors.push_back(
      failure(ErrorKind::kLimit, where.path,
              fmt::format("has {} more names that cannot be used; they are not told one by one", untold_)));
}

}  // namespace mmstats
