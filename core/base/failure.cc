#include "base/failure.h"

namespace mmstats {

ErrorKind kind_of_errno(int sys_errno) noexcept {
  switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case ESTALE:
    case ENODEV:
    case ENXIO:
      return ErrorKind::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::kDenied;
    case ELOOP:
    case EISDIR:
      return ErrorKind::kNotRegular;
    case EAGAIN:
    case EBUSY:
    case EEXIST:
    case EADDRINUSE:
    case ETXTBSY:
      return ErrorKind::kBusy;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorKind::kLimit;
    default:
      return ErrorKind::kIo;
  }
}

Error system_failure(std::string path, std::string message, int sys_errno) {
  if (sys_errno == EMFILE) message += "; raise the limit of open files of this process";
  if (sys_errno == ENFILE) message += "; raise the limit of open files of this system";
  return {.kind = kind_of_errno(sys_errno),
          .path = std::move(path),
          .offset = 0,
          .sys_errno = sys_errno,
          .message = std::move(message)};
}

}  // namespace mmstats
