// One answer about the owner of a file: from the pid, its process's start, and who writes the file.
#include "collect/processes.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <optional>

#include "base/descriptor.h"
#include "collect/discover.h"
#include "collect/watch.h"
#include "made_file.h"
#include "mmstats/parse.h"
#include "temporary_folder.h"
#include "unused_pid.h"

using namespace mmstats;
using namespace std::chrono_literals;
using enum OwnerState;
using std::chrono::steady_clock;

namespace {

// A process that has ended, and nobody waited for it until this goes.
struct Zombie {
  pid_t pid = ::fork();
  Zombie() {
    if (pid == 0) ::_exit(0);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  }
  Zombie(const Zombie&) = delete;
  Zombie& operator=(const Zombie&) = delete;
  ~Zombie() { ::waitpid(pid, nullptr, 0); }
};

Writers nobody() { return {.any = HasWriter::kNo, .sees_mappings = true}; }
Writers somebody() { return {.any = HasWriter::kYes}; }
Writers who_knows() { return {}; }

// The state of a file's owner, of whom nothing is known but whether he was alive.
OwnerState first_answer(Owners& owners, std::uint64_t pid, bool was_alive, Writers (*writers_of)()) {
  OwnerMemory memory;
  memory.was_alive = was_alive;
  return owners.of_file({.pid = pid, .created = unix_now()}, memory, true, steady_clock::now(), writers_of);
}

}  // namespace

TEST_CASE("the owner of a file is judged by pid, start and writer, and by all in the same way") {
  const Zombie zombie;
  const auto id = [](pid_t pid) { return static_cast<std::uint64_t>(pid); };
  struct Row {
    const char* name;
    std::uint64_t pid;
    double created;
    bool written;
    OwnerState want;
  };
  for (const Row& row : {
           Row{"alive", id(::getpid()), unix_now() + 60, false, kAlive},
           Row{"alive and writing", id(::getpid()), unix_now() + 60, true, kAlive},
           Row{"dead", kUnusedPid, unix_now(), false, kDead},
           Row{"of another pid namespace, with the file open for writing", kUnusedPid, unix_now(), true,
               kUnknown},
           Row{"a recycled pid", id(::getpid()), 1, false, kDead},
           Row{"a recycled pid, with the file open for writing", id(::getpid()), 1, true, kUnknown},
           Row{"a zombie", id(zombie.pid), unix_now() + 60, false, kDead},
           Row{"no pid", 0, unix_now(), false, kUnknown},
           Row{"no time of creation", id(::getpid()), 0, false, kUnknown},
       }) {
    CAPTURE(row.name);
    TemporaryFolder folder;
    MadeFile made;
    made.buffered("hits", "I", std::uint32_t{1});
    if (row.pid != 0) made.owner(static_cast<std::uint32_t>(row.pid), row.created);
    folder.write("a.mmstats", made.padded());
    Descriptor writer;
    if (row.written) writer = Descriptor(::open((folder / "a.mmstats").c_str(), O_RDWR | O_CLOEXEC));

    Discovery discovery({folder / "*.mmstats"});
    discovery.scan(std::chrono::system_clock::now());
    REQUIRE(discovery.files().size() == 1);
    const FileKey key = discovery.files()[0];
    Processes processes;
    processes.begin(steady_clock::now());
    processes.add(discovery.path(key), discovery.id(key), {.pid = row.pid, .created = row.created},
                  [&] { return discovery.writers(key); });
    REQUIRE(processes.all().size() == 1);
    CHECK(to_string(processes.all()[0].state) == to_string(row.want));

    // What plugins see: values of the dead do not count.
    Watch watch({.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}}, Rules{});
    watch.scan(std::chrono::system_clock::now(), steady_clock::now());
    CHECK(watch.stats().dead == (row.want == kDead ? 1 : 0));
  }
}

TEST_CASE("a start that cannot be read is unknown, and a pid that does not exist is dead all the same") {
  TemporaryFolder no_proc;
  Owners owners(no_proc / "nothing");
  CHECK(first_answer(owners, static_cast<std::uint64_t>(::getpid()), false, nobody) == kUnknown);
  CHECK(first_answer(owners, kUnusedPid, false, nobody) == kDead);
}

TEST_CASE(
    "who was seen alive is believed dead whoever has the file, and a writer that is not known is none") {
  Owners owners;
  CHECK(first_answer(owners, kUnusedPid, true, somebody) == kDead);
  CHECK(first_answer(owners, kUnusedPid, false, somebody) == kUnknown);
  CHECK(first_answer(owners, kUnusedPid, false, who_knows) == kDead);
}

