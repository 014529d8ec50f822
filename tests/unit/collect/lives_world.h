// A made world for histories of lives: folders, files, processes and clocks, and all that was ever counted.
// What is in it is true; what a Watch makes of it is judged by lives_model_test.cc.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "format/lease.h"
#include "made_file.h"
#include "temporary_folder.h"

namespace lives {

using namespace mmstats;

// The same numbers from the same seed, on every machine.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t mixed = (state_ += 0x9E3779B97F4A7C15U);
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31U);
  }
  // 0 to `end` - 1.
  int below(int end) { return static_cast<int>(next() % static_cast<std::uint64_t>(end)); }
  bool once_in(int times) { return below(times) == 0; }

 private:
  std::uint64_t state_;
};

// Two folders that are named, two behind a wildcard, and one that nobody watches.
inline constexpr std::array<const char*, 5> kFolders{"a", "b", "w/1", "w/2", "out"};
inline constexpr int kOut = 4;
inline constexpr int kNames = 3;
inline constexpr int kPlaces = static_cast<int>(kFolders.size()) * kNames;  // a folder and a name
inline constexpr int kNowhere = -1;
inline constexpr int kLabels = 3;
inline constexpr int kMaxLives = 24;  // digits of the sum of gauges

inline int folder_of(int place) { return place / kNames; }
inline std::string name_of(int place) { return std::to_string(place % kNames) + ".mmstats"; }

// Pids of this machine that come and go; one that is always there, and one that never is.
inline constexpr int kPids = 4;
inline constexpr std::uint32_t kFirstPid = 101;
inline constexpr std::uint32_t kInit = 1;
inline constexpr std::uint32_t kNobodysPid = 200;

inline std::array<bool, kPids> pid_is_there{};  // what kill(2) says: a function without state is called

inline int made_signal(pid_t pid, int /*signal*/) {
  const auto index = static_cast<std::uint32_t>(pid) - kFirstPid;
  if (static_cast<std::uint32_t>(pid) == kInit || (index < kPids && pid_is_there[index])) return 0;
  errno = ESRCH;
  return -1;
}

using Seconds = double;

struct Process {
  std::uint32_t pid = 0;  // as its files say
  bool foreign = false;   // of another pid namespace: here its pid is nobody's, or another process'
  bool alive = true;
  bool holds = true;      // its files are open for writing as long as it lives; else it publishes and closes
  bool maps = false;      // and its files say so
  Seconds start = 0;      // uptime
  Seconds dead_at = 0;    // or executed another program: it writes no more
  bool executed = false;  // the pid lives on
  Seconds pid_gone_at = 0;
};

// A counter of one life.
struct Counter {
  bool in = false;  // in the file
  int type = 0;     // index into kTypes
  std::uint64_t value = 0;
  std::uint64_t truth = 0;  // all that it counted, through every fall to 0
  std::uint32_t falls = 0;
};

inline constexpr std::array<const char*, 4> kTypes{"Q", "d", ">Q", "I"};

// What a reader of a file finds.
struct Content {
  int life = -1;
  bool empty = false;  // zeros, or nothing at all
  bool cut = false;    // fields are missing
  std::array<Counter, kLabels> counters;
  bool gauge = false;
};

struct Inode {
  Content content;
  int place = kNowhere;
};

struct Life {
  int process = 0;
  double created = 0;
  Seconds made_at = 0;
  Seconds last_write = 0;
  int order = 0;  // where the owner stands in the file
  int pads = 0;   // other fields
  std::array<Counter, kLabels> counters;
  bool steps_forward = false;  // the clock, since it was made: its process seems too young
  bool steps = false;
  int inode = -1;
  int fd = -1;
  std::uint32_t used = 0;  // places where it was
};

