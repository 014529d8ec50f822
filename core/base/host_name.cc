#include "base/host_name.h"

#include <unistd.h>

#include <array>

namespace mmstats {

std::string host_name() {
  // Longer than any name that Linux has (64). POSIX leaves open whether a cut one ends with a NUL.
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace mmstats
