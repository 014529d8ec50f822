#include "collect/processes.h"

#include <algorithm>

namespace mmstats {

void Processes::begin(std::chrono::steady_clock::time_point now) {
  std::erase_if(known_, [&](const auto& life) { return life.second.scan != scan_; });
  ++scan_;
  now_ = now;
  all_.clear();
  index_.clear();
}

std::size_t Processes::add(const std::string& path, const FileId& file, const Owner& owner,
                           const WritersOf& writers_of) {
  Known& known = known_[Life{file.device, file.inode, owner.pid, owner.created}];
  known.scan = scan_;
  const OwnerState state = owners_.of_file(owner, known.memory, true, now_, writers_of);

  ProcessId id{owner.pid, owner.pid == 0 ? path : std::string(), state == OwnerState::kDead};
  const auto [entry, fresh] = index_.try_emplace(id, all_.size());
  if (fresh) all_.push_back({.id = std::move(id), .created = 0, .state = state, .files = 0});
  Process& process = all_[entry->second];
  // One file of a process may say less than another: when it was made.
  if (state == OwnerState::kAlive) process.state = state;
  if (owner.created > 0) {
    process.created = process.created > 0 ? std::min(process.created, owner.created) : owner.created;
  }
  ++process.files;
  return entry->second;
}

}  // namespace mmstats