// Folders, made once for all histories.
class Ground {
 public:
  Ground() : folder_(base()) {
    for (const char* name : {"a", "b", "w", "w/1", "w/2", "out", "proc", "proc/1"}) {
      ::mkdir((folder_ + "/" + name).c_str(), 0755);
    }
    for (std::size_t i = 0; i < kFolders.size(); ++i) folders[i] = open(kFolders[i], O_DIRECTORY | O_RDONLY);
    wild = open("w", O_DIRECTORY | O_RDONLY);
    boot = open("proc/stat", O_RDWR | O_CREAT);
    put_process(Descriptor(open("proc/1/stat", O_RDWR | O_CREAT)).get(), kInit, 1);
    for (int i = 0; i < kPids; ++i) {
      const std::string name = "proc/" + std::to_string(kFirstPid + static_cast<std::uint32_t>(i));
      ::mkdir((folder_ + "/" + name).c_str(), 0755);
      processes.at(static_cast<std::size_t>(i)) = open((name + "/stat").c_str(), O_RDWR | O_CREAT);
    }
    const Descriptor probe(open("probe", O_RDWR | O_CREAT));
    {
      const Descriptor reader(open("probe", O_RDONLY));
      leases = writers_of(reader.get()).any == HasWriter::kYes;
    }
    const Descriptor closed(open("proc/1/stat", O_RDONLY));
    sees_mappings = writers_of(closed.get()).sees_mappings;
  }
  Ground(const Ground&) = delete;
  Ground& operator=(const Ground&) = delete;
  ~Ground() {
    for (const int fd : folders) ::close(fd);
    for (const int fd : processes) ::close(fd);
    ::close(wild);
    ::close(boot);
    boost::system::error_code ignored;
    boost::filesystem::remove_all(folder_, ignored);
  }

  std::array<int, kFolders.size()> folders{};
  std::array<int, kPids> processes{};
  int wild = -1;
  int boot = -1;
  bool leases = false;  // whether the kernel tells who writes
  bool sees_mappings = false;

  [[nodiscard]] const std::string& path() const { return folder_; }

  static void put_process(int fd, std::uint32_t pid, Seconds start) {
    const auto ticks = static_cast<long long>(start * static_cast<double>(::sysconf(_SC_CLK_TCK)));
    overwrite(fd, std::to_string(pid) + " (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " +
                      std::to_string(ticks) + " 0 0\n");
  }
  static void overwrite(int fd, const std::string& text) {
    if (::pwrite(fd, text.data(), text.size(), 0) < 0) throw std::runtime_error("cannot write");
    if (::ftruncate(fd, static_cast<off_t>(text.size())) != 0) throw std::runtime_error("cannot cut");
  }

 private:
  static std::string base() {
    for (const std::string& where :
         {std::string("/dev/shm"), boost::filesystem::temp_directory_path().native()}) {
      std::string pattern = where + "/mmstats-lives-XXXXXX";
      if (::mkdtemp(pattern.data()) != nullptr) return pattern;
    }
    throw std::runtime_error("no folder for the test");
  }
  [[nodiscard]] int open(const char* name, int flags) const {
    const int fd = ::open((folder_ + "/" + name).c_str(), flags | O_CLOEXEC, 0644);
    if (fd < 0) throw std::runtime_error(std::string("cannot open ") + name);
    return fd;
  }

  std::string folder_;
};

class LivesWorld {
 public:
  explicit LivesWorld(Ground& made) : ground(made) {
    pid_is_there = {};
    modes.fill(0755);
    put_boot();
    // No history depends on the one before.
    constexpr std::array<timespec, 2> kLongAgo{timespec{1'000'000'000, 0}, timespec{1'000'000'000, 0}};
    for (const int folder : ground.folders) ::futimens(folder, kLongAgo.data());
  }
  LivesWorld(const LivesWorld&) = delete;
  LivesWorld& operator=(const LivesWorld&) = delete;
  ~LivesWorld() {
    for (Life& life : lives) close(life);
    if (wild_mode != 0755) ::fchmod(ground.wild, 0755);
    for (std::size_t i = 0; i < kFolders.size(); ++i) {
      if (modes[i] != 0755) ::fchmod(ground.folders[i], 0755);
    }
    for (int place = 0; place < kPlaces; ++place) {
      if (at[static_cast<std::size_t>(place)] >= 0) ::unlinkat(dir(place), name_of(place).c_str(), 0);
    }
  }

