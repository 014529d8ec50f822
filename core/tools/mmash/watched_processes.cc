#include "tools/mmash/watched_processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "collect/processes.h"
#include "tools/mmash/http.h"
#include "tools/shared/command_name.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::OwnerState;

constexpr double kMostSeconds = 1e15;
constexpr std::size_t kMostId = 64;
constexpr std::string_view kOfFile = "file.";

// One that lives in part lives.
OwnerState livelier(OwnerState one, OwnerState other) {
  const auto rank = [](OwnerState state) {
    return state == OwnerState::kAlive ? 2 : state == OwnerState::kUnknown ? 1 : 0;
  };
  return rank(one) >= rank(other) ? one : other;
}

struct Found {
  std::string path;  // the first in their order
  WatchedProcess process;
};

}  // namespace

std::string process_id(std::uint64_t pid, double created, std::string_view path) {
  if (pid == 0) return fmt::format("{}{:016x}", kOfFile, mmstats::fnv1a(path));
  return fmt::format("{}.{:.0f}", pid, created > 0 && created < kMostSeconds ? std::floor(created) : 0.0);
}

bool is_process_id(std::string_view text) {
  const auto are = [](std::string_view some, std::string_view signs) {
    return !some.empty() && some.find_first_not_of(signs) == std::string_view::npos;
  };
  if (text.size() > kMostId) return false;
  if (text.starts_with(kOfFile)) return are(text.substr(kOfFile.size()), "0123456789abcdef");
  const auto dot = std::min(text.find('.'), text.size());
  return are(text.substr(0, dot), "0123456789") && dot < text.size() &&
         are(text.substr(dot + 1), "0123456789");
}

std::string head_json(const WatchedProcess& process) {
  return fmt::format(R"({{"id": {}, "command": {}, "pid": {}, "created": {}, "state": "{}")",
                     json_string(process.id), json_string(process.command), process.pid,
                     std::isfinite(process.created) ? mmstats::float_text(process.created) : "0",
                     mmstats::to_string(process.state));
}

std::vector<WatchedProcess> watched_processes(const mmstats::Watch& watch) {
  // As mmstats::Processes has them: a pid may be another process's when the first one is dead.
  std::map<mmstats::ProcessId, Found> found;
  for (const auto file : watch.known_files()) {
    const auto known = watch.fold().owner(file);
    if (!known) continue;
    const auto& [owner, state] = *known;
    const std::string& path = watch.path(file);
    auto& [first, process] = found[{.pid = owner.pid,
                                    .path = owner.pid == 0 ? path : std::string(),
                                    .ended = state == OwnerState::kDead}];
    if (process.files.empty() || path < first) first = path;
    process.state = process.files.empty() ? state : livelier(process.state, state);
    if (owner.created > 0)
      process.created = process.created > 0 ? std::min(process.created, owner.created) : owner.created;
    process.pid = owner.pid;
    process.files.push_back(file);
  }
  std::vector<WatchedProcess> all;
  all.reserve(found.size());
  for (auto& [id, one] : found) {
    auto& [path, process] = one;
    const auto command = mmstats::command_of(path, process.pid);
    process.command = std::string(command.empty() ? mmstats::stem_of(path) : command);
    process.id = process_id(process.pid, process.created, path);
    all.push_back(std::move(process));
  }
  std::ranges::sort(
      all, [](const auto& a, const auto& b) { return std::tie(a.id, a.state) < std::tie(b.id, b.state); });
  // What is dead in part only is one process.
  std::vector<WatchedProcess> merged;
  merged.reserve(all.size());
  for (auto& one : all) {
    if (merged.empty() || merged.back().id != one.id) {
      merged.push_back(std::move(one));
      continue;
    }
    auto& same = merged.back();
    same.state = livelier(same.state, one.state);
    same.files.insert(same.files.end(), one.files.begin(), one.files.end());
  }
  return merged;
}

}  // namespace mmash
