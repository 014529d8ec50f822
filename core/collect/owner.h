// Who wrote a file, and is he still there? Three answers: unknown is never treated as dead.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "format/lease.h"
#include "mmstats/parse.h"

namespace mmstats {

// What a file says of the process and thread that write it, in fields `sys.*` whatever their prefix.
struct Owner {
  std::uint64_t pid = 0;  // 0: not said
  std::uint64_t tid = 0;  // 0: not said
  double created = 0;     // when the file was made, Unix seconds; 0: not said
};

// Pure. Where labels repeat, the last one counts, as it does for the original cleanstats.
Owner owner_of(const ParsedFile& content);

enum class OwnerState : std::uint8_t { kAlive, kDead, kUnknown };

std::string_view to_string(OwnerState state);  // "alive", "dead", "unknown"

// Whether somebody has the file open for writing: asked when it matters only.
using HasWriterOf = std::function<HasWriter()>;

// Asks the system about owners. Answers about a process's start are kept for `kRecheck`.
// One thread at a time.
class Owners {
 public:
  static constexpr std::chrono::seconds kRecheck{30};

  // `proc`: where procfs is mounted.
  explicit Owners(std::string proc = "/proc");

  // The state of the process `pid` that wrote a file created at `created` (Unix seconds; 0 if the
  // file does not say).
  // kDead: no such process (a zombie is none), or the one that has the pid now started after `created`.
  // kUnknown: pid is not one that a process can have, or its start cannot be read.
  // Cost: one kill(pid, 0) for each `now`, and one read of /proc/PID/stat every kRecheck.
  OwnerState state(std::uint64_t pid, double created, std::chrono::steady_clock::time_point now);

  // The same of the owner of a file, for everyone who shows or acts on it. A pid that was never seen alive
  // may be one of another pid namespace, where its process lives: then somebody writes the file, and the
  // answer is kUnknown. `was_alive`: at an earlier answer about this life of the file.
  OwnerState of_file(std::uint64_t pid, double created, bool was_alive,
                     std::chrono::steady_clock::time_point now, const HasWriterOf& has_writer);

 private:
  struct Process {
    OwnerState presence = OwnerState::kUnknown;  // of the pid, whoever has it
    double started = 0;                          // Unix seconds; 0: could not be read
    std::chrono::steady_clock::time_point asked_at;
    std::optional<std::chrono::steady_clock::time_point> read_at;  // of `started`
  };
  void read_start(pid_t pid, Process& process, std::chrono::steady_clock::time_point now);

  std::string proc_;
  std::unordered_map<pid_t, Process> processes_;
  double boot_time_ = 0;  // Unix seconds; 0: could not be read
  std::optional<std::chrono::steady_clock::time_point> boot_read_at_;
};

}  // namespace mmstats
