#include "collect/discovery_room.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>

#include "base/descriptor.h"

namespace mmstats {
namespace {

// Descriptors of the soft limit that are left to the host.
constexpr rlim_t kLeftToHost = 256;

// Raises the soft limit of descriptors by `wanted`, as far as the hard one allows, and returns
// the number below which descriptors of ours must stay.
int raise_descriptor_limit(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t target = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, 1024) + wanted);
  if (limit.rlim_cur < target) {
    const rlimit raised{target, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit.rlim_cur = target;
  }
  const rlim_t usable = limit.rlim_cur > kLeftToHost ? limit.rlim_cur - kLeftToHost : 0;
  return static_cast<int>(std::min<rlim_t>(usable, 1U << 30U));
}

}  // namespace

DiscoveryRoom::DiscoveryRoom(const DiscoveryLimits& limits)
    : ids(limits.subuids),
      ceiling(raise_descriptor_limit(std::min(limits.max_files, limits.max_held))),
      places(limits.max_files),
      descriptors(std::min<std::size_t>(
          limits.max_held, static_cast<std::size_t>(std::max(ceiling - kFirstHighDescriptor, 0)))) {}

}  // namespace mmstats
