// The one place that removes files of others.
#pragma once

#include <string>

#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// Removes the file `path` if it is still `file` and no process has it open or mapped for writing; whoever
// held it open for reading reads on. Preconditions: file.is_open().
// Errors, with the file kept: kChanged (the name leads to another file now), kBusy (some process writes
// it, or that cannot be ruled out: another user's file, asked without being root), kNotFound, kDenied, kIo.
Expected<void> remove_unwritten(const OpenFile& file, const std::string& path);

}  // namespace mmstats
