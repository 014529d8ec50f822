#include "collect/folder_path.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/filesystem/path.hpp>
#include <cerrno>

namespace mmstats {

bool FolderGlob::is_valid() const { return std::ranges::find(parts, "..") == parts.end(); }

FolderGlob split_glob(const std::string& folder) {
  namespace fs = boost::filesystem;
  FolderGlob glob;
  fs::path fixed;
  for (const fs::path& part : fs::path(folder)) {
    if (!glob.parts.empty() || has_wildcard(part.native())) {
      if (part != ".") glob.parts.push_back(part.native());
    } else {
      fixed /= part;
    }
  }
  glob.fixed = glob.parts.empty() ? folder : fixed.native();
  return glob;
}

bool has_wildcard(std::string_view part) { return part.find_first_of("*?[") != std::string_view::npos; }

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path;
  path.reserve(folder.size() + 1 + name.size());
  path += folder;
  if (!path.empty() && !path.ends_with('/')) path += '/';
  path += name;
  return path;
}

Descriptor open_folder(const FolderPath& folder) {
  const std::string_view path = folder.path;
  const std::size_t size = std::min(folder.fixed, path.size());
  const std::string fixed(path.substr(0, size));
  Descriptor at(::open(fixed.empty() ? "." : fixed.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string_view rest = path.substr(size);
  while (at) {
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    if (rest.empty()) break;
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(name.size());
    at = open_folder_at(at.get(), name.c_str());
  }
  return at;
}

Descriptor open_folder_at(int parent, const char* name) {
  return Descriptor(::openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

}  // namespace mmstats
