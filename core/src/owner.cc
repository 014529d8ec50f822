#include "mmstats/owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "mmstats/snapshot.h"

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

// The inode of one line of /proc/PID/maps: "from-to perms offset dev inode path"; 0: no file.
ino_t inode_of_mapping(std::string_view line) {
  for (int skipped = 0; skipped < 4; ++skipped) {
    const auto blank = line.find(' ');
    if (blank == std::string_view::npos) return 0;
    line.remove_prefix(blank + 1);
  }
  ino_t inode = 0;
  std::from_chars(line.data(), line.data() + line.size(), inode);
  return inode;
}

}  // namespace

Owners::Owners(std::string proc) : proc_(std::move(proc)) {}

// When the process began, and whether it ended and was not waited for: it has its pid still.
void Owners::read_start(pid_t pid, Process& process, std::chrono::steady_clock::time_point now) const {
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
  // Read anew each time: setting the clock moves the boot time.
  const double boot = read_boot_time(proc_);
  static const double ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (boot > 0) process.started = boot + static_cast<double>(ticks) / ticks_per_second;
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

void Owners::scan_maps(std::chrono::steady_clock::time_point now) {
  mapped_inodes_.clear();
  maps_complete_ = false;
  maps_scanned_ = now;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(proc_.c_str()), ::closedir);
  if (!directory) return;
  maps_complete_ = true;
  std::string text;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.find_first_not_of("0123456789") != std::string_view::npos) continue;
    errno = 0;
    if (!read_proc(proc_ + "/" + entry->d_name + "/maps", text)) {
      // A process that ended meanwhile maps nothing any more.
      if (errno != ENOENT && errno != ESRCH) maps_complete_ = false;
      continue;
    }
    for (std::string_view rest = text; !rest.empty();) {
      const auto end = rest.find('\n');
      if (const ino_t inode = inode_of_mapping(rest.substr(0, end)); inode != 0) {
        mapped_inodes_.insert(inode);
      }
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
}

Mapped Owners::mapped(FileId file, std::chrono::steady_clock::time_point now) {
  const bool recent =
      maps_scanned_ != std::chrono::steady_clock::time_point{} && now - maps_scanned_ < kRecheck;
  // Only a yes may be old: a no must hold at this moment.
  if (recent && mapped_inodes_.contains(file.inode)) return Mapped::kYes;
  if (maps_scanned_ != now || !recent) scan_maps(now);
  if (mapped_inodes_.contains(file.inode)) return Mapped::kYes;
  return maps_complete_ ? Mapped::kNo : Mapped::kUnknown;
}

}  // namespace mmstats
