#include "tools/shared/find_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string_view>
#include <utility>

#include "base/failure.h"
#include "collect/discover.h"

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

Expected<OpenedFile> FoundOpener::open(const FoundFile& found) {
  const std::string& path = found.path;
  const auto slash = path.rfind('/');
  const std::string_view folder(path.data(),
                                slash == std::string::npos ? 0 : std::max<std::size_t>(slash, 1));
  const std::size_t fixed = std::min(found.fixed, folder.size());
  if (!folder_ || where_.path != folder || where_.fixed != fixed) {
    where_ = {.path = std::string(folder), .fixed = fixed};
    folder_ = open_folder(where_);
    if (!folder_) return tl::unexpected(system_failure(path, "cannot be looked at"));
  }
  const char* name = slash == std::string::npos ? path.c_str() : path.c_str() + slash + 1;
  // What ends with a slash is a folder.
  if (*name == '\0') name = ".";
  auto file = OpenFile::open(folder_.get(), name, path);
  if (!file) return tl::unexpected(std::move(file.error()));
  return OpenedFile{.file = std::move(*file), .folder = folder_.get(), .name = name};
}

std::string nothing_found(const std::vector<std::string>& globs) {
  return fmt::format("no mmstats files match {}", printable(fmt::format("{}", fmt::join(globs, ", "))));
}

}  // namespace mmstats
