#include "collect/remove.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/descriptor.h"
#include "base/failure.h"
#include "format/lease.h"

namespace mmstats {
namespace {

// Calls act(folder, name), which returns 0 or an errno, while nobody can begin to write the file.
template <class Act>
Expected<void> if_unwritten(const OpenFile& file, const std::string& path, Act act) {
  const auto refuse = [&](ErrorKind kind, const char* message) {
    return tl::unexpected(failure(kind, path, message));
  };
  const auto failed = [&](int sys_errno) {
    return tl::unexpected(system_failure(path, "cannot be removed", sys_errno));
  };
  // Writers lock a file that they replace: between the question and the removal no live one takes its name.
  struct Lock {
    int fd;
    bool held = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    ~Lock() {
      if (held) ::flock(fd, LOCK_UN);
    }
  } const lock{file.fd()};
  const WriterLease lease(file.fd());
  if (!lock.held || lease.has_writer() == HasWriter::kYes) {
    return refuse(ErrorKind::kBusy, "is kept: some process may still write it");
  }
  if (lease.has_writer() == HasWriter::kUnknown) {
    const bool strange = lease.sys_errno() == EACCES || lease.sys_errno() == EPERM;
    Error error = failure(ErrorKind::kBusy, path,
                          strange ? "only root or its owner may ask whether some process still writes it"
                                  : "its file system cannot tell whether some process still writes it");
    error.sys_errno = lease.sys_errno();
    return tl::unexpected(std::move(error));
  }
  const auto slash = path.rfind('/');
  // Held: where the path leads may be changed meanwhile, where this leads may not.
  const Descriptor folder(::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(),
                                 O_PATH | O_DIRECTORY | O_CLOEXEC));
  const char* const name = path.c_str() + (slash == std::string::npos ? 0 : slash + 1);
  if (!folder) return failed(errno);
  struct stat info{};
  if (::fstatat(folder.get(), name, &info, AT_SYMLINK_NOFOLLOW) != 0) return failed(errno);
  if (FileId{info.st_dev, info.st_ino} != file.id()) {
    return refuse(ErrorKind::kChanged, "is another file now; it is kept");
  }
  if (const int error = act(folder.get(), name); error != 0) return failed(error);
  return {};
}

}  // namespace

Expected<void> remove_unwritten(const OpenFile& file, const std::string& path) {
  return if_unwritten(
      file, path, [](int folder, const char* name) { return ::unlinkat(folder, name, 0) == 0 ? 0 : errno; });
}

Expected<void> check_unwritten(const OpenFile& file, const std::string& path) {
  return if_unwritten(file, path, [](int, const char*) { return 0; });
}

}  // namespace mmstats
