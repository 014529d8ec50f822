#include "tools/shared/find_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "collect/discover.h"

namespace mmstats {

FoundFiles find_files(const std::vector<std::string>& globs) {
  Discovery discovery(globs, {.max_files = std::numeric_limits<std::size_t>::max(), .max_held = 0});
  FoundFiles found;
  for (const auto* error : discovery.scan(std::chrono::system_clock::now()).errors)
    found.errors.push_back(*error);
  for (const auto key : discovery.files()) found.paths.push_back(discovery.path(key));
  std::ranges::sort(found.paths);
  return found;
}

std::string nothing_found(const std::vector<std::string>& globs) {
  return fmt::format("no mmstats files match {}", printable(fmt::format("{}", fmt::join(globs, ", "))));
}

}  // namespace mmstats
