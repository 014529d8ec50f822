#include "tools/pollstats/processes.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "mmstats/snapshot.h"
#include "tools/shared/command_name.h"

namespace pollstats {
namespace {

// Empty if there is no such process.
std::string system_name(const std::string& proc, std::uint64_t pid) {
  std::ifstream file(proc + "/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

// What is better known of two files of one process.
mmstats::OwnerState better(mmstats::OwnerState a, mmstats::OwnerState b) {
  using enum mmstats::OwnerState;
  if (a == kAlive || b == kAlive) return kAlive;
  return a == kUnknown || b == kUnknown ? kUnknown : kDead;
}

}  // namespace

ProcessId process_of(const std::string& path, const mmstats::ParsedFile& content) {
  const auto pid = owner_of(content).pid;
  return pid != 0 ? ProcessId{pid, {}} : ProcessId{0, path};
}

Processes::Processes(std::vector<std::string> globs, Keep keep, std::string proc)
    : proc_(std::move(proc)),
      keep_(std::move(keep)),
      discovery_(std::move(globs), {.max_held = 0}),
      owners_(proc_) {}

void Processes::read(mmstats::FileKey key, std::chrono::steady_clock::time_point now) {
  File& file = files_[key];
  file.read_at = now;
  file.wanted = false;
  const std::string& path = discovery_.path(key);
  const auto snapshot = mmstats::read_snapshot(path);
  if (!snapshot) return;
  mmstats::ParsedFile content;
  mmstats::parse(snapshot->bytes, content);
  file.wanted = !content.fields.empty() && keep_(path, content);
  file.id = process_of(path, content);
  file.created = owner_of(content).created;
}

const std::vector<Process>& Processes::scan(std::chrono::system_clock::time_point now,
                                            std::chrono::steady_clock::time_point steady_now) {
  const auto& found = discovery_.scan(now);
  for (const auto key : found.gone) {
    files_[key] = File{};
    discovery_.forget(key);
  }
  std::map<ProcessId, Process> by_process;
  for (const auto key : discovery_.files()) {
    if (key >= files_.size()) files_.resize(key + 1);
    File& file = files_[key];
    if (file.id.pid == 0 || steady_now - file.read_at >= mmstats::Owners::kRecheck) read(key, steady_now);
    if (!file.wanted) continue;
    const auto state = owners_.state(file.id.pid, file.created, steady_now);
    const auto [entry, fresh] = by_process.try_emplace(file.id);
    Process& process = entry->second;
    process.state = fresh ? state : better(process.state, state);
    if (file.created > 0) {
      process.created = process.created > 0 ? std::min(process.created, file.created) : file.created;
    }
    if (process.command.empty()) process.command = mmstats::command_of(discovery_.path(key), file.id.pid);
    ++process.files;
  }
  processes_.clear();
  for (auto& [id, process] : by_process) {
    process.id = id;
    if (process.command.empty() && process.state == mmstats::OwnerState::kAlive) {
      process.command = system_name(proc_, id.pid);
    }
    if (process.command.empty()) process.command = id.pid == 0 ? std::string(mmstats::stem_of(id.path)) : "?";
    processes_.push_back(std::move(process));
  }
  std::ranges::sort(processes_, {},
                    [](const Process& process) { return std::tie(process.command, process.id); });
  return processes_;
}

}  // namespace pollstats
