// Errors, made in one line; what an errno means is decided here alone.
#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include "mmstats/error.h"

namespace mmstats {

// The kind of a failed call:
//   kNotFound  ENOENT, ENOTDIR, ESTALE, ENODEV, ENXIO      kBusy   EAGAIN, EBUSY, EEXIST, EADDRINUSE, ETXTBSY
//   kDenied    EACCES, EPERM, EROFS                        kLimit  EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT,
//   EFBIG kNotRegular  ELOOP, EISDIR                             kIo     all others
ErrorKind kind_of_errno(int sys_errno) noexcept;

// No call failed.
inline Error failure(ErrorKind kind, std::string path, std::string message) {
  return {.kind = kind, .path = std::move(path), .offset = 0, .sys_errno = 0, .message = std::move(message)};
}

// A call failed, with errno unless another number is given. Where a process or the system has no descriptor
// left, the message says so.
Error system_failure(std::string path, std::string message, int sys_errno = errno);

}  // namespace mmstats
