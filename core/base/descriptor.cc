#include "base/descriptor.h"

#include <cerrno>

namespace mmstats {

void Descriptor::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int saved = errno;
  ::close(old);
  errno = saved;
}

bool move_high(int& fd, int ceiling) noexcept {
  if (ceiling <= kFirstHighDescriptor) return false;
  if (fd >= kFirstHighDescriptor) return fd < ceiling;
  Descriptor high(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstHighDescriptor));
  if (!high || high.get() >= ceiling) return false;
  ::close(std::exchange(fd, high.release()));
  return true;
}

}  // namespace mmstats
