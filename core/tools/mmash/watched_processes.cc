#include "tools/mmash/watched_processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "tools/mmash/http.h"
#include "tools/shared/command_name.h"
#include "tools/shared/process_files.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

constexpr double kMostSeconds = 1e15;
constexpr std::size_t kMostId = 64;
constexpr std::string_view kOfFile = "file.";

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
  std::vector<WatchedProcess> all;
  for (const auto& [id, one] : mmstats::process_files(watch)) {
    const auto command = mmstats::command_of(one.path, id.pid);
    all.push_back({.id = process_id(id.pid, one.process.created, one.path),
                   .command = std::string(command.empty() ? mmstats::stem_of(one.path) : command),
                   .pid = id.pid,
                   .created = one.process.created,
                   .state = one.process.state,
                   .files = one.files});
  }
  std::ranges::sort(
      all, [](const auto& a, const auto& b) { return std::tie(a.id, a.state) < std::tie(b.id, b.state); });
  // What is dead in part only is one process, which lives.
  std::vector<WatchedProcess> merged;
  merged.reserve(all.size());
  for (auto& one : all) {
    if (merged.empty() || merged.back().id != one.id) {
      merged.push_back(std::move(one));
      continue;
    }
    auto& same = merged.back();
    if (same.state == mmstats::OwnerState::kDead) same.state = one.state;
    same.files.insert(same.files.end(), one.files.begin(), one.files.end());
  }
  return merged;
}

}  // namespace mmash
