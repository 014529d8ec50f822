#include "format/file_name.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/failure.h"
#include "base/utf8.h"
#include "format/glob_braces.h"

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

constexpr const char* kRun = "/run/mmstats";

bool can_be_written(const char* folder) { return ::access(folder, W_OK | X_OK) == 0; }

std::string temporary_folder() { return first_of({}, "TMPDIR", "/tmp"); }

constexpr std::size_t kMaxCommand = 100;  // bytes of it in a file's name

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
  auto chosen_folder = first_of(folder, "MMSTATS_PATH", {});
  if (chosen_folder.empty()) chosen_folder = can_be_written(kRun) ? kRun : temporary_folder();
  const auto chosen_name = first_of(name, "MMSTATS_FILES", "{CMD}-{PID}-{TID}.mmstats");
  std::string command = ::program_invocation_short_name;
  std::replace(command.begin(), command.end(), '/', '_');
  // A program may call itself what it likes, for example by a line for ps(1): names have an end.
  command = whole_characters(command, kMaxCommand);
  const auto pid = std::to_string(::getpid());
  return expand(chosen_folder + '/' + chosen_name, {.command = command, .pid = pid, .thread = thread});
}

std::string absolute_folder(const std::string& folder) {
  auto chosen = first_of(folder, "MMSTATS_PATH", {});
  if (chosen.empty() || chosen.front() == '/') return folder;
  const std::unique_ptr<char, void (*)(void*)> here(::getcwd(nullptr, 0), std::free);
  if (here == nullptr || *here != '/') return folder;
  return std::string(here.get()) + '/' + chosen;
}

std::optional<Error> shut_out(const std::string& folder) {
  if (!first_of(folder, "MMSTATS_PATH", {}).empty()) return std::nullopt;
  if (::access(kRun, F_OK) != 0 || can_be_written(kRun)) return std::nullopt;
  const int sys_errno = errno;
  return system_failure(kRun,
                        "exists, but this process cannot write there: its files go to " +
                            printable(temporary_folder()) +
                            ", where agents may not see them; permit it (a systemd unit: "
                            "ReadWritePaths=-/run/mmstats), or set MMSTATS_PATH",
                        sys_errno);
}

bool is_file_mode(unsigned mode) {
  constexpr unsigned kOwner = 0600;
  constexpr unsigned kAll = 0666;
  return (mode & kOwner) == kOwner && (mode & ~kAll) == 0;
}

Error bad_mode(const std::string& what) {
  return failure(ErrorKind::kInvalid, {},
                 what +
                     " is not used: a mode is an octal number like 0640, with reading and writing for the "
                     "owner, and nobody executes");
}

Expected<std::optional<unsigned>> environment_mode() {
  const auto text = environment("MMSTATS_MODE");
  if (text.empty()) return std::nullopt;
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || !is_file_mode(mode)) {
    return tl::unexpected(bad_mode("MMSTATS_MODE=" + printable(text)));
  }
  return mode;
}

std::string any_file_path(std::string_view path) {
  return expand(path, {.command = "*", .pid = "*", .thread = "*"});
}

std::vector<std::string> default_globs() {
  if (auto glob = environment("MMSTATS_GLOB"); !glob.empty()) {
    return expand_braces(glob).value_or(std::vector{glob});
  }
  if (const auto path = environment("MMSTATS_PATH"); !path.empty()) {
    return {any_file_path(path) + "/*.mmstats"};
  }
  return {std::string(kRun) + "/*.mmstats", temporary_folder() + "/*.mmstats"};
}

}  // namespace mmstats
