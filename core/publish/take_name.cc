#include "publish/take_name.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "base/failure.h"
#include "format/lease.h"
#include "format/owner.h"
#include "format/unfinished.h"
#include "mmstats/parse.h"

namespace mmstats {
namespace {

constexpr int kMaxNumber = 100;  // of names that are tried for one file

// "a/b.mmstats" -> "a/b.1.mmstats"
std::string numbered(const std::string& path, int number) {
  const auto name = path.rfind('/') + 1;  // 0 if there is none
  const auto dot = path.rfind('.');
  const auto at = dot != std::string::npos && dot > name ? dot : path.size();
  return path.substr(0, at) + '.' + std::to_string(number) + path.substr(at);
}

// A rename that replaces nothing: errno is EEXIST if it would. Not every file system can do it in one call.
bool rename_to_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (::link(from.c_str(), to.c_str()) != 0) return false;
  ::unlink(from.c_str());
  return true;
}

// Differs if somebody has written to the file, or cut it.
std::array<std::int64_t, 5> last_change(const struct stat& file) {
  return {file.st_mtim.tv_sec, file.st_mtim.tv_nsec, file.st_ctim.tv_sec, file.st_ctim.tv_nsec, file.st_size};
}

// Whether nobody will write the file again, which nobody has open for writing: that alone says nothing of one
// who publishes by rename, or where the file system does not see mappings.
bool is_abandoned(const OpenFile& file, const std::string& path) {
  const Writers nobody{.any = HasWriter::kNo, .sees_mappings = sees_mappings(file.fd())};
  const auto snapshot = read_snapshot(file, path);
  if (!snapshot) return snapshot.error().kind == ErrorKind::kUnfinished && nobody.sees_mappings;
  ParsedFile content;
  parse(snapshot->bytes, content);
  const Owner owner = owner_of(content);
  // Without a name to ask for: of a program like this one, which had the file mapped.
  if (owner.pid == 0) return nobody.sees_mappings;
  OwnerMemory memory;
  return Owners().of_file(owner, memory, true, std::chrono::steady_clock::now(), [&] { return nobody; }) ==
         OwnerState::kDead;
}

// Puts `temporary` in the place of the file `path` if nobody writes that any more. Of two processes that
// both find it abandoned, one replaces it: the lock is on the file, and counts while the name leads to it.
// What it says is read before the lease is taken, which is held over the rename alone; it is read again if
// somebody wrote it since.
bool replace_abandoned(const std::string& temporary, const std::string& path) {
  const auto file = OpenFile::open(AT_FDCWD, path.c_str(), path);
  if (!file || !may_be_mmstats(*file) || ::flock(file->fd(), LOCK_EX | LOCK_NB) != 0) return false;
  // Most names that are taken are so by somebody who is there: those are not even read.
  if (writers_of(file->fd()).any != HasWriter::kNo) return false;
  struct stat before{};
  struct stat now{};
  if (::fstat(file->fd(), &before) != 0 || !is_abandoned(*file, path)) return false;
  const WriterLease lease(file->fd());
  return lease.has_writer() == HasWriter::kNo && leads_to(path, file->id()) &&
         ::fstat(file->fd(), &now) == 0 && last_change(now) == last_change(before) &&
         ::rename(temporary.c_str(), path.c_str()) == 0;
}

}  // namespace

bool leads_to(const std::string& path, FileId id) {
  struct stat there{};
  return ::lstat(path.c_str(), &there) == 0 && FileId{.device = there.st_dev, .inode = there.st_ino} == id;
}

Expected<std::string> take_name(const std::string& temporary, const std::string& wanted) {
  auto path = wanted;
  for (int number = 1; number <= kMaxNumber; ++number) {
    if (rename_to_new(temporary, path)) {
      // Nobody had the name.
    } else if (errno != EEXIST) {
      return tl::unexpected(system_failure(wanted, "cannot be named"));
    } else if (!replace_abandoned(temporary, path)) {
      path = numbered(wanted, number);
      continue;
    }
    return path;
  }
  return tl::unexpected(system_failure(
      wanted, "is in use, and so are the names with a number; remove those of processes that are gone",
      EEXIST));
}

}  // namespace mmstats
