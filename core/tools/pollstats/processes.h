// Which processes write the files: for a person to choose from.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "collect/discover.h"
#include "collect/processes.h"
#include "mmstats/parse.h"

namespace pollstats {

using mmstats::ProcessId;

// Of a process that has not ended, as a file alone does not tell that.
ProcessId process_of(const std::string& path, const mmstats::ParsedFile& content);

struct Process : mmstats::Process {
  std::string command{};  // foreign bytes: as its file's name says, else as the system does
};

// The same of a process that writes the file. `proc`: where procfs is mounted; it is asked for a living one.
std::string command_text(const std::string& path, const mmstats::Process& process, const std::string& proc);

// One thread at a time.
class Processes {
 public:
  using Keep = std::function<bool(const std::string& path, const mmstats::ParsedFile& content)>;

  // Of the files that `keep` wants, asked when a file is read.
  Processes(std::vector<std::string> globs, Keep keep, std::string proc = "/proc");

  // Scans; ordered by command and pid. Valid until the next scan. A file is read when it is new, and
  // again every Owners::kRecheck, as another process may have taken it over; each time while it does not say
  // who writes it.
  const std::vector<Process>& scan(std::chrono::system_clock::time_point now,
                                   std::chrono::steady_clock::time_point steady_now);

 private:
  struct File {
    bool wanted = false;
    mmstats::Owner owner;
    std::chrono::steady_clock::time_point read_at;
  };
  void read(mmstats::FileKey key, std::chrono::steady_clock::time_point now);

  std::string proc_;
  Keep keep_;
  mmstats::Discovery discovery_;
  mmstats::Processes by_owner_;
  std::vector<File> files_;  // by FileKey
  std::vector<Process> processes_;
};

}  // namespace pollstats
