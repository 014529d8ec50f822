#include "mmstats/remove.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "lease.h"

namespace mmstats {

Expected<void> remove_unwritten(const OpenFile& file, const std::string& path) {
  const auto refuse = [&](ErrorKind kind, const char* message, int sys_errno) {
    return tl::unexpected(
        Error{.kind = kind, .path = path, .offset = 0, .sys_errno = sys_errno, .message = message});
  };
  Expected<void> result;
  // Writers lock a file that they replace: between the look and the removal no live one takes its name.
  const bool locked = ::flock(file.fd(), LOCK_EX | LOCK_NB) == 0;
  const WriterLease lease(file.fd());
  struct stat info {};
  if (!locked || lease.mapped() != Mapped::kNo) {
    result = refuse(ErrorKind::kBusy, "is kept: some process may still write it", 0);
  } else if (::fstatat(AT_FDCWD, path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    result = refuse(ErrorKind::kNotFound, "cannot be removed", errno);
  } else if (FileId{info.st_dev, info.st_ino} != file.id()) {
    result = refuse(ErrorKind::kChanged, "is another file now; it is kept", 0);
  } else if (::unlink(path.c_str()) != 0) {
    const auto kind = errno == EACCES || errno == EPERM ? ErrorKind::kDenied : ErrorKind::kIo;
    result = refuse(kind, "cannot be removed", errno);
  }
  if (locked) ::flock(file.fd(), LOCK_UN);
  return result;
}

}  // namespace mmstats
