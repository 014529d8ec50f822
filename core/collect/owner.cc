#include "collect/owner.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <string_view>

namespace mmstats {
namespace {

// /proc gives starts in clock ticks after boot, and the boot in whole seconds: two roundings and a
// clock that was slewed meanwhile stay below this.
constexpr double kClockSlack = 2.0;  // seconds

constexpr std::size_t kMaxProcesses = 50'000;  // remembered at once

// Replaces `into` with what a file of procfs says; false if it cannot be read.
bool read_proc(const std::string& path, std::string& into) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  into.clear();
  std::array<char, 16384> chunk;
  ssize_t got = 0;
  while ((got = ::read(fd, chunk.data(), chunk.size())) != 0) {
    if (got < 0) {
      if (errno == EINTR) continue;
      break;
    }
    into.append(chunk.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  return got == 0;
}

double read_boot_time(const std::string& proc) {
  std::string text;
  if (!read_proc(proc + "/stat", text)) return 0;
  const auto at = text.find("\nbtime ");
  if (at == std::string::npos) return 0;
  double seconds = 0;
  const char* begin = text.data() + at + 7;
  std::from_chars(begin, text.data() + text.size(), seconds);
  return seconds;
}

}  // namespace

Owner owner_of(const ParsedFile& content) {
  Owner owner;
  const auto number = [](const Field& field) {
    std::uint64_t raw = 0;
    std::memcpy(&raw, field.value.data() + field.type.first_item, field.type.item_size);
    return to_double(field.type.code, field.type.swapped, raw);
  };
  // What no process or thread can have is not said.
  const auto id = [&](const Field& field) {
    const double value = number(field);
    return value >= 1 && value <= INT_MAX ? static_cast<std::uint64_t>(value) : 0;
  };
  for (const Field& field : content.fields) {
    if (!field.type.is_scalar_number()) continue;
    if (label_has_suffix(field.label, "sys.pid")) owner.pid = id(field);
    if (label_has_suffix(field.label, "sys.tid")) owner.tid = id(field);
    if (label_has_suffix(field.label, "sys.created")) owner.created = number(field);
  }
  return owner;
}

std::string_view to_string(OwnerState state) {
  switch (state) {
    case OwnerState::kAlive:
      return "alive";
    case OwnerState::kDead:
      return "dead";
    case OwnerState::kUnknown:
      break;
  }
  return "unknown";
}

Owners::Owners(std::string proc) : proc_(std::move(proc)) {}

// When the process began, and whether it ended and was not waited for: it has its pid still.
void Owners::read_start(pid_t pid, Process& process, std::chrono::steady_clock::time_point now) {
  process.read_at = now;
  process.presence = OwnerState::kAlive;
  process.started = 0;
  std::string text;
  if (!read_proc(proc_ + "/" + std::to_string(pid) + "/stat", text)) return;
  // The command is in parentheses and may hold anything, so count fields from its end: the state is
  // the first after it, the start the 20th.
  const auto end_of_command = text.rfind(')');
  if (end_of_command == std::string::npos) return;
  std::string_view rest = std::string_view(text).substr(end_of_command + 1);
  if (rest.starts_with(" Z") || rest.starts_with(" X")) process.presence = OwnerState::kDead;
  for (int skipped = 0; skipped < 20; ++skipped) {
    const auto blank = rest.find(' ');
    if (blank == std::string_view::npos) return;
    rest.remove_prefix(blank + 1);
  }
  std::uint64_t ticks = 0;
  if (std::from_chars(rest.data(), rest.data() + rest.size(), ticks).ec != std::errc{}) return;
  // Setting the clock moves the boot time, so it is read again, but once for all processes.
  if (boot_read_at_ != now) {
    boot_time_ = read_boot_time(proc_);
    boot_read_at_ = now;
  }
  static const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (boot_time_ > 0) process.started = boot_time_ + static_cast<double>(ticks) / ticks_per_second;
}

OwnerState Owners::state(std::uint64_t pid, double created, std::chrono::steady_clock::time_point now) {
  if (pid == 0 || pid > INT_MAX) return OwnerState::kUnknown;
  const auto [entry, fresh] = processes_.try_emplace(static_cast<pid_t>(pid));
  Process& process = entry->second;
  if (fresh || process.asked_at != now) {
    process.asked_at = now;
    if (::kill(static_cast<pid_t>(pid), 0) != 0 && errno != EPERM) {
      process.presence = errno == ESRCH ? OwnerState::kDead : OwnerState::kUnknown;
      process.read_at.reset();  // whoever gets the pid next is somebody else
    } else if (!process.read_at || now - *process.read_at >= kRecheck) {
      read_start(static_cast<pid_t>(pid), process, now);
    }
    if (processes_.size() > kMaxProcesses) {
      std::erase_if(processes_, [&](const auto& known) { return known.second.asked_at != now; });
    }
  }
  if (process.presence != OwnerState::kAlive) return process.presence;
  if (process.started == 0 || !(created > 0)) return OwnerState::kUnknown;
  return process.started <= created + kClockSlack ? OwnerState::kAlive : OwnerState::kDead;
}

OwnerState Owners::of_file(std::uint64_t pid, double created, bool was_alive,
                           std::chrono::steady_clock::time_point now, const HasWriterOf& has_writer) {
  const OwnerState of_pid = state(pid, created, now);
  if (of_pid != OwnerState::kDead || was_alive) return of_pid;
  return has_writer() == HasWriter::kYes ? OwnerState::kUnknown : of_pid;
}

}  // namespace mmstats
