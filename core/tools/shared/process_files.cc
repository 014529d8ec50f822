#include "tools/shared/process_files.h"

#include <tuple>

#include "tools/shared/command_name.h"

namespace mmstats {

std::map<ProcessId, ProcessFiles> process_files(const Watch& watch) {
  std::map<ProcessId, ProcessFiles> found;
  for (const auto file : watch.known_files()) {
    const auto known = watch.fold().owner(file);
    if (!known) continue;
    const auto& [owner, state] = *known;
    const std::string& path = watch.path(file);
    const ProcessId id{
        .pid = owner.pid, .path = owner.pid == 0 ? path : std::string(), .ended = state == OwnerState::kDead};
    auto& [process, told_by, files] = found[id];
    if (files.empty()) process = {.id = id, .created = 0, .state = state, .files = 0};
    // One that lives in part lives.
    if (state == OwnerState::kAlive) process.state = state;
    if (owner.created > 0 && (process.created == 0 || owner.created < process.created))
      process.created = owner.created;
    const auto rank = [&](const std::string& one) {
      return std::tuple(command_of(one, owner.pid).empty(), std::string_view(one));
    };
    if (files.empty() || rank(path) < rank(told_by)) told_by = path;
    ++process.files;
    files.push_back(file);
  }
  return found;
}

}  // namespace mmstats
