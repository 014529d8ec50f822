// The files of tools to which nobody names any, once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "collect/folder_path.h"
#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

struct FoundFile {
  std::string path;
  // How many of its first bytes may lead through links: a wildcard came after them, and anybody may have put
  // a link where it leads.
  std::size_t fixed = std::string::npos;
};

struct FoundFiles {
  std::vector<FoundFile> files;  // in order of their paths; they may be gone by now
  std::vector<Error> errors;     // of folders that cannot be listed, and of files that cannot be opened
};

// Those that the globs match, however many there are. None is held open.
FoundFiles find_files(const std::vector<std::string>& globs);

// A file, open, and where its name is.
struct OpenedFile {
  OpenFile file;
  int folder = -1;             // (O_PATH) of the opener, until it opens the next file
  const char* name = nullptr;  // in the folder; in the path of what was found
};

// Opens one file after the other that was found, or that somebody named by its path. The folder of the last
// one stays open, as the next one is mostly in it, too. One thread at a time.
class FoundOpener {
 public:
  // Errors: those of OpenFile::open.
  Expected<OpenedFile> open(const FoundFile& found);

 private:
  FolderPath where_;
  Descriptor folder_;
};

// "no mmstats files match GLOB, GLOB"
std::string nothing_found(const std::vector<std::string>& globs);

}  // namespace mmstats
