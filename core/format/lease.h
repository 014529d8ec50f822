// Whether anybody writes a file: asked of the kernel, not guessed from /proc.
//
// A read lease (fcntl(2), F_SETLEASE) is granted only if no process has the file open for writing;
// a writable mapping counts as open for as long as it lives, in every pid namespace. While the lease
// is held, opening for writing waits. So there is no moment between the question and what is done
// with the answer. (Searching /proc/*/maps costs milliseconds, sees neither other pid namespaces
// nor processes that may not be asked, and is outdated when it is done.)
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <csignal>

#include "mmstats/snapshot.h"

namespace mmstats {

class WriterLease {
 public:
  // `fd` is open for reading only, and stays open while this lives.
  explicit WriterLease(int fd) : fd_(fd) {
    // Who wants to write meanwhile makes the kernel send a signal; SIGIO, the default, would end us.
    if (::fcntl(fd_, F_SETSIG, SIGURG) == 0 && ::fcntl(fd_, F_SETLEASE, F_RDLCK) == 0) {
      mapped_ = Mapped::kNo;
      return;
    }
    sys_errno_ = errno;
    if (sys_errno_ == EAGAIN) mapped_ = Mapped::kYes;
  }
  ~WriterLease() {
    if (mapped_ == Mapped::kNo) ::fcntl(fd_, F_SETLEASE, F_UNLCK);
  }
  WriterLease(const WriterLease&) = delete;
  WriterLease& operator=(const WriterLease&) = delete;

  // kUnknown: the file is another user's and we are not root, or its file system knows no leases.
  [[nodiscard]] Mapped mapped() const { return mapped_; }
  // Why it is unknown.
  [[nodiscard]] int sys_errno() const { return sys_errno_; }

 private:
  int fd_;
  Mapped mapped_ = Mapped::kUnknown;
  int sys_errno_ = 0;
};

}  // namespace mmstats
