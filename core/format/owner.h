// Who wrote a file, and is he still there? Three answers: unknown is never treated as dead.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "format/lease.h"
#include "mmstats/parse.h"

namespace mmstats {

// What a file says of the process and thread that write it, in fields `sys.*` whatever their prefix.
struct Owner {
  std::uint64_t pid = 0;  // 0: not said
  std::uint64_t tid = 0;  // 0: not said
  double created = 0;     // when the file was made, Unix seconds; 0: not said
  bool mapped = false;    // sys.metadata says that its writer keeps it mapped while it lives
};

// Pure. Where labels repeat, the last one counts, as it does for the original cleanstats.
Owner owner_of(const ParsedFile& content);

// The line of sys.metadata which says that a file is kept mapped, with the prefix of its sys.metadata:
// "sys.writer", "property", no unit, "maps the file while it lives". The grammar: core/doc/format.md.
inline constexpr std::string_view kWriterLabel = "sys.writer";
inline constexpr std::string_view kWriterMaps = "maps the file while it lives";
// `label`: of the sys.metadata whose text is `metadata`.
bool says_mapped(std::string_view label, std::string_view metadata);

enum class OwnerState : std::uint8_t { kAlive, kDead, kUnknown };

std::string_view to_string(OwnerState state);  // "alive", "dead", "unknown"

// Asks for the writers of a file: called when it matters only.
using WritersOf = std::function<Writers()>;

// What was learnt of the owner of one life of a file. Whoever keeps the life keeps this, and only Owners
// looks inside.
struct OwnerMemory {
  std::uint64_t start = 0;    // ticks after boot, of the process that was seen alive; 0: not known
  bool was_alive = false;     // at an earlier answer
  bool was_written = false;   // some process had the file open for writing
  bool pid_was_dead = false;  // at the last answer
  Writers writers;            // when they were asked for last
  std::optional<std::chrono::steady_clock::time_point> ask_again;  // for writers; none: never asked

  // The life goes on in another file: who wrote the last one says nothing of this.
  void forget_writers(std::chrono::steady_clock::time_point now) {
    writers = {};
    if (ask_again) ask_again = now;
  }
};

// Asks the system about owners. Answers about a process's start are kept for `kRecheck`, but for a life that
// is new; writers of a file that stands still are asked for again after half of it to the whole, so that not
// all are at once. One thread at a time.
class Owners {
 public:
  static constexpr std::chrono::seconds kRecheck{30};

  // kill(2), or what tests have in its place.
  using Signal = int (*)(pid_t pid, int signal);

  // `proc`: where procfs is mounted.
  explicit Owners(std::string proc = "/proc", Signal signal = ::kill);

  // The state of the process `pid` that wrote a file created at `created` (Unix seconds; 0 if the
  // file does not say).
  // kDead: no such process (a zombie is none), or the one that has the pid now started after `created`.
  // kUnknown: pid is not one that a process can have, or its start cannot be read.
  // Cost: one kill(pid, 0) for each `now`, and one read of /proc/PID/stat every kRecheck.
  OwnerState state(std::uint64_t pid, double created, std::chrono::steady_clock::time_point now);

  // The same of the owner of a file, for everyone who shows or acts on it, where more is known:
  // - A process that was seen alive is known by its start in ticks, which no step of the clock moves.
  // - A pid that was never seen alive, or whose process is too young, may be one of another pid namespace or
  //   of another clock: if somebody writes the file, the answer is kUnknown.
  // - A pid may live on though the writer is gone: it was of another namespace, or the process executed
  //   another program. Where nobody has the file open for writing, and the kernel would know, the owner is
  //   dead, if somebody had it so earlier in this life or the file says that it is kept mapped. For files
  //   that stand still only: whoever publishes by rename has nothing open.
  // `stands_still`: nothing in the file changed since the last question about it.
  OwnerState of_file(const Owner& owner, OwnerMemory& memory, bool stands_still,
                     std::chrono::steady_clock::time_point now, const WritersOf& writers_of);

  // How many processes were looked over in all, to forget those of which nobody asks any more: a part of what
  // was asked.
  [[nodiscard]] std::uint64_t looked_over() const { return looked_over_; }

 private:
  struct Process {
    OwnerState presence = OwnerState::kUnknown;  // of the pid, whoever has it
    std::uint64_t start = 0;                     // ticks after boot; 0: could not be read
    double started = 0;                          // Unix seconds; 0: could not be read
    std::chrono::steady_clock::time_point asked_at;
    std::optional<std::chrono::steady_clock::time_point> read_at;  // of `start`

    // Whether it made what was created at that time (Unix seconds), by the clock alone.
    [[nodiscard]] OwnerState owns(double created) const;
  };
  // `anew`: its start is read now, if it is there.
  const Process* look(std::uint64_t pid, std::chrono::steady_clock::time_point now, bool anew);
  void read_start(pid_t pid, Process& process, std::chrono::steady_clock::time_point now);
  void read_boot_time();
  void begin_scan(std::chrono::steady_clock::time_point now);

  std::string proc_;
  Signal signal_;
  std::unordered_map<pid_t, Process, KeyedNumberHash> processes_;
  std::chrono::steady_clock::time_point scan_;  // the last `now`
  std::uint64_t looked_over_ = 0;
  double boot_time_ = 0;  // Unix seconds; 0: could not be read
  std::optional<std::chrono::steady_clock::time_point> boot_read_at_;
  std::uint32_t questions_ = 0;  // for writers
  std::string path_;             // both are kept for their memory
  std::string text_;
};

}  // namespace mmstats
