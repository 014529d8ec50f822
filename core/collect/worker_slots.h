// Numbers of workers whose series are kept apart: the lowest free one, shared by all files of one process.
// Files say of themselves whose they are, and any number may say the same: nothing here looks through all of
// them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
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
    std::int32_t slot = find(file);
    if (slot == kNone) {
      slot = lowest_free();
      if (file.pid != 0) insert(by_pid_[file.pid], slot);
    }
    ++files_[static_cast<std::size_t>(slot)];
    if (file.pid != 0 && file.thread != 0) insert(by_thread_[file], slot);
    return slot;
  }

  // One file less. Its slot is free after the last one. Precondition: take(file) returned `slot`.
  void leave(const WorkerFile& file, std::int32_t slot) {
    if (file.pid != 0 && file.thread != 0) erase(by_thread_, file, slot);
    if (--files_[static_cast<std::size_t>(slot)] > 0) return;
    free_.push(slot);
    if (file.pid != 0) erase(by_pid_, file.pid, slot);
  }

  // How many slots were looked at, ever: for tests.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  using Slots = std::vector<std::int32_t>;  // sorted
  struct Hash {
    std::size_t operator()(const WorkerFile& file) const {
      KeyedHasher hasher;
      hasher.add(file.pid);
      hasher.add(file.thread);
      return hasher.finish();
    }
  };

  // The lowest slot of a process that the file can be of: the lowest of those with its pid that is none of
  // those which have its thread. The latter are some of the former, so up to that one both lists are the
  // same.
  std::int32_t find(const WorkerFile& file) {
    if (file.pid == 0) return kNone;
    const auto with_pid = by_pid_.find(file.pid);
    if (with_pid == by_pid_.end()) return kNone;
    const Slots& of_pid = with_pid->second;
    std::size_t first = 0;
    if (const auto with_thread = by_thread_.find(file); with_thread != by_thread_.end()) {
      const Slots& taken = with_thread->second;
      for (std::size_t end = taken.size(); first < end;) {
        ++steps_;
        const std::size_t middle = first + (end - first) / 2;
        if (of_pid[middle] == taken[middle]) {
          first = middle + 1;
        } else {
          end = middle;
        }
      }
    }
    return first < of_pid.size() ? of_pid[first] : kNone;
  }

  std::int32_t lowest_free() {
    if (free_.empty()) {
      files_.push_back(0);
      return static_cast<std::int32_t>(files_.size() - 1);
    }
    const std::int32_t slot = free_.top();
    free_.pop();
    return slot;
  }

  void insert(Slots& slots, std::int32_t slot) { slots.insert(place(slots, slot), slot); }
  template <class Map, class Key>
  void erase(Map& map, const Key& key, std::int32_t slot) {
    const auto entry = map.find(key);
    entry->second.erase(place(entry->second, slot));
    if (entry->second.empty()) map.erase(entry);
  }
  Slots::iterator place(Slots& slots, std::int32_t slot) {
    return std::partition_point(slots.begin(), slots.end(), [&](std::int32_t one) {
      ++steps_;
      return one < slot;
    });
  }

  std::vector<std::uint32_t> files_;  // by slot: how many have it
  std::priority_queue<std::int32_t, Slots, std::greater<>> free_;
  std::unordered_map<std::uint64_t, Slots, KeyedNumberHash> by_pid_;
  std::unordered_map<WorkerFile, Slots, Hash> by_thread_;  // of files that say both
  std::uint64_t steps_ = 0;
};

// Slots of lives that departed in this scan and may go on in it, in the file that has their name or another.
class ReservedSlots {
 public:
  using Ticket = std::uint64_t;
  static constexpr Ticket kNone = 0;

  // The slot stays the worker's; the ticket is good until clear().
  Ticket add(const std::string& path, const WorkerFile& worker, std::int32_t slot) {
    by_path_.emplace(path, reserved_.size());
    reserved_.push_back({worker, slot});
    return first_ + reserved_.size() - 1;
  }
  // The life goes on and has its slot again. False: it was given back.
  bool redeem(Ticket ticket) {
    if (ticket < first_ || reserved_[ticket - first_].slot == WorkerSlots::kNone) return false;
    reserved_[ticket - first_].slot = WorkerSlots::kNone;
    return true;
  }
  // Gives back what the lives had whose file had this path.
  void give_back(const std::string& path, WorkerSlots& slots) {
    if (by_path_.empty()) return;
    const auto [begin, end] = by_path_.equal_range(path);
    for (auto one = begin; one != end; ++one) leave(reserved_[one->second], slots);
    by_path_.erase(begin, end);
  }
  // Gives all back.
  void clear(WorkerSlots& slots) {
    for (Reserved& one : reserved_) leave(one, slots);
    first_ += reserved_.size();
    reserved_.clear();
    by_path_.clear();
  }

 private:
  struct Reserved {
    WorkerFile worker;
    std::int32_t slot;  // kNone: it is not reserved any more
  };
  static void leave(Reserved& one, WorkerSlots& slots) {
    if (one.slot != WorkerSlots::kNone) slots.leave(one.worker, std::exchange(one.slot, WorkerSlots::kNone));
  }

  Ticket first_ = 1;  // of this scan
  std::vector<Reserved> reserved_;
  std::unordered_multimap<std::string, std::size_t, KeyedHash> by_path_;
};

}  // namespace mmstats
