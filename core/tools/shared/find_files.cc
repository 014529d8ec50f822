#include "tools/shared/find_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "base/failure.h"
#include "collect/discover.h"
#include "collect/folder_path.h"

namespace mmstats {

FoundFiles find_files(const std::vector<std::string>& globs) {
  Discovery discovery(globs, {.max_files = std::numeric_limits<std::size_t>::max(), .max_held = 0});
  FoundFiles found;
  for (const auto& error : discovery.scan(std::chrono::system_clock::now()).errors)
    found.errors.push_back(*error.error);
  for (const auto key : discovery.files()) {
    found.files.push_back({discovery.path(key), discovery.fixed_part(key)});
  }
  std::ranges::sort(found.files, {}, &FoundFile::path);
  return found;
}

Expected<OpenedFile> open_found(const FoundFile& found) {
  const std::string& path = found.path;
  const auto slash = path.rfind('/');
  OpenedFile opened;
  opened.name = slash == std::string::npos ? path : path.substr(slash + 1);
  std::string folder = path.substr(0, slash == std::string::npos ? 0 : std::max<std::size_t>(slash, 1));
  const std::size_t fixed = std::min(found.fixed, folder.size());
  opened.folder = open_folder({std::move(folder), fixed});
  if (!opened.folder) return tl::unexpected(system_failure(path, "cannot be looked at"));
  // What ends with a slash is a folder.
  auto file = OpenFile::open(opened.folder.get(), opened.name.empty() ? "." : opened.name.c_str(), path);
  if (!file) return tl::unexpected(std::move(file.error()));
  opened.file = std::move(*file);
  return opened;
}

std::string nothing_found(const std::vector<std::string>& globs) {
  return fmt::format("no mmstats files match {}", printable(fmt::format("{}", fmt::join(globs, ", "))));
}

}  // namespace mmstats
