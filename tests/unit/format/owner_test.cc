#include "format/owner.h"

#include <doctest/doctest.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <map>

#include "child_process.h"
#include "descriptors.h"
#include "held_calls.h"
#include "made_file.h"
#include "temporary_folder.h"

using namespace mmstats;
using std::chrono::steady_clock;

namespace {

// A process that waits until it is killed.
struct Child {
  pid_t pid = ::fork();
  Child() {
    if (pid == 0) {
      for (;;) ::pause();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  void die_unwaited() const {
    ::kill(pid, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  }
};

// A folder that looks like procfs: the machine was booted at 1,000,000 and runs 100 ticks a second.
struct MadeProc {
  TemporaryFolder folder;
  MadeProc() { write("stat", "cpu 1 2 3\nbtime 1000000\n"); }
  void write(const std::string& name, const std::string& text) const {
    folder.write(name, std::as_bytes(std::span(text)));
  }
  void process(pid_t pid, int seconds_after_boot) const {
    const auto number = std::to_string(pid);
    boost::filesystem::create_directories(folder / number);
    write(number + "/stat", number + " (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " +
                                std::to_string(seconds_after_boot * ::sysconf(_SC_CLK_TCK)) + " 0 0\n");
  }
};

// fork(), with the pid wanted; -1 if we may not choose.
pid_t fork_as(pid_t pid) {
  clone_args how{};
  how.exit_signal = SIGCHLD;
  how.set_tid = reinterpret_cast<std::uintptr_t>(&pid);
  how.set_tid_size = 1;
  return static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
}

}  // namespace

TEST_CASE("a file says who writes it, under whatever prefix; what nobody can be is not said") {
  const auto said = [](const MadeFile& file) {
    ParsedFile content;
    parse(file.bytes(), content);
    return owner_of(content);
  };
  const Owner full = said(MadeFile()
                              .unbuffered("web.sys.pid", "I", std::uint32_t{17})
                              .unbuffered("web.sys.tid", "q", std::int64_t{18})
                              .unbuffered("web.sys.created", "d", 1.5));
  CHECK(full.pid == 17);
  CHECK(full.tid == 18);
  CHECK(full.created == 1.5);
  CHECK(said(MadeFile().unbuffered("mysys.pid", "I", std::uint32_t{17})).pid == 17);
  CHECK(said(MadeFile().unbuffered("sys.pid", "q", std::int64_t{-1})).pid == 0);
  CHECK(said(MadeFile().unbuffered("sys.pid", "I", std::uint32_t{0xFFFFFFFF})).pid == 0);
  CHECK(said(MadeFile().text("sys.pid", "17", 4)).pid == 0);
  CHECK(said(MadeFile().unbuffered("sys.pid", ">I", std::uint32_t{0x11000000})).pid == 17);
}

TEST_CASE("a process that began before the file is alive, one that began after it is not its owner") {
  Owners owners;
  const auto now = steady_clock::now();
  const auto self = static_cast<std::uint64_t>(::getpid());
  CHECK(owners.state(self, unix_now() + 1, now) == OwnerState::kAlive);
  CHECK(owners.state(self, unix_now() - 86400.0 * 365 * 30, now) == OwnerState::kDead);
}

TEST_CASE("what cannot be known is unknown") {
  Owners owners;
  const auto now = steady_clock::now();
  const auto self = static_cast<std::uint64_t>(::getpid());
  CHECK(owners.state(0, unix_now(), now) == OwnerState::kUnknown);
  CHECK(owners.state(0xFFFFFFFF, unix_now(), now) == OwnerState::kUnknown);
  CHECK(owners.state(self, 0, now) == OwnerState::kUnknown);
  CHECK(owners.state(self, -5, now) == OwnerState::kUnknown);
  const TemporaryFolder empty;
  Owners without_proc(empty.path());
  CHECK(without_proc.state(self, unix_now(), now) == OwnerState::kUnknown);
}

TEST_CASE("a process that ended is dead, waited for or not") {
  Owners owners;
  const auto now = steady_clock::now();
  std::uint64_t pid = 0;
  {
    Child child;
    pid = static_cast<std::uint64_t>(child.pid);
    CHECK(owners.state(pid, unix_now() + 1, now) == OwnerState::kAlive);
    child.die_unwaited();
    // Its state is read again after a while; until then its pid stands for it.
    CHECK(owners.state(pid, unix_now() + 1, now + Owners::kRecheck) == OwnerState::kDead);
    CHECK(owners.state(pid, unix_now() + 1, now + Owners::kRecheck + std::chrono::seconds(1)) ==
          OwnerState::kDead);
  }
  CHECK(owners.state(pid, unix_now() + 1, now + Owners::kRecheck + std::chrono::seconds(2)) ==
        OwnerState::kDead);
}

TEST_CASE("a command that looks like the fields after it changes nothing") {
  // Fields of /proc/PID/stat are counted from the last parenthesis, as a command may hold any.
  const TemporaryFolder proc;
  const auto self = std::to_string(::getpid());
  boost::filesystem::create_directories(proc / self);
  const auto write = [&](const std::string& name, const std::string& text) {
    proc.write(name, std::as_bytes(std::span(text)));
  };
  write("stat", "cpu 1 2 3\nbtime 1000000\n");
  // Began 50 s after boot at 100 scans a second.
  write(self + "/stat", self + " (a) Z (b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 0\n");
  Owners owners(proc.path());
  const auto pid = static_cast<std::uint64_t>(::getpid());
  const auto now = steady_clock::now();
  CHECK(owners.state(pid, 1000060, now) == OwnerState::kAlive);
  CHECK(owners.state(pid, 1000040, now) == OwnerState::kDead);
}

TEST_CASE("asking again and again leaves no descriptor open, and programs inherit none") {
  const MadeProc proc;
  proc.process(::getpid(), 50);
  Owners owners(proc.folder.path());
  const auto before = open_descriptors();
  const auto inherited = inherited_descriptors();
  auto now = steady_clock::now();
  const auto pid = static_cast<std::uint64_t>(::getpid());
  for (int i = 0; i < 50; ++i, now += Owners::kRecheck) {
    CHECK(owners.state(pid, 1000060, now) == OwnerState::kAlive);
  }
  CHECK(open_descriptors() == before);
  if (!held::while_held(
          SYS_read, held::kAtEach, [&] { owners.state(pid, 1000060, now); },
          [&] {
            CHECK(inherited_descriptors() == inherited);
            CHECK(open_descriptors().size() > before.size());
          }))
    return;
}

TEST_CASE("a start is read again after a while, and not before") {
  const MadeProc proc;
  proc.process(::getpid(), 50);
  Owners owners(proc.folder.path());
  const auto pid = static_cast<std::uint64_t>(::getpid());
  const auto now = steady_clock::now();
  CHECK(owners.state(pid, 1000060, now) == OwnerState::kAlive);
  proc.process(::getpid(), 70);
  CHECK(owners.state(pid, 1000060, now + Owners::kRecheck - std::chrono::nanoseconds(1)) ==
        OwnerState::kAlive);
  CHECK(owners.state(pid, 1000060, now + Owners::kRecheck) == OwnerState::kDead);
  // Two roundings: a process is the owner of a file that seems to be made up to two seconds before it began.
  CHECK(owners.state(pid, 1000068, now + Owners::kRecheck) == OwnerState::kAlive);
  CHECK(owners.state(pid, 1000067.9, now + Owners::kRecheck) == OwnerState::kDead);
}

TEST_CASE("a new life is known by the start that its process has now, not by one that was read before") {
  const MadeProc proc;
  const auto always_there = [](pid_t, int) { return 0; };
  const auto nobody_knows = [] { return Writers{}; };
  Owners owners(proc.folder.path(), always_there);
  const auto now = steady_clock::now();
  using std::chrono::seconds;
  constexpr pid_t kPid = 50;
  const Owner first{.pid = kPid, .tid = 0, .created = 1000060, .mapped = false};
  const Owner second{.pid = kPid, .tid = 0, .created = 1000082, .mapped = false};
  OwnerMemory of_first;
  OwnerMemory of_second;
  proc.process(kPid, 60);
  CHECK(owners.of_file(first, of_first, true, now, nobody_knows) == OwnerState::kAlive);
  proc.process(kPid, 80);  // unseen between two scans
  for (const int later : {10, 20, 40, 80}) {
    CHECK(owners.of_file(second, of_second, true, now + seconds(later), nobody_knows) == OwnerState::kAlive);
    CHECK(owners.of_file(first, of_first, true, now + seconds(later), nobody_knows) == OwnerState::kDead);
  }
}

TEST_CASE("the process that has a dead one's pid is not taken for it, however soon it comes") {
  const MadeProc proc;
  ChildProcess outside([&] {
    if (::unshare(CLONE_NEWPID) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
      ::_exit(ChildProcess::kSkipped);
    }
    ChildProcess inside([&] {
      constexpr pid_t kPid = 50;
      const auto born = [&](int seconds_after_boot) {
        proc.process(kPid, seconds_after_boot);
        const pid_t pid = fork_as(kPid);
        if (pid < 0) ::_exit(ChildProcess::kSkipped);
        if (pid == 0) {
          for (;;) ::pause();
        }
      };
      Owners owners(proc.folder.path());
      const auto now = steady_clock::now();
      born(50);
      must(owners.state(kPid, 1000060, now) == OwnerState::kAlive);
      ::kill(kPid, SIGKILL);
      must(::waitpid(kPid, nullptr, 0) == kPid);
      must(owners.state(kPid, 1000060, now + std::chrono::seconds(1)) == OwnerState::kDead);
      born(5000);
      must(owners.state(kPid, 1000060, now + std::chrono::seconds(2)) == OwnerState::kDead);
      must(owners.state(kPid, 1005060, now + std::chrono::seconds(2)) == OwnerState::kAlive);
    });
    ::_exit(inside.wait());
  });
  const int status = outside.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: we cannot choose a process's pid");
  } else {
    CHECK(status == 0);
  }
}

namespace {

// Processes as a test wants them; kill(2) asks here.
std::map<pid_t, bool> made_pids;
int signal_made(pid_t pid, int) {
  if (made_pids.contains(pid)) return 0;
  errno = ESRCH;
  return -1;
}

constexpr pid_t kPid = 4711;
constexpr double kBoot = 1'000'000;  // of MadeProc

struct MadeWorld {
  MadeProc proc;
  Owners owners{proc.folder.path(), signal_made};
  OwnerMemory memory;
  Writers writers{.any = HasWriter::kNo, .sees_mappings = true};
  int asked = 0;  // for writers
  Owner owner{.pid = kPid, .created = kBoot + 100};
  steady_clock::time_point now = steady_clock::now();

