// Numbers of workers whose series are kept apart: the lowest free one, shared by all files of one process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace mmstats {

class WorkerSlots {
 public:
  // The slot of `process` for one more file of it.
  std::int32_t take(std::uint64_t process) {
    const auto [entry, fresh] = slots_.try_emplace(process);
    Slot& slot = entry->second;
    if (fresh) {
      const auto free = std::find(taken_.begin(), taken_.end(), false);
      slot.number = static_cast<std::int32_t>(free - taken_.begin());
      if (free == taken_.end()) {
        taken_.push_back(true);
      } else {
        *free = true;
      }
    }
    ++slot.files;
    return slot.number;
  }

  // One file less. Its slot is free after the last one. Precondition: take(process) was called for the file.
  void leave(std::uint64_t process) {
    const auto entry = slots_.find(process);
    if (--entry->second.files != 0) return;
    taken_[static_cast<std::size_t>(entry->second.number)] = false;
    slots_.erase(entry);
  }

 private:
  struct Slot {
    std::int32_t number = 0;
    std::uint32_t files = 0;
  };
  std::unordered_map<std::uint64_t, Slot> slots_;  // by process
  std::vector<bool> taken_;
};

}  // namespace mmstats
