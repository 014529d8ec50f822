// The files of tools to which nobody names any, once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
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
  Descriptor folder;  // (O_PATH)
  std::string name;   // in the folder
};

// Opens one that was found, or that somebody named by its path. Errors: those of OpenFile::open.
Expected<OpenedFile> open_found(const FoundFile& found);

// "no mmstats files match GLOB, GLOB"
std::string nothing_found(const std::vector<std::string>& globs);

}  // namespace mmstats
