#include "format/owner.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include "format/dimensions.h"
#include "mmstats/metadata.h"

namespace mmstats {
namespace {

// /proc gives starts in clock ticks after boot, and the boot in whole seconds: two roundings and a
// clock that was slewed meanwhile stay below this.
constexpr double kClockSlack = 2.0;  // seconds

constexpr std::size_t kMaxProcesses = 50'000;  // remembered though nobody asked for them in the last scan

// Replaces `into` with what a file of procfs says; false if it cannot be read.
bool read_proc(const std::string& path, std::string& into) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  into.clear();
  std::array<char, 16384> chunk;
  // At once, as the next time it may say a little more: numbers grow.
  into.reserve(chunk.size());
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
    if (is_removed(field)) continue;
    if (field.type.code == 's' && label_has_suffix(field.label, kMetadataLabel)) {
      const std::string_view text(reinterpret_cast<const char*>(field.value.data()), field.value.size());
      owner.mapped = owner.mapped || says_mapped(field.label, text);
    }
    if (!field.type.is_scalar_number()) continue;
    if (label_has_suffix(field.label, "sys.pid")) owner.pid = id(field);
    if (label_has_suffix(field.label, "sys.tid")) owner.tid = id(field);
    if (label_has_suffix(field.label, "sys.created")) owner.created = number(field);
  }
  return owner;
}

bool says_mapped(std::string_view label, std::string_view metadata) {
  std::string writer(label.substr(0, label.size() - kMetadataLabel.size()));
  writer += kWriterLabel;
  return find_metadata(metadata, writer).help == kWriterMaps;
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

Owners::Owners(std::string proc, Signal signal) : proc_(std::move(proc)), signal_(signal) {}

// When the process began, and whether it ended and was not waited for: it has its pid still.
void Owners::read_start(pid_t pid, Process& process, std::chrono::steady_clock::time_point now) {
  process.read_at = now;
  process.presence = OwnerState::kAlive;
  process.start = 0;
  process.started = 0;
  path_.assign(proc_).append("/").append(std::to_string(pid)).append("/stat");
  if (!read_proc(path_, text_)) return;
  // The command is in parentheses and may hold anything, so count fields from its end: the state is
  // the first after it, the start the 20th.
  const auto end_of_command = text_.rfind(')');
  if (end_of_command == std::string::npos) return;
  std::string_view rest = std::string_view(text_).substr(end_of_command + 1);
  if (rest.starts_with(" Z") || rest.starts_with(" X")) process.presence = OwnerState::kDead;
  for (int skipped = 0; skipped < 20; ++skipped) {
    const auto blank = rest.find(' ');
    if (blank == std::string_view::npos) return;
    rest.remove_prefix(blank + 1);
  }
  if (std::from_chars(rest.data(), rest.data() + rest.size(), process.start).ec != std::errc{}) return;
  // Setting the clock moves the boot time, so it is read again, but once for all processes.
  if (boot_read_at_ != now) {
    read_boot_time();
    boot_read_at_ = now;
  }
  static const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (boot_time_ > 0) process.started = boot_time_ + static_cast<double>(process.start) / ticks_per_second;
}

void Owners::read_boot_time() {
  boot_time_ = 0;
  path_.assign(proc_).append("/stat");
  if (!read_proc(path_, text_)) return;
  const auto at = text_.find("\nbtime ");
  if (at == std::string::npos) return;
  const char* const begin = text_.data() + at + 7;
  std::from_chars(begin, text_.data() + text_.size(), boot_time_);
}

// Where there are too many processes, those are forgotten of which nobody asked in the scan before: so what
// is asked at each scan is known at the next one, and each scan looks them over once.
void Owners::begin_scan(std::chrono::steady_clock::time_point now) {
  const auto before = std::exchange(scan_, now);
  if (processes_.size() <= kMaxProcesses) return;
  looked_over_ += processes_.size();
  std::erase_if(processes_, [&](const auto& known) { return known.second.asked_at != before; });
}

// What is known of the process that has `pid`. Null: no process can have it.
const Owners::Process* Owners::look(std::uint64_t pid, std::chrono::steady_clock::time_point now, bool anew) {
  if (pid == 0 || pid > INT_MAX) return nullptr;
  if (now != scan_) begin_scan(now);
  const auto [entry, fresh] = processes_.try_emplace(static_cast<pid_t>(pid));
  Process& process = entry->second;
  if (fresh || process.asked_at != now) {
    process.asked_at = now;
    if (signal_(static_cast<pid_t>(pid), 0) != 0 && errno != EPERM) {
      process.presence = errno == ESRCH ? OwnerState::kDead : OwnerState::kUnknown;
      process.read_at.reset();  // whoever gets the pid next is somebody else
    } else if (!process.read_at || now - *process.read_at >= kRecheck) {
      read_start(static_cast<pid_t>(pid), process, now);
    }
  }
  if (anew && process.read_at && *process.read_at != now) read_start(static_cast<pid_t>(pid), process, now);
  return &process;
}

OwnerState Owners::Process::owns(double created) const {
  if (presence != OwnerState::kAlive) return presence;
  if (started == 0 || !(created > 0)) return OwnerState::kUnknown;
  return started <= created + kClockSlack ? OwnerState::kAlive : OwnerState::kDead;
}

OwnerState Owners::state(std::uint64_t pid, double created, std::chrono::steady_clock::time_point now) {
  const Process* const process = look(pid, now, false);
  return process == nullptr ? OwnerState::kUnknown : process->owns(created);
}

OwnerState Owners::of_file(const Owner& owner, OwnerMemory& memory, bool stands_still,
                           std::chrono::steady_clock::time_point now, const WritersOf& writers_of) {
  // A life that is new may be one of a process that has the pid only since its start was read last.
  const Process* const process = look(owner.pid, now, !memory.ask_again);
  if (process == nullptr) return OwnerState::kUnknown;
  auto state = process->owns(owner.created);
  if (process->presence == OwnerState::kAlive && memory.start != 0 && process->start != 0) {
    state = process->start == memory.start ? OwnerState::kAlive : OwnerState::kDead;
  }
  const bool dead = state == OwnerState::kDead;
  const bool dies = dead && !std::exchange(memory.pid_was_dead, dead);
  if (!dead) memory.pid_was_dead = false;
  if (dead && memory.was_alive) return OwnerState::kDead;

  if (dies || !memory.ask_again || ((dead || stands_still) && now >= *memory.ask_again)) {
    memory.writers = writers_of();
    memory.was_written = memory.was_written || memory.writers.any == HasWriter::kYes;
    // A number that looks like chance spreads the questions over half of the time.
    const std::chrono::milliseconds half = kRecheck / 2;
    memory.ask_again = now + half + (questions_++ * std::chrono::milliseconds(7919)) % half;
  }
  if (dead) return memory.writers.any == HasWriter::kYes ? OwnerState::kUnknown : OwnerState::kDead;
  if (state == OwnerState::kAlive) {
    memory.was_alive = true;
    memory.start = process->start;
  }
  const bool abandoned = memory.writers.any == HasWriter::kNo && memory.writers.sees_mappings &&
                         (memory.was_written || owner.mapped);
  return stands_still && abandoned ? OwnerState::kDead : state;
}

}  // namespace mmstats
