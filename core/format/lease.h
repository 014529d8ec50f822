// Whether anybody writes a file: asked of the kernel, not guessed from /proc.
//
// A read lease (fcntl(2), F_SETLEASE) is granted only if no process has the file open for writing;
// a writable mapping counts as open for as long as it lives, in every pid namespace. While the lease
// is held, opening for writing waits, or fails with EAGAIN if it is not to wait. So there is no moment
// between the question and what is done with the answer. (Searching /proc/*/maps costs milliseconds, sees
// neither other pid namespaces nor processes that may not be asked, and is outdated when it is done.)
//
// Who waits does so until the lease is given back, or for /proc/sys/fs/lease-break-time (45 s) if its holder
// is stopped (SIGSTOP, a debugger, a frozen container) in that very moment. So a lease is given back before
// anything else happens, and held over nothing that may wait, but for the one call that it protects.
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

namespace mmstats {

// Whether some process has a file open for writing, or mapped so.
enum class HasWriter : std::uint8_t { kYes, kNo, kUnknown };

class WriterLease {
 public:
  // `fd` is open for reading only, and stays open while this lives.
  explicit WriterLease(int fd) : fd_(fd) {
    // Who wants to write meanwhile makes the kernel send a signal; SIGIO, the default, would end us.
    if (::fcntl(fd_, F_SETSIG, SIGURG) == 0 && ::fcntl(fd_, F_SETLEASE, F_RDLCK) == 0) {
      has_writer_ = HasWriter::kNo;
      held_ = true;
      return;
    }
    sys_errno_ = errno;
    if (sys_errno_ == EAGAIN) has_writer_ = HasWriter::kYes;
  }
  ~WriterLease() { give_back(); }
  WriterLease(const WriterLease&) = delete;
  WriterLease& operator=(const WriterLease&) = delete;

  // kUnknown: the file is another user's and we are not root, or its file system knows no leases.
  [[nodiscard]] HasWriter has_writer() const { return has_writer_; }
  // Why it is unknown.
  [[nodiscard]] int sys_errno() const { return sys_errno_; }
  // From now on the answer may be outdated. May be called again. errno stays.
  void give_back() {
    if (!std::exchange(held_, false)) return;
    const int kept = errno;
    ::fcntl(fd_, F_SETLEASE, F_UNLCK);
    errno = kept;
  }

 private:
  int fd_;
  HasWriter has_writer_ = HasWriter::kUnknown;
  int sys_errno_ = 0;
  bool held_ = false;
};

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

// Whether kNo speaks for mappings whose descriptor was closed, too. So it was shown to be on tmpfs, ext4, xfs
// and btrfs; overlayfs does not see them.
inline bool sees_mappings(int fd) {
  struct statfs system{};
  if (::fstatfs(fd, &system) != 0) return false;
  switch (static_cast<unsigned long>(system.f_type)) {
    case TMPFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
      return true;
    default:
      return false;
  }
}

// What the kernel says of the writers of a file.
struct Writers {
  HasWriter any = HasWriter::kUnknown;
  bool sees_mappings = false;  // asked only where it matters: for kNo
};

// `fd`: as of WriterLease. Costs three or four system calls. The lease is given back before the next
// question.
inline Writers writers_of(int fd) {
  const HasWriter any = WriterLease(fd).has_writer();
  return {.any = any, .sees_mappings = any == HasWriter::kNo && sees_mappings(fd)};
}

}  // namespace mmstats
