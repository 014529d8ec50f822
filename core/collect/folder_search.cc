#include "collect/folder_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
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
  owner = ids_.payer(owner);
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
  const uid_t owner = ids_.payer(info.st_uid);
  bool led = false;
  const std::size_t size = at_.path.size();
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    const bool may_be_folder = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
    if (may_be_folder && name != "." && name != ".." &&
        ::fnmatch(pattern.c_str(), entry->d_name, FNM_PERIOD) == 0) {
      append(name);
      led = look_at(folder, entry->d_name, entry->d_ino, part, owner) || led;
      at_.path.resize(size);
    }
    errno = 0;
  }
  if (errno != 0) unknown("cannot list the folder", errno, info.st_uid);
  if (led) asked_.listed(at_, owner);
  return led;
}

// A name that the folder lists, which at_ has already.
bool FolderSearch::look_at(int folder, const char* name, ino_t inode, std::size_t part, uid_t folder_owner) {
  if (asked_.is_known(at_)) return asked_.waits(at_) || enter(folder, name, part, false);
  const std::uint64_t hash = keyed_hash(keyed_hash(at_.path), inode);
  const VainNames::Answer answer = vain_.ask(hash, folder_owner);
  if (answer != VainNames::Answer::kLook) {
    if (answer == VainNames::Answer::kLeftOut) ++left_out_;
    return false;
  }
  if (enter(folder, name, part, false)) return true;
  const auto refused = std::exchange(refused_, {});
  const uid_t owner = ids_.payer(refused ? refused->owner : owner_of(folder, name));
  vain_.was_in_vain(hash, folder_owner, owner, refused && refused->no_room);
  return false;
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
      const Answer answer = asked_.found(at_, info);
      led = answer == Answer::kWanted;
      if (!led) refused_ = {info.st_uid, answer == Answer::kNoRoom};
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
