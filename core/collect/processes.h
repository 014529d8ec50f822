// Which processes write a set of files, and whether they are still there: the one place that groups files by
// their owner, for every tool that shows processes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "format/owner.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// Stands for one process in a choice: its pid, or the path of a file that names none.
struct ProcessId {
  std::uint64_t pid = 0;
  std::string path;    // empty if there is a pid
  bool ended = false;  // it is dead; another process may have its pid now
  bool operator==(const ProcessId& other) const = default;
  bool operator<(const ProcessId& other) const {
    return std::tie(pid, path, ended) < std::tie(other.pid, other.path, other.ended);
  }
};

struct Process {
  ProcessId id;
  double created = 0;  // of its oldest file, Unix seconds; 0: not said
  OwnerState state = OwnerState::kUnknown;
  std::size_t files = 0;
};

// A scan is: begin, then add for each file. One thread at a time.
class Processes {
 public:
  // `proc`: where procfs is mounted.
  explicit Processes(std::string proc = "/proc") : owners_(std::move(proc)) {}

  // Forgets the processes; remembers what was learnt of the owners of files.
  void begin(std::chrono::steady_clock::time_point now);

  // Adds a file, and returns the index of its process in all(). `writers_of` is asked as by Owners::of_file.
  std::size_t add(const std::string& path, const FileId& file, const Owner& owner,
                  const WritersOf& writers_of);

  // In the order in which they came. Valid until the next add().
  [[nodiscard]] const std::vector<Process>& all() const { return all_; }

 private:
  // A file in which another owner or another start is said is another life.
  using Life = std::tuple<dev_t, ino_t, std::uint64_t, double>;

  Owners owners_;
  std::chrono::steady_clock::time_point now_;
  std::vector<Process> all_;
  std::map<ProcessId, std::size_t> index_;
  struct Known {
    OwnerMemory memory;
    std::uint64_t scan = 0;  // that met it last
  };
  std::map<Life, Known> known_;
  std::uint64_t scan_ = 0;
};

}  // namespace mmstats
