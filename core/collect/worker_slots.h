// Numbers of workers whose series are kept apart: the lowest free one, shared by all files of one process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"

namespace mmstats {

// A file that has a slot. A pid alone does not tell a process: in each of several containers one has the
// pid 1. But no process has two threads of one ID that publish the same.
struct WorkerFile {
  std::uint64_t pid = 0;     // 0: not said; such a file is a process of its own
  std::uint64_t thread = 0;  // the same in files of one pid: they are of different processes; 0: not said
  bool operator==(const WorkerFile&) const = default;
};

class WorkerSlots {
 public:
  static constexpr std::int32_t kNone = -1;

  // The slot of the file's process.
  std::int32_t take(const WorkerFile& file) {
    if (const std::size_t known = find(file); known < slots_.size()) {
      slots_[known].threads.push_back(file.thread);
      return static_cast<std::int32_t>(known);
    }
    const auto free =
        std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.threads.empty(); });
    const auto number = static_cast<std::size_t>(free - slots_.begin());
    if (free == slots_.end()) slots_.emplace_back();
    slots_[number].threads.push_back(file.thread);
    if (file.pid != 0) by_pid_.emplace(file.pid, number);
    return static_cast<std::int32_t>(number);
  }

  // One file less. Its slot is free after the last one. Precondition: take(file) returned `slot`.
  void leave(const WorkerFile& file, std::int32_t slot) {
    const auto number = static_cast<std::size_t>(slot);
    auto& threads = slots_[number].threads;
    threads.erase(std::find(threads.begin(), threads.end(), file.thread));
    if (!threads.empty()) return;
    const auto [begin, end] = by_pid_.equal_range(file.pid);
    const auto entry = std::find_if(begin, end, [&](const auto& known) { return known.second == number; });
    if (entry != end) by_pid_.erase(entry);
  }

 private:
  // The lowest slot of a process that the file can be of; slots_.size() if there is none.
  [[nodiscard]] std::size_t find(const WorkerFile& file) const {
    std::size_t lowest = slots_.size();
    if (file.pid == 0) return lowest;
    const auto [begin, end] = by_pid_.equal_range(file.pid);
    for (auto known = begin; known != end; ++known) {
      const auto& threads = slots_[known->second].threads;
      const bool taken = std::find(threads.begin(), threads.end(), file.thread) != threads.end();
      if (file.thread == 0 || !taken) lowest = std::min(lowest, known->second);
    }
    return lowest;
  }

  struct Slot {
    std::vector<std::uint64_t> threads;  // of its files; none: the slot is free
  };
  std::vector<Slot> slots_;
  std::unordered_multimap<std::uint64_t, std::size_t, KeyedNumberHash> by_pid_;
};

}  // namespace mmstats
