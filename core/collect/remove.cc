#include "collect/remove.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/failure.h"
#include "format/lease.h"

namespace mmstats {
namespace {

enum class Wanted : std::uint8_t { kAnswer, kRemoval };

// What came of it while nobody could begin to write the file: nothing else is done in that time.
struct Outcome {
  HasWriter has_writer;
  int sys_errno;  // 0: none
  bool changed;   // the name leads to another file now
};

// `name` in `folder`: where a path leads may be changed meanwhile, where these lead may not.
Outcome act_unwritten(const OpenFile& file, int folder, const char* name, Wanted wanted) {
  WriterLease lease(file.fd());
  if (lease.has_writer() != HasWriter::kNo) return {lease.has_writer(), lease.sys_errno(), false};
  if (wanted == Wanted::kAnswer) lease.give_back();
  struct stat info{};
  if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return {HasWriter::kNo, errno, false};
  if (FileId{info.st_dev, info.st_ino} != file.id()) return {HasWriter::kNo, 0, true};
  const bool failed = wanted == Wanted::kRemoval ? ::unlinkat(folder, name, 0) != 0
                                                 : ::faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) != 0;
  return {HasWriter::kNo, failed ? errno : 0, false};
}

Expected<void> if_unwritten(const OpenFile& file, int folder, const char* name, const std::string& path,
                            Wanted wanted) {
  const auto refuse = [&](ErrorKind kind, const char* message, int sys_errno = 0) {
    Error error = failure(kind, path, message);
    error.sys_errno = sys_errno;
    return tl::unexpected(std::move(error));
  };
  const auto failed = [&](int sys_errno) {
    return tl::unexpected(system_failure(path, "cannot be removed", sys_errno));
  };
  constexpr const char* kWritten = "is kept: some process may still write it";
  // Writers lock a file that they replace: between the question and the removal no live one takes its name.
  struct Lock {
    int fd;
    bool held = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    ~Lock() {
      if (held) ::flock(fd, LOCK_UN);
    }
  } const lock{file.fd()};
  if (!lock.held) return refuse(ErrorKind::kBusy, kWritten);
  const Outcome outcome = act_unwritten(file, folder, name, wanted);
  if (outcome.has_writer == HasWriter::kYes) return refuse(ErrorKind::kBusy, kWritten);
  if (outcome.has_writer == HasWriter::kUnknown) {
    const bool strange = outcome.sys_errno == EACCES || outcome.sys_errno == EPERM;
    return refuse(ErrorKind::kBusy,
                  strange ? "only root or its owner may ask whether some process still writes it"
                          : "its file system cannot tell whether some process still writes it",
                  outcome.sys_errno);
  }
  if (outcome.changed) return refuse(ErrorKind::kChanged, "is another file now; it is kept");
  if (outcome.sys_errno != 0) return failed(outcome.sys_errno);
  return {};
}

}  // namespace

Expected<void> remove_unwritten(const OpenFile& file, int folder, const char* name, const std::string& path) {
  return if_unwritten(file, folder, name, path, Wanted::kRemoval);
}

Expected<void> check_unwritten(const OpenFile& file, int folder, const char* name, const std::string& path) {
  return if_unwritten(file, folder, name, path, Wanted::kAnswer);
}

}  // namespace mmstats
