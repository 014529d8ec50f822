// Ways to folders on which nobody else's links are followed. Who may write into a folder that a wildcard
// leads through could put a link there, to where only we may go.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"

namespace mmstats {

struct FolderPath {
  std::string path;       // for people, too; empty: the working folder
  std::size_t fixed = 0;  // its first bytes, in which links are followed: whoever wrote the glob wrote them

  bool operator==(const FolderPath&) const = default;
};

// The folder of a glob.
struct FolderGlob {
  std::string fixed;               // the part before the first wildcard; empty: the working folder
  std::vector<std::string> parts;  // the others, none of them "."; empty: there are no wildcards

  // False: a part after a wildcard is "..", which would lead out of what is listed.
  [[nodiscard]] bool is_valid() const;
};

// `folder`: a path whose parts may have wildcards, as in the shell.
FolderGlob split_glob(const std::string& folder);

// Whether a path, or a part of one, has wildcards.
bool has_wildcard(std::string_view part);

// `name` in `folder`, as a path.
std::string join_path(std::string_view folder, std::string_view name);

// A descriptor of the folder, only to look into it (O_PATH): neither to list nor to read it. Links on the way
// are followed in its fixed part alone. None, with errno: ENOTDIR also stands for a link where none is
// followed. Throws std::bad_alloc.
Descriptor open_folder(const FolderPath& folder);

// The same of one that is in the folder `parent`, and no link.
Descriptor open_folder_at(int parent, const char* name);

}  // namespace mmstats