  Ground& ground;
  std::vector<Process> processes;
  std::vector<Life> lives;
  std::vector<Inode> inodes;
  std::array<int, kPlaces> at = [] {
    std::array<int, kPlaces> none{};
    none.fill(-1);
    return none;
  }();  // inodes
  std::array<mode_t, kFolders.size()> modes{};
  mode_t wild_mode = 0755;
  Seconds uptime = 100'000;
  double boot_time = 1'700'000'000;  // Unix seconds
  bool coarse = false;               // stamps of folders

  [[nodiscard]] double unix_time() const { return boot_time + uptime; }
  [[nodiscard]] Process& process_of(const Life& life) {
    return processes[static_cast<std::size_t>(life.process)];
  }
  [[nodiscard]] const Process& process_of(const Life& life) const {
    return processes[static_cast<std::size_t>(life.process)];
  }
  [[nodiscard]] Inode& inode(int index) { return inodes[static_cast<std::size_t>(index)]; }
  [[nodiscard]] bool is_open(int place) const {
    const int folder = folder_of(place);
    return modes[static_cast<std::size_t>(folder)] == 0755 &&
           (folder < 2 || folder == kOut || wild_mode == 0755);
  }
  static bool is_own(std::uint32_t pid) { return pid - kFirstPid < kPids; }
  [[nodiscard]] bool is_there(std::uint32_t pid) const {
    return pid == kInit || (is_own(pid) && pid_is_there[pid - kFirstPid]);
  }

  // The process that has the pid on this machine.
  [[nodiscard]] const Process* holder_of(std::uint32_t pid) const {
    for (auto one = processes.rbegin(); one != processes.rend(); ++one) {
      if (!one->foreign && one->pid == pid) return is_there(pid) ? &*one : nullptr;
    }
    return nullptr;
  }

  int add_process(std::uint32_t pid, bool foreign, bool holds, bool maps) {
    processes.push_back(
        {.pid = pid, .foreign = foreign, .holds = holds, .maps = maps && holds, .start = uptime});
    if (!foreign) {
      pid_is_there.at(pid - kFirstPid) = true;
      Ground::put_process(ground.processes.at(pid - kFirstPid), pid, uptime);
    }
    return static_cast<int>(processes.size()) - 1;
  }

  int add_life(int process, double created, int order) {
    Life life;
    life.process = process;
    life.created = created;
    life.made_at = uptime;
    life.order = order;
    lives.push_back(life);
    return static_cast<int>(lives.size()) - 1;
  }

  // A stamp of its own for every instant: no clock that steps back makes an old one come again.
  double next_created() { return unix_time() + 0.001 * ++made_; }

  // Writes the life's file where it is, as one who has it open, or opens it.
  void write(int index) {
    Life& life = lives[static_cast<std::size_t>(index)];
    fill(index, inode(life.inode).content);
    life.last_write = uptime;
    int fd = life.fd;
    if (fd < 0) {
      const Opened folder(*this, folder_of(inode(life.inode).place));
      fd = ::openat(dir(inode(life.inode).place), name_of(inode(life.inode).place).c_str(),
                    O_WRONLY | O_CLOEXEC);
    }
    put(fd, bytes_of(index));
    if (life.fd < 0) ::close(fd);
  }

  // Damage: only the first fields are there, or nothing. `shown`: fields of counters that stay.
  void cut(int index, bool zeros) {
    Life& life = lives[static_cast<std::size_t>(index)];
    Content& content = inode(life.inode).content;
    fill(index, content);
    std::vector<std::byte> bytes = bytes_of(index);
    if (zeros) {
      content.empty = true;
      bytes.assign(bytes.size(), std::byte{0});
    } else {
      // In the middle of the last field of all, the gauge.
      content.cut = true;
      content.gauge = false;
      bytes.resize(gauge_at_ + 3);
    }
    const Opened folder(*this, folder_of(inode(life.inode).place));
    const int fd = ::openat(dir(inode(life.inode).place), name_of(inode(life.inode).place).c_str(),
                            O_WRONLY | O_TRUNC | O_CLOEXEC);
    put(fd, bytes);
    ::close(fd);
  }