  MadeWorld() { made_pids.clear(); }

  void run(int seconds_after_boot) {
    made_pids[kPid] = true;
    proc.process(kPid, seconds_after_boot);
  }
  OwnerState state(bool stands_still = true, std::chrono::seconds later = std::chrono::seconds(31)) {
    now += later;
    return owners.of_file(owner, memory, stands_still, now, [&] {
      ++asked;
      return writers;
    });
  }
};

}  // namespace

TEST_CASE("steps of the clock make nobody dead who was seen alive, and nobody who writes") {
  MadeWorld world;
  world.run(50);
  CHECK(world.state() == OwnerState::kAlive);
  for (const int step : {-100'000, 100, 100'000}) {
    world.proc.write("stat", "cpu 1 2 3\nbtime " + std::to_string(1'000'000 + step) + "\n");
    CHECK(world.state() == OwnerState::kAlive);
  }
  world.run(90);  // another process with its pid, which began before the file was made
  CHECK(world.state() == OwnerState::kDead);

  // With a clock of its own, and so never seen alive.
  world.memory = {};
  world.owner.created = kBoot - 90 * 86400.0;
  world.writers.any = HasWriter::kYes;
  CHECK(world.state() == OwnerState::kUnknown);
  made_pids.clear();
  world.writers = {.any = HasWriter::kNo, .sees_mappings = true};
  CHECK(world.state() == OwnerState::kDead);
}

TEST_CASE("whose pid lives on is dead once nobody can write the file any more, if the kernel would know") {
  struct Row {
    const char* what;
    bool was_written;
    bool says_mapped;
    bool sees_mappings;
    HasWriter now;
    bool stands_still;
    OwnerState want;
  };
  using enum OwnerState;
  for (const Row& row : {
           Row{"written until now, by a container", true, false, true, HasWriter::kNo, true, kDead},
           Row{"says that it is mapped", false, true, true, HasWriter::kNo, true, kDead},
           Row{"nobody was ever seen to write it: perhaps it is published by rename", false, false, true,
               HasWriter::kNo, true, kAlive},
           Row{"on a file system that does not see mappings", true, true, false, HasWriter::kNo, true,
               kAlive},
           Row{"still written", true, true, true, HasWriter::kYes, true, kAlive},
           Row{"we may not ask", true, true, false, HasWriter::kUnknown, true, kAlive},
           Row{"it changed since the last scan", true, true, true, HasWriter::kNo, false, kAlive},
       }) {
    CAPTURE(row.what);
    MadeWorld world;
    world.run(1);
    world.owner.mapped = row.says_mapped;
    if (row.was_written) {
      world.writers = {.any = HasWriter::kYes};
      CHECK(world.state() == kAlive);
    }
    world.writers = {.any = row.now, .sees_mappings = row.sees_mappings};
    CHECK(world.state(row.stands_still) == row.want);
    // And so it stays, until somebody writes it again.
    if (row.want != kDead) continue;
    CHECK(world.state(true, std::chrono::seconds(1)) == kDead);
    world.writers = {.any = HasWriter::kYes};
    CHECK(world.state() == kAlive);
  }
}

TEST_CASE("a file that stands still is asked about again within 30 s, and not all files at once") {
  std::map<int, int> asked_in;
  for (int file = 0; file < 200; ++file) {
    MadeWorld world;
    world.run(1);
    // The other files' questions before this one's.
    for (int other = 0; other < file; ++other) {
      OwnerMemory memory;
      world.owners.of_file(world.owner, memory, true, world.now, [] { return Writers{}; });
    }
    world.state(true, std::chrono::seconds(0));
    REQUIRE(world.asked == 1);
    int second = 0;
    while (world.asked == 1 && second < 31) {
      world.state(true, std::chrono::seconds(1));
      ++second;
    }
    CHECK(second <= 30);
    CHECK(second >= 15);
    ++asked_in[second];
  }
  for (const auto& [second, files] : asked_in) CHECK(files <= 40);
}

namespace {

int nobody_lives(pid_t /*pid*/, int /*signal*/) {
  errno = ESRCH;
  return -1;
}
int all_live(pid_t /*pid*/, int /*signal*/) { return 0; }

}  // namespace

TEST_CASE("many owners cost each scan as much as few: those of the last scan are looked over once") {
  constexpr int kPids = 60'000;
  constexpr int kScans = 4;
  Owners owners("/nowhere", nobody_lives);
  const auto begin = steady_clock::now();
  int dead = 0;
  for (int scan = 0; scan < kScans; ++scan) {
    // Half of them are others each time.
    for (int pid = 1; pid <= kPids; ++pid) {
      const auto state = owners.state(static_cast<std::uint64_t>(pid + scan * kPids / 2), 1,
                                      begin + scan * std::chrono::seconds(1));
      dead += state == OwnerState::kDead ? 1 : 0;
    }
  }
  CHECK(dead == kPids * kScans);
  CHECK(owners.looked_over() > 0);
  CHECK(owners.looked_over() <= std::uint64_t{2} * kPids * kScans);
}

TEST_CASE("many owners are remembered from one scan to the next, and forgotten when nobody asks for them") {
  constexpr std::uint64_t kPids = 60'000;
  const MadeProc proc;
  proc.process(kPids, 1000);
  Owners owners(proc.folder.path(), all_live);
  const auto begin = steady_clock::now();
  const auto scan = [&](int number, std::uint64_t first) {
    const auto now = begin + number * std::chrono::seconds(1);
    for (std::uint64_t pid = first; pid < first + kPids; ++pid) owners.state(pid, 1'001'500, now);
    return owners.state(kPids, 1'001'500, now);
  };
  CHECK(scan(0, 1) == OwnerState::kAlive);
  // Its start is not read again so soon, if it is known.
  proc.process(kPids, 2000);
  CHECK(scan(1, 1) == OwnerState::kAlive);
  CHECK(scan(2, 1) == OwnerState::kAlive);
  const auto of_others = [&](int number) {
    const auto now = begin + number * std::chrono::seconds(1);
    for (std::uint64_t pid = 2 * kPids; pid < 3 * kPids; ++pid) owners.state(pid, 1'001'500, now);
  };
  of_others(3);
  of_others(4);
  CHECK(owners.state(kPids, 1'001'500, begin + std::chrono::seconds(5)) == OwnerState::kDead);
}
