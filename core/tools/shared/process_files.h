// The processes whose files a watch folds. Files are grouped as mmstats::Processes groups them, and none is
// read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "collect/processes.h"
#include "collect/watch.h"

namespace mmstats {

struct ProcessFiles {
  Process process;
  std::string
      path;  // of the file whose name tells the process's command, else the first; by the order of paths
  std::vector<FileKey> files = {};  // at least one
};

// As of the watch's last scan. A process that is dead in part is there twice: what has ended, and what has
// not.
std::map<ProcessId, ProcessFiles> process_files(const Watch& watch);

}  // namespace mmstats