  // A new file of the life takes the place, whoever had it.
  void publish(int index, int place) {
    Life& life = lives[static_cast<std::size_t>(index)];
    const Opened folder(*this, folder_of(place));
    const int fd = ::openat(dir(place), ".new", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    put(fd, bytes_of(index));
    ::renameat(dir(place), ".new", dir(place), name_of(place).c_str());
    stamp(place);
    close(life);
    if (process_of(life).holds && process_of(life).alive) {
      life.fd = fd;
    } else {
      ::close(fd);
    }
    drop(place);
    inodes.push_back({});
    settle(index, static_cast<int>(inodes.size()) - 1, place);
  }

  // The life begins in the file that another one had: it is cut and written anew.
  void take_over(int index, int place) {
    Life& life = lives[static_cast<std::size_t>(index)];
    const Opened folder(*this, folder_of(place));
    const int fd = ::openat(dir(place), name_of(place).c_str(), O_RDWR | O_TRUNC | O_CLOEXEC);
    put(fd, bytes_of(index));
    if (process_of(life).holds) {
      life.fd = fd;
    } else {
      ::close(fd);
    }
    const int taken = at[static_cast<std::size_t>(place)];
    leave(inode(taken).content.life, taken);
    settle(index, taken, place);
  }

  void move(int from, int to) {
    const int moved = at[static_cast<std::size_t>(from)];
    const Opened one(*this, folder_of(from));
    const Opened other(*this, folder_of(to));
    ::renameat(dir(from), name_of(from).c_str(), dir(to), name_of(to).c_str());
    stamp(from);
    stamp(to);
    drop(to);
    at[static_cast<std::size_t>(from)] = -1;
    at[static_cast<std::size_t>(to)] = moved;
    inode(moved).place = to;
    const int life = inode(moved).content.life;
    lives[static_cast<std::size_t>(life)].used |= 1U << static_cast<unsigned>(to);
  }

  void remove(int place) {
    const Opened folder(*this, folder_of(place));
    ::unlinkat(dir(place), name_of(place).c_str(), 0);
    stamp(place);
    drop(place);
  }

  void kill(int process, bool executes) {
    Process& one = processes[static_cast<std::size_t>(process)];
    if (one.alive) one.dead_at = uptime;
    one.alive = false;
    one.executed = executes;
    for (Life& life : lives) {
      if (life.process == process) close(life);
    }
    if (!one.foreign && !executes) {
      pid_is_there.at(one.pid - kFirstPid) = false;
      one.pid_gone_at = uptime;
    }
  }

  void step_clock(double seconds) {
    boot_time += seconds;
    put_boot();
    stepped_ = true;
    for (Life& life : lives) {
      life.steps = true;
      if (boot_time + process_of(life).start > life.created + 1.5) life.steps_forward = true;
    }
  }

  void set_mode(int folder, mode_t mode) {
    modes.at(static_cast<std::size_t>(folder)) = mode;
    ::fchmod(ground.folders.at(static_cast<std::size_t>(folder)), mode);
  }
  void set_wild_mode(mode_t mode) {
    wild_mode = mode;
    ::fchmod(ground.wild, mode);
  }

  // Files that others removed. Returns their inodes.
  std::vector<int> find_removed() {
    std::vector<int> removed;
    for (int place = 0; place < kPlaces; ++place) {
      const int had = at[static_cast<std::size_t>(place)];
      if (had < 0) continue;
      const Opened folder(*this, folder_of(place));
      struct stat info{};
      if (::fstatat(dir(place), name_of(place).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) continue;
      stamp(place);
      drop(place);
      removed.push_back(had);
    }
    return removed;
  }

 private:
  // The folder's rights as its owner needs them, for a while.
  class Opened {
   public:
    Opened(LivesWorld& world, int folder) : world_(world), folder_(static_cast<std::size_t>(folder)) {
      if (world_.modes[folder_] != 0755) ::fchmod(world_.ground.folders[folder_], 0755);
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() {
      if (world_.modes[folder_] != 0755) ::fchmod(world_.ground.folders[folder_], world_.modes[folder_]);
    }

   private:
    LivesWorld& world_;
    std::size_t folder_;
  };

  [[nodiscard]] int dir(int place) const {
    return ground.folders[static_cast<std::size_t>(folder_of(place))];
  }

  void put_boot() const {
    Ground::overwrite(ground.boot,
                      "cpu 1 2 3\nbtime " + std::to_string(static_cast<long long>(boot_time)) + "\n");
  }

  // The folder changed now, by the world's clock.
  void stamp(int place) {
    const auto whole = static_cast<std::int64_t>(unix_time());
    const long unique = coarse && !stepped_ ? 0 : ++stamps_;
    const std::array<timespec, 2> times{timespec{whole, unique}, timespec{whole, unique}};
    ::futimens(dir(place), times.data());
  }

  static void put(int fd, const std::vector<std::byte>& bytes) {
    if (::pwrite(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("cannot write a file of the world");
    }
  }

  static void close(Life& life) {
    if (life.fd >= 0) ::close(life.fd);
    life.fd = -1;
  }

  // `index` is no more in the file `inode`.
  void leave(int index, int left) {
    Life& life = lives[static_cast<std::size_t>(index)];
    // Who has it open writes on, unseen.
    if (life.inode == left && life.fd < 0) life.inode = -1;
  }
  void drop(int place) {
    const int gone = std::exchange(at[static_cast<std::size_t>(place)], -1);
    if (gone < 0) return;
    inode(gone).place = kNowhere;
    leave(inode(gone).content.life, gone);
  }

  void settle(int index, int into, int place) {
    Life& life = lives[static_cast<std::size_t>(index)];
    life.inode = into;
    life.used |= 1U << static_cast<unsigned>(place);
    life.last_write = uptime;
    at[static_cast<std::size_t>(place)] = into;
    inode(into).place = place;
    fill(index, inode(into).content);
  }

  void fill(int index, Content& content) const {
    const Life& life = lives[static_cast<std::size_t>(index)];
    content = {.life = index, .counters = life.counters, .gauge = true};
  }

  std::vector<std::byte> bytes_of(int index) {
    const Life& life = lives[static_cast<std::size_t>(index)];
    const Process& process = process_of(life);
    MadeFile made;
    const auto owner = [&] { made.owner(process.pid, life.created); };
    if (life.order == 0) owner();
    for (int pad = 0; pad < life.pads; ++pad) made.buffered("p" + std::to_string(pad), "I", std::uint32_t{7});
    for (int i = 0; i < kLabels; ++i) {
      if (i == 1 && life.order == 1) owner();
      const Counter& counter = life.counters[static_cast<std::size_t>(i)];
      if (!counter.in) continue;
      const std::string label{'c', static_cast<char>('0' + i)};
      const std::string_view type = kTypes[static_cast<std::size_t>(counter.type)];
      if (type == "d") {
        made.buffered(label, type, static_cast<double>(counter.value));
      } else if (type == "I") {
        made.buffered(label, type, static_cast<std::uint32_t>(counter.value));
      } else {
        made.buffered(label, type, type == "Q" ? counter.value : __builtin_bswap64(counter.value));
      }
    }
    if (life.order == 2) owner();
    if (process.maps) made.text("sys.metadata", "sys.writer\tproperty\t\tmaps the file while it lives", 60);
    gauge_at_ = made.bytes().size();
    made.buffered("g", "q", std::int64_t{1} << (2U * static_cast<unsigned>(index)));
    return made.padded();
  }

  int made_ = 0;
  long stamps_ = 0;
  bool stepped_ = false;
  std::size_t gauge_at_ = 0;
};

}  // namespace lives
