#include "format/file_name.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace mmstats {
namespace {

std::string environment(const char* name) {
  const char* value = ::secure_getenv(name);
  return value == nullptr ? std::string{} : value;
}

std::string first_of(const std::string& wanted, const char* variable, std::string_view otherwise) {
  if (!wanted.empty()) return wanted;
  auto value = environment(variable);
  return value.empty() ? std::string(otherwise) : value;
}

std::string_view default_folder() {
  constexpr const char* kRun = "/run/mmstats";
  return ::access(kRun, W_OK | X_OK) == 0 ? kRun : std::string_view{};
}

struct Values {
  std::string_view command;
  std::string_view pid;
  std::string_view thread;
};

// One pass: what a placeholder stands for is not looked through again.
std::string expand(std::string_view text, const Values& values) {
  const std::array<std::pair<std::string_view, std::string_view>, 5> placeholders{{{"{CMD}", values.command},
                                                                                   {"{PID}", values.pid},
                                                                                   {"{TID}", values.thread},
                                                                                   {"%PID%", values.pid},
                                                                                   {"%TID%", values.thread}}};
  std::string out;
  while (!text.empty()) {
    const auto* const found =
        std::find_if(placeholders.begin(), placeholders.end(),
                     [&](const auto& placeholder) { return text.starts_with(placeholder.first); });
    const bool literal = found == placeholders.end();
    out += literal ? text.substr(0, 1) : found->second;
    text.remove_prefix(literal ? 1 : found->first.size());
  }
  return out;
}

}  // namespace

std::string file_path(const std::string& folder, const std::string& name, std::string_view thread) {
  auto chosen_folder = first_of(folder, "MMSTATS_PATH", default_folder());
  if (chosen_folder.empty()) chosen_folder = first_of({}, "TMPDIR", "/tmp");
  const auto chosen_name = first_of(name, "MMSTATS_FILES", "{CMD}-{PID}-{TID}.mmstats");
  std::string command = ::program_invocation_short_name;
  std::replace(command.begin(), command.end(), '/', '_');
  const auto pid = std::to_string(::getpid());
  return expand(chosen_folder + '/' + chosen_name, {.command = command, .pid = pid, .thread = thread});
}

std::string any_file_path(std::string_view path) {
  return expand(path, {.command = "*", .pid = "*", .thread = "*"});
}

std::vector<std::string> default_globs() {
  if (auto glob = environment("MMSTATS_GLOB"); !glob.empty()) return {std::move(glob)};
  if (const auto path = environment("MMSTATS_PATH"); !path.empty()) {
    return {any_file_path(path) + "/*.mmstats"};
  }
  return {"/run/mmstats/*.mmstats", first_of({}, "TMPDIR", "/tmp") + "/*.mmstats"};
}

}  // namespace mmstats
