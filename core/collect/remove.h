// The one place that removes files of others.
#pragma once

#include <string>

#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// Removes `name` from the folder that `folder` is open for (or AT_FDCWD), if it is still `file` and no
// process has that open or mapped for writing; whoever held it open for reading reads on. So what is removed
// is the file that was read, in the folder that was opened, wherever paths lead by now. `path` is for
// messages. Preconditions: file.is_open(). Errors, with the file kept: kChanged (the name leads to another
// file now), kBusy (some process writes it; or, with sys_errno set, that cannot be ruled out: another user's
// file, asked without being root, or a file system that does not know), kNotFound, kDenied, kIo.
Expected<void> remove_unwritten(const OpenFile& file, int folder, const char* name, const std::string& path);

// The same question without the removal: what the system's permissions say to that is not asked.
Expected<void> check_unwritten(const OpenFile& file, int folder, const char* name, const std::string& path);

}  // namespace mmstats
