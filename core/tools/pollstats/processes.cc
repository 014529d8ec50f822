#include "tools/pollstats/processes.h"

#include <algorithm>
#include <fstream>
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

}  // namespace

ProcessId process_of(const std::string& path, const mmstats::ParsedFile& content) {
  const auto pid = owner_of(content).pid;
  return pid != 0 ? ProcessId{pid, {}} : ProcessId{0, path};
}

std::string command_text(const std::string& path, const mmstats::Process& process, const std::string& proc) {
  std::string command(mmstats::command_of(path, process.id.pid));
  if (command.empty() && process.state == mmstats::OwnerState::kAlive)
    command = system_name(proc, process.id.pid);
  if (command.empty()) command = process.id.pid == 0 ? std::string(mmstats::stem_of(path)) : "?";
  return command;
}

Processes::Processes(std::vector<std::string> globs, Keep keep, std::string proc)
    : proc_(std::move(proc)),
      keep_(std::move(keep)),
      discovery_(std::move(globs), {.max_held = 0}),
      by_owner_(proc_) {}

void Processes::read(mmstats::FileKey key, std::chrono::steady_clock::time_point now) {
  File& file = files_[key];
  file.read_at = now;
  file.wanted = false;
  const std::string& path = discovery_.path(key);
  const auto snapshot = discovery_.snapshot(key);
  if (!snapshot) return;
  mmstats::ParsedFile content;
  mmstats::parse(snapshot->bytes, content);
  file.wanted = !content.fields.empty() && keep_(path, content);
  file.owner = owner_of(content);
}

const std::vector<Process>& Processes::scan(std::chrono::system_clock::time_point now,
                                            std::chrono::steady_clock::time_point steady_now) {
  const auto& found = discovery_.scan(now);
  for (const auto key : found.gone) {
    files_[key] = File{};
    discovery_.forget(key);
  }
  by_owner_.begin(steady_now);
  std::vector<std::string> paths;  // by index in by_owner_: of a file that tells most
  for (const auto key : discovery_.files()) {
    if (key >= files_.size()) files_.resize(key + 1);
    File& file = files_[key];
    if (file.owner.pid == 0 || steady_now - file.read_at >= mmstats::Owners::kRecheck) read(key, steady_now);
    if (!file.wanted) continue;
    const std::string& path = discovery_.path(key);
    const auto index =
        by_owner_.add(path, discovery_.id(key), file.owner, [&] { return discovery_.writers(key); });
    if (index == paths.size()) paths.push_back(path);
    if (mmstats::command_of(paths[index], file.owner.pid).empty()) paths[index] = path;
  }
  processes_.clear();
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const mmstats::Process& process = by_owner_.all()[i];
    processes_.push_back({process, command_text(paths[i], process, proc_)});
  }
  std::ranges::sort(processes_, {},
                    [](const Process& process) { return std::tie(process.command, process.id); });
  return processes_;
}

}  // namespace pollstats
