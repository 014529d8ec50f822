// The processes whose files a watch folds, each with an id that links may keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collect/watch.h"
#include "format/owner.h"

namespace mmash {

// "PID.CREATED", the time when its oldest file was made, in whole seconds; of a file that names no process
// "file.HASH" of its path. Pure; the same for every server.
std::string process_id(std::uint64_t pid, double created, std::string_view path);
// Whether it may be one.
bool is_process_id(std::string_view text);

struct WatchedProcess {
  std::string id;
  std::string command;  // foreign bytes
  std::uint64_t pid = 0;
  double created = 0;  // 0: not said
  mmstats::OwnerState state = mmstats::OwnerState::kUnknown;
  std::vector<mmstats::FileKey> files = {};
};

// What is shown of a process, as members of a JSON object that is not ended.
std::string head_json(const WatchedProcess& process);

// As of the watch's last scan, in the order of ids, each once.
std::vector<WatchedProcess> watched_processes(const mmstats::Watch& watch);

}  // namespace mmash