TEST_CASE("processes remember for a life who was alive") {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  const Owner owner{.pid = static_cast<std::uint64_t>(child), .created = unix_now() + 60};
  Processes processes;
  const auto state = [&](const FileId& file, steady_clock::duration later) {
    processes.begin(steady_clock::now() + later);
    processes.add("a", file, owner, somebody);
    return processes.all().front().state;
  };
  CHECK(state({1, 1}, 0s) == kAlive);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(state({1, 1}, 1s) == kDead);
  CHECK(state({1, 1}, 2s) == kDead);
  CHECK(state({1, 2}, 3s) == kUnknown);  // another file, never seen with a living owner
}

TEST_CASE("a life is of one file and one start, and is forgotten with its file") {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  const auto pid = static_cast<std::uint64_t>(child);
  const double created = unix_now() + 60;
  Processes processes;
  auto now = steady_clock::now();
  const auto state = [&](const FileId& file, double start) {
    processes.add("a", file, {.pid = pid, .created = start}, somebody);
    return processes.all().back().state;
  };
  processes.begin(now);
  CHECK(state({1, 1}, created) == kAlive);
  CHECK(state({1, 2}, created) == kAlive);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  processes.begin(now += 1s);
  CHECK(state({1, 1}, created) == kDead);
  processes.begin(now += 1s);
  CHECK(state({1, 1}, created + 1) == kUnknown);
  CHECK(state({2, 1}, created) == kUnknown);
  // It was not met since, so nothing is known of it any more.
  processes.begin(now += 1s);
  CHECK(state({1, 2}, created) == kUnknown);
  processes.begin(now += 1s);
  CHECK(state({1, 1}, created) == kUnknown);
}

TEST_CASE("a process is alive if one of its files says enough, whichever comes first") {
  const auto pid = static_cast<std::uint64_t>(::getpid());
  const double now = unix_now() + 60;
  Processes processes;
  processes.begin(steady_clock::now());
  CHECK(processes.add("a", {1, 1}, {.pid = pid}, nobody) == 0);
  CHECK(processes.all()[0].state == kUnknown);
  CHECK(processes.all()[0].created == 0);
  CHECK(processes.add("b", {1, 2}, {.pid = pid, .created = now}, nobody) == 0);
  CHECK(processes.all()[0].state == kAlive);
  CHECK(processes.all()[0].created == now);
  CHECK(processes.add("c", {1, 3}, {.pid = pid}, nobody) == 0);
  CHECK(processes.all()[0].state == kAlive);
  CHECK(processes.all()[0].created == now);
}

TEST_CASE("a pid that no process can have is not asked for, whatever its low bits are") {
  const auto self = static_cast<std::uint64_t>(::getpid());
  Owners owners;
  const auto now = steady_clock::now();
  for (const std::uint64_t high :
       {std::uint64_t{1} << 31U, std::uint64_t{1} << 32U, std::uint64_t{1} << 63U}) {
    CHECK(owners.state(high | self, unix_now() + 60, now) == kUnknown);
    CHECK(owners.state(high | self, 1, now) == kUnknown);
  }
  CHECK(owners.state(self, unix_now() + 60, now) == kAlive);
}

TEST_CASE("files are put together by process, and those of an earlier one with its pid are not") {
  const auto pid = static_cast<std::uint64_t>(::getpid());
  const double now = unix_now() + 60;
  Processes processes;
  processes.begin(steady_clock::now());
  CHECK(processes.add("a", {1, 1}, {.pid = pid, .created = now}, nobody) == 0);
  CHECK(processes.add("b", {1, 2}, {.pid = pid, .created = 1}, nobody) == 1);
  CHECK(processes.add("c", {1, 3}, {.pid = pid, .created = now - 1}, nobody) == 0);
  CHECK(processes.add("d", {1, 4}, {.pid = pid}, nobody) == 0);
  CHECK(processes.add("e", {1, 5}, {}, nobody) == 2);
  CHECK(processes.add("f", {1, 6}, {}, nobody) == 3);
  const auto& all = processes.all();
  REQUIRE(all.size() == 4);
  CHECK(all[0].id == ProcessId{pid, {}, false});
  CHECK(all[0].files == 3);
  CHECK(all[0].created == now - 1);
  CHECK(all[0].state == kAlive);
  CHECK(all[1].id == ProcessId{pid, {}, true});
  CHECK(all[2].id == ProcessId{0, "e"});
}
