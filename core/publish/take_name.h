// How a file that is finished gets its name.
#pragma once

#include <string>

#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// Whether the path's last component is that file, and no link. One system call.
bool leads_to(const std::string& path, FileId id);

// Gives the finished file `temporary` the name `wanted`, in the same folder, or that with a number before its
// ending: it takes none from anybody who is alive. Returns the path that it has.
// Error: why it has none; it is still at `temporary`. Any thread. Throws std::bad_alloc.
Expected<std::string> take_name(const std::string& temporary, const std::string& wanted);

}  // namespace mmstats
