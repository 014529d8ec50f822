#include "collect/folder_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "base/failure.h"

namespace mmstats {

namespace {

// Whose `name` in `folder` is, as far as the system says, or else `folder`.
uid_t owner_of(int folder, const char* name) {
  struct stat info{};
  if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 || ::fstat(folder, &info) == 0)
    return info.st_uid;
  return ::geteuid();
}

}  // namespace

void FolderSearch::append(std::string_view name) {
  if (!at_.path.empty() && !at_.path.ends_with('/')) at_.path += '/';
  at_.path += name;
}

void FolderSearch::unknown(const char* what, int sys_errno, uid_t owner) {
  if (sys_errno == ENOENT || sys_errno == ENOTDIR) return;
  const std::string& path = at_.path.empty() ? "." : at_.path;
  ++failed_;
  if (at_.path == glob_->fixed || asked_.is_known(at_)) unknown_.insert(at_.path);
  tell(system_failure(path, what, sys_errno), owner);
}

// A link in the place of a folder that the glob names.
void FolderSearch::tell_link(uid_t owner) {
  tell(
      failure(ErrorKind::kNotRegular, at_.path,
              "is a symbolic link after a wildcard, which is not followed; name the folder that it leads to"),
      owner);
}

void FolderSearch::tell(Error error, uid_t owner) {
  if (errors_room_.take(owner, 1)) errors_.push_back({std::move(error), owner});
}

void FolderSearch::look(const FolderGlob& glob) {
  glob_ = &glob;
  at_ = {glob.fixed, glob.fixed.size()};
  const Descriptor fixed = open_folder(at_);
  if (!fixed) return unknown("cannot look into the folder", errno, ::geteuid());
  below(fixed.get(), 0);
}

// Looks for what the glob's parts from `part` on lead to. True: to something.
bool FolderSearch::below(int folder, std::size_t part) {
  const std::string& pattern = glob_->parts[part];
  if (!has_wildcard(pattern)) return enter(folder, pattern.c_str(), part, true);

  struct stat info{};
  Descriptor listed(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(
      listed && ::fstat(listed.get(), &info) == 0 ? ::fdopendir(listed.get()) : nullptr, close);
  if (directory == nullptr) {
    const int sys_errno = errno;
    unknown("cannot list the folder", sys_errno, owner_of(folder, "."));
    return false;
  }
  static_cast<void>(listed.release());
  bool led = false;
  const std::size_t size = at_.path.size();
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    const bool may_be_folder = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
    if (may_be_folder && name != "." && name != ".." &&
        ::fnmatch(pattern.c_str(), entry->d_name, FNM_PERIOD) == 0) {
      append(name);
      const bool known = asked_.is_known(at_);
      if (!known && !looks_.may_look(info.st_uid)) {
        ++left_out_;
      } else if (enter(folder, entry->d_name, part, false)) {
        led = true;
      } else if (!known) {
        looks_.in_vain(info.st_uid);
      }
      at_.path.resize(size);
    }
    errno = 0;
  }
  if (errno != 0) unknown("cannot list the folder", errno, info.st_uid);
  return led;
}

// `named`: the glob says the name; at_ has it already, if not.
bool FolderSearch::enter(int folder, const char* name, std::size_t part, bool named) {
  const std::size_t size = at_.path.size();
  if (named) append(name);
  bool led = false;
  struct stat info{};
  const bool is_last = part + 1 == glob_->parts.size();
  const Descriptor next = is_last ? Descriptor() : open_folder_at(folder, name);
  int sys_errno = is_last || next ? 0 : errno;
  if (next) {
    led = below(next.get(), part + 1);
  } else if (sys_errno == 0 || (sys_errno == ENOTDIR && named)) {
    if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      sys_errno = errno;
    } else if (S_ISLNK(info.st_mode) && named) {
      tell_link(info.st_uid);
    } else if (S_ISDIR(info.st_mode) && is_last) {
      led = asked_.found(at_, info);
    }
  }
  if (sys_errno != 0) unknown("cannot look at the folder", sys_errno, owner_of(folder, name));
  at_.path.resize(size);
  return led;
}

bool FolderSearch::may_hold(const FolderPath& folder) const {
  if (unknown_.empty()) return false;
  std::string path = folder.path;
  while (!unknown_.contains(path)) {
    if (path.empty() || path == "/") return false;
    const auto slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash == 0 ? 1 : slash);
  }
  return true;
}

}  // namespace mmstats
