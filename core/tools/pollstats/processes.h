// Which processes write the files: for a person to choose from.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "collect/discover.h"
#include "collect/owner.h"
#include "mmstats/parse.h"

namespace pollstats {

// Stands for one process in a choice: its pid, or the path of a file that names none.
struct ProcessId {
  std::uint64_t pid = 0;
  std::string path;  // empty if there is a pid
  bool operator==(const ProcessId& other) const = default;
  bool operator<(const ProcessId& other) const {
    return std::tie(pid, path) < std::tie(other.pid, other.path);
  }
};

ProcessId process_of(const std::string& path, const mmstats::ParsedFile& content);

struct Process {
  ProcessId id;
  std::string command;  // foreign bytes: as its file's name says, else as the system does
  double created = 0;   // of its oldest file, Unix seconds; 0: not said
  mmstats::OwnerState state = mmstats::OwnerState::kUnknown;
  std::size_t files = 0;
};

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
    ProcessId id;
    double created = 0;
    std::chrono::steady_clock::time_point read_at;
  };
  void read(mmstats::FileKey key, std::chrono::steady_clock::time_point now);

  std::string proc_;
  Keep keep_;
  mmstats::Discovery discovery_;
  mmstats::Owners owners_;
  std::vector<File> files_;  // by FileKey
  std::vector<Process> processes_;
};

}  // namespace pollstats
