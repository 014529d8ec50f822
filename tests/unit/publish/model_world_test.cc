// A world that gives our writers no space, no rights, no descriptors and no memory, or that has other things
// under their names: a program goes on, is told why once, and nobody's data is lost.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "collect/discover.h"
#include "folder_content.h"
#include "held_calls.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "patience.h"
#include "publish/region.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

std::atomic<bool> clock_stands{false};

using Names = std::vector<std::string>;

constexpr uid_t kSomebody = 65534;

void write_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string text_in(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A program with all that is kept for a thread, and what it was told.
struct Program {
  std::vector<Error> told;
  Model model;
  Counter count{model, "count"};
  SharedCounter shared{model, "shared"};
  Histogram sizes{model, "sizes"};
  StringField state{model, "state"};

  explicit Program(ModelOptions options) : model(with_ears(std::move(options))) {}
  explicit Program(const std::string& folder, const std::string& name = "{PID}-{TID}.mmstats")
      : Program(ModelOptions{.path = folder, .file_name = name}) {}

  // False: it does not read what it wrote.
  bool writes() {
    const auto before = count.value();
    count.incr();
    shared.incr();
    sizes.add(2.5);
    state = "running";
    return count.value() == before + 1 && state.value() == "running";
  }

 private:
  ModelOptions with_ears(ModelOptions options) {
    options.on_error = [this](const Error& error) { told.push_back(error); };
    return options;
  }
};

// A program that gets no file, and is told so once, however many threads it has.
void must_run_without_file(const std::string& folder, ErrorKind why, bool has_threads = true) {
  const auto before = names_in(folder);
  Program program(folder);
  must(program.writes());
  must(program.told.size() == 1);
  must(program.told[0].kind == why);
  must(!program.told[0].message.empty());
  must(program.writes());
  if (has_threads) std::thread([&] { must(program.writes()); }).join();
  must(program.told.size() == 1);
  must(!program.model.open());
  must(program.model.paths().empty());
  must(names_in(folder) == before);
}

void set_limit(__rlimit_resource resource, rlim_t limit) {
  const rlimit both{limit, limit};
  must(::setrlimit(resource, &both) == 0);
}

[[maybe_unused]] rlim_t used_address_space() {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  return pages * 4096;
}

// In a mount namespace of our own: `folder` becomes a file system of so many bytes.
void mount_small(const std::string& folder, const char* size) {
  const auto uid = ::getuid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ::_exit(ChildProcess::kSkipped);
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  }
  const auto options = std::string("size=") + size;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("mmstats-test", folder.c_str(), "tmpfs", 0, options.c_str()) != 0) {
    ::_exit(ChildProcess::kSkipped);
  }
}

// Leaves no block free.
void fill_up(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  must(fd >= 0);
  const std::vector<char> page(4096);
  while (::write(fd, page.data(), page.size()) > 0) {
  }
  must(errno == ENOSPC);
  ::close(fd);
}

// A writer of the file `name`, which counted to `count` and lives until it is killed.
ChildProcess other_writer(const std::string& folder, const std::string& name, std::uint64_t count) {
  const SharedMemory<std::atomic<bool>> wrote;
  ChildProcess other([&] {
    Model model({.path = folder, .file_name = name});
    Counter counter(model, "count");
    counter.incr(count);
    *wrote = true;
    for (;;) ::pause();
  });
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!*wrote && std::chrono::steady_clock::now() < deadline) ::sched_yield();
  REQUIRE(*wrote);
  return other;
}

// Whether a program's memory can be limited. An emulator's is its own as well, and qemu leaves such limits
// out.
[[maybe_unused]] bool may_limit_memory() {
  const bool may = ChildProcess([] {
                     const rlimit wanted{1, RLIM_INFINITY};
                     rlimit found{};
                     must(::setrlimit(RLIMIT_DATA, &wanted) == 0 && ::getrlimit(RLIMIT_DATA, &found) == 0);
                     ::_exit(found.rlim_cur == wanted.rlim_cur ? 0 : ChildProcess::kSkipped);
                   }).wait() != ChildProcess::kSkipped;
  if (!may) MESSAGE("skipped: the system does not limit this program's memory");
  return may;
}

double count_in(const std::string& path) { return FileContent(path).numbers["count"]; }

}  // namespace

// The clock of this program, libraries included (so it is visible): names of temporary files are made with
// it. Otherwise it is the C library's, which makes no system call: other tests count on that.
extern "C" [[gnu::visibility("default")]] int clock_gettime(clockid_t clock, timespec* time) {
  if (clock_stands) {
    *time = {1, 1};
    return 0;
  }
  using Clock = int (*)(clockid_t, timespec*);
  static const auto real = reinterpret_cast<Clock>(::dlsym(RTLD_NEXT, "clock_gettime"));
  return real(clock, time);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // They need terabytes of addresses.
// The first case, as memory of Models that are gone is used again.
TEST_CASE("without memory values are lost, which is told, and no file is left behind") {
  if (!may_limit_memory()) return;
  const TemporaryFolder folder;
  struct Limit {
    const char* name;
    __rlimit_resource resource;
  };
  // The first leaves no addresses for a file, the second no memory beside it.
  for (const auto& limit : {Limit{"RLIMIT_AS", RLIMIT_AS}, Limit{"RLIMIT_DATA", RLIMIT_DATA}}) {
    CAPTURE(limit.name);
    ChildProcess child([&] {
      std::vector<Error> told;
      told.reserve(10);
      Model model({.path = folder.path(), .on_error = [&](const Error& error) { told.push_back(error); }});
      Counter count(model, "count");
      MovingAverage mean(model, "mean", {}, 65'536);
      StringField state(model, "state");
      set_limit(limit.resource, limit.resource == RLIMIT_AS ? used_address_space() + (4U << 20U) : 0);
      for (int i = 0; i < 3; ++i) {
        count.incr();
        mean.add(1);
        state = "running";
        must(told.size() == 1);
      }
      must(told[0].kind == ErrorKind::kLimit);
      must(told[0].sys_errno == ENOMEM);
      must(!model.open());
    });
    CHECK(child.wait() == 0);
  }
}

TEST_CASE("addresses that there was no memory for are those of the next") {
  if (!may_limit_memory()) return;
  const TemporaryFolder folder;
  ChildProcess child([&] {
    int told = 0;
    struct Large : Model {
      explicit Large(ModelOptions options) : Model(std::move(options)) {}
      MovingAverage mean{*this, "mean", {}, 65'536};
    };
    std::deque<Large> many;
    for (int i = 0; i < 20; ++i) {
      many.emplace_back(ModelOptions{.path = folder.path(), .on_error = [&](const Error&) { ++told; }});
    }
    const auto before = used_address_space();
    const rlimit none{1, RLIM_INFINITY};
    const rlimit any{RLIM_INFINITY, RLIM_INFINITY};
    must(::setrlimit(RLIMIT_DATA, &none) == 0);
    for (auto& one : many) one.mean.add(1);
    must(::setrlimit(RLIMIT_DATA, &any) == 0);
    must(told == 20);
    must(names_in(folder.path()).empty());
    // Those of one, and not of twenty.
    must(used_address_space() - before < 2 * (RegionSize{}.file + RegionSize{}.memory));
  });
  CHECK(child.wait() == 0);
}
#endif

TEST_CASE("on a full disk a program runs without a file") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    mount_small(folder.path(), "64k");
    fill_up(folder / "filler");
    must_run_without_file(folder.path(), ErrorKind::kLimit);
  });
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us mount no file system of our own");
    return;
  }
  CHECK(status == 0);
}

TEST_CASE("fields that a full disk has no room for work, and those before them stay published") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    mount_small(folder.path(), "128k");
    Program program(folder.path());
    must(program.writes());
    fill_up(folder / "filler");
    // Each needs most of a page.
    std::vector<Counter> more;
    const std::string long_word(1500, 'x');
    for (int i = 0; i < 5; ++i) {
      more.emplace_back(program.model, "more" + std::to_string(i) + long_word);
      more.back().incr(7);
      must(more.back().value() == 7);
    }
    must(program.told.size() >= 1 && program.told.size() <= 5);
    must(program.told[0].kind == ErrorKind::kLimit);
    must(program.told[0].sys_errno == ENOSPC);
    must(program.writes());
    auto files = content_of(folder.path());
    must(files.size() == 2);
    for (const auto& file : files) must(file.wrong.empty());
    must(sum_of(files, "count") == 2);
    must(sum_of(files, "more4" + long_word) == 0);

    // A thread that starts when there is room again has all of them.
    ::unlink((folder / "filler").c_str());
    std::thread([&] {
      for (auto& field : more) field.incr(1);
      files = content_of(folder.path());
      must(sum_of(files, "more4" + long_word) == 1);
    }).join();
  });
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us mount no file system of our own");
    return;
  }
  CHECK(status == 0);
}

TEST_CASE("a limit of file sizes ends no program") {
  const TemporaryFolder folder;
  ChildProcess before([&] {
    set_limit(RLIMIT_FSIZE, 1024);
    must_run_without_file(folder.path(), ErrorKind::kLimit);
  });
  CHECK(before.wait() == 0);

  ChildProcess later([&] {
    Program program(folder.path());
    must(program.writes());
    set_limit(RLIMIT_FSIZE, 4096);
    for (int i = 0; i < 5; ++i) {
      Counter counter(program.model, std::to_string(i) + std::string(1500, 'x'));
      counter.incr(3);
      must(counter.value() == 3);
    }
    must(!program.told.empty());
    must(program.told[0].kind == ErrorKind::kLimit);
    for (const auto& file : content_of(folder.path())) must(file.wrong.empty());
  });
  CHECK(later.wait() == 0);
}

TEST_CASE("a file may be as large as the limit of file sizes") {
  const TemporaryFolder folder;
  std::uintmax_t size = 0;
  {
    Program program(folder.path());
    CHECK(program.writes());
    for (const auto& path : program.model.paths()) size = std::max(size, std::filesystem::file_size(path));
  }
  ChildProcess child([&] {
    set_limit(RLIMIT_FSIZE, size);
    Program program(folder.path());
    must(program.writes());
    must(program.told.empty());
    must(program.model.paths().size() == 2);
    must(sum_of(content_of(folder.path()), "count") == 1);
  });
  CHECK(child.wait() == 0);
}

TEST_CASE(
    "a disk that takes no values is told with the first file, and the others are written all the same") {
  const TemporaryFolder folder;
  Program program(folder.path());
  CHECK(program.writes());
  const auto paths = program.model.paths();
  REQUIRE(paths.size() == 2);
  for (const auto how : {Flush::kSync, Flush::kAsync}) {
    if (!held::while_failing(SYS_msync, EIO, [&] {
          const auto flushed = program.model.flush(how);
          CHECK_FALSE(flushed.has_value());
          if (flushed) return;
          CHECK(flushed.error().kind == ErrorKind::kIo);
          CHECK(flushed.error().sys_errno == EIO);
          CHECK(flushed.error().path == paths[0]);
        }))
      return;
    int calls = 0;
    if (!held::while_held(
            SYS_msync, held::kAtEach, [&] { CHECK(program.model.flush(how).has_value()); }, [&] { ++calls; }))
      return;
    CHECK(calls == 2);
  }
  CHECK(program.told.empty());
}

TEST_CASE("without permission a program runs without a file") {
  const TemporaryFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0555) == 0);
  ChildProcess child([&] {
    if (::getuid() == 0) must(::setgid(65534) == 0 && ::setuid(65534) == 0);
    must_run_without_file(folder.path(), ErrorKind::kDenied);
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("a folder that is missing, or none, is told once") {
  const TemporaryFolder folder;
  write_text(folder / "file", "");
  for (const auto* name : {"missing", "file"}) {
    CAPTURE(name);
    Program program(folder / name);
    CHECK(program.writes());
    CHECK(program.writes());
    REQUIRE(program.told.size() == 1);
    CHECK(program.told[0].kind == ErrorKind::kNotFound);
    CHECK(program.told[0].path.starts_with(folder / name));
  }
}

TEST_CASE("a folder that vanishes takes nothing from the program") {
  const TemporaryFolder parent;
  const auto folder = parent / "folder";
  boost::filesystem::create_directory(folder);
  {
    Program program(folder);
    CHECK(program.writes());
    boost::filesystem::remove_all(folder);
    CHECK(program.writes());
    CHECK(program.told.empty());
    std::thread([&] { CHECK(program.writes()); }).join();
    REQUIRE(program.told.size() == 1);
    CHECK(program.told[0].kind == ErrorKind::kNotFound);
    for (int i = 0; i < 5; ++i) {
      Counter counter(program.model, std::to_string(i) + std::string(1500, 'x'));
      counter.incr(3);
      CHECK(counter.value() == 3);
    }
    CHECK(program.writes());
    const auto flushed = program.model.flush();
    REQUIRE_FALSE(flushed);
    CHECK(flushed.error().kind == ErrorKind::kNotFound);
  }
  CHECK(names_in(parent.path()).empty());
}

TEST_CASE("a file that another one has replaced gets no more fields, and is not removed with the Model") {
  const TemporaryFolder folder;
  {
    Program program(ModelOptions{.path = folder.path(), .file_name = "{TID}.mmstats"});
    CHECK(program.writes());
    for (const auto& path : program.model.paths()) {
      write_text(folder / "new", "another's");
      boost::filesystem::rename(folder / "new", path);
    }
    for (int i = 0; i < 5; ++i) Counter(program.model, std::to_string(i) + std::string(1500, 'x')).incr();
    CHECK(program.writes());
    CHECK(!program.told.empty());
  }
  const auto names = names_in(folder.path());
  CHECK(names.size() == 2);
  for (const auto& name : names) CHECK(text_in(folder / name) == "another's");
}

TEST_CASE("without a descriptor to spare a program runs without a file") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    const rlimit none{0, 4096};
    const auto before = names_in(folder.path());
    Program program(folder.path());
    must(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    must(program.writes());
    must(program.told.size() == 1);
    must(program.told[0].kind == ErrorKind::kLimit);
#if !defined(__SANITIZE_ADDRESS__)  // What comes with it needs descriptors to look at a thread's beginning.
    std::thread([&] { must(program.writes()); }).join();
    must(program.told.size() == 1);
#endif
    const rlimit some{4096, 4096};
    must(::setrlimit(RLIMIT_NOFILE, &some) == 0);
    must(names_in(folder.path()) == before);
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("files take no descriptors from a program") {
  const TemporaryFolder folder;
  const auto before = names_in("/proc/self/fd").size();
  Program program(folder.path());
  CHECK(program.writes());
  CHECK(program.model.paths().size() == 2);
  CHECK(names_in("/proc/self/fd").size() == before);
}

TEST_CASE("processes with one name get one file each") {
  const TemporaryFolder folder;
  const auto first = other_writer(folder.path(), "web.mmstats", 5);
  const auto second = other_writer(folder.path(), "web.mmstats", 7);
  const auto third = other_writer(folder.path(), "web.mmstats", 9);
  CHECK(names_in(folder.path()) == Names{"web.1.mmstats", "web.2.mmstats", "web.mmstats"});
  CHECK(count_in(folder / "web.mmstats") == 5);
  CHECK(count_in(folder / "web.1.mmstats") == 7);
  CHECK(count_in(folder / "web.2.mmstats") == 9);
}

TEST_CASE("a hundred names are tried for a file, and then it is told that all are taken") {
  const TemporaryFolder folder;
  write_text(folder / "web.mmstats", "precious");
  for (int i = 1; i < 99; ++i) write_text(folder / ("web." + std::to_string(i) + ".mmstats"), "precious");
  {
    Program last(folder.path(), "web.mmstats");
    last.count.incr();
    CHECK(last.told.empty());
    CHECK(last.model.paths() == std::vector{folder / "web.99.mmstats"});
    Program none(folder.path(), "web.mmstats");
    CHECK(none.writes());
    REQUIRE(none.told.size() == 1);
    CHECK(none.told[0].sys_errno == EEXIST);
    CHECK(none.told[0].path == folder / "web.mmstats");
    CHECK(none.model.paths().empty());
    CHECK(names_in(folder.path()).size() == 100);
  }
  CHECK(names_in(folder.path()).size() == 99);
}

TEST_CASE("a file says which group it is of, not only which user") {
  const TemporaryFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0777) == 0);
  ChildProcess child([&] {
    // Where we may not choose, they are what they are.
    if (::setgid(65533) == 0) must(::setuid(65534) == 0);
    Program program(folder.path());
    must(program.writes());
    for (const auto& file : content_of(folder.path())) {
      must(file.numbers.at("sys.uid") == ::getuid());
      must(file.numbers.at("sys.gid") == ::getgid());
    }
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("the file of a process that is gone is replaced") {
  const TemporaryFolder folder;
  auto dead = other_writer(folder.path(), "web.mmstats", 5);
  const auto alive = other_writer(folder.path(), "web.mmstats", 7);
  CHECK(dead.kill() == 128 + SIGKILL);
  const auto next = other_writer(folder.path(), "web.mmstats", 9);
  CHECK(names_in(folder.path()) == Names{"web.1.mmstats", "web.mmstats"});
  CHECK(count_in(folder / "web.mmstats") == 9);
  CHECK(count_in(folder / "web.1.mmstats") == 7);
}

TEST_CASE("a file of another kind is not replaced, whoever left it") {
  const TemporaryFolder folder;
  write_text(folder / "web.mmstats", "precious");
  const auto writer = other_writer(folder.path(), "web.mmstats", 5);
  CHECK(text_in(folder / "web.mmstats") == "precious");
  CHECK(count_in(folder / "web.1.mmstats") == 5);
}

TEST_CASE("of ten processes that race for one abandoned name each gets a file") {
  for (int round = 0; round < 20; ++round) {
    const TemporaryFolder folder;
    other_writer(folder.path(), "web.mmstats", 5).kill();
    struct Race {
      std::atomic<int> ready;
      std::atomic<int> wrote;
    };
    const SharedMemory<Race> race;
    std::vector<ChildProcess> racers;
    constexpr int kRacers = 10;
    for (int i = 0; i < kRacers; ++i) {
      racers.emplace_back([&, i] {
        Model model({.path = folder.path(), .file_name = "web.mmstats"});
        Counter count(model, "count");
        ++race->ready;
        while (race->ready < kRacers) ::sched_yield();
        count.incr(1000 + static_cast<std::uint64_t>(i));
        ++race->wrote;
        for (;;) ::pause();
      });
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (race->wrote < kRacers && std::chrono::steady_clock::now() < deadline) ::sched_yield();
    REQUIRE(race->wrote == kRacers);
    const auto files = content_of(folder.path());
    CHECK(names_in(folder.path()).size() == kRacers);
    std::set<double> pids;
    for (const auto& file : files) {
      CAPTURE(file.name);
      CHECK(file.wrong == "");
      pids.insert(file.numbers.at("sys.pid"));
    }
    CHECK(pids.size() == kRacers);
    CHECK(sum_of(files, "count") == 10'045);
  }
}

TEST_CASE("what an agent removes is not what a writer just put in its place") {
  const TemporaryFolder folder;
  other_writer(folder.path(), "web.mmstats", 5).kill();
  Discovery discovery({folder / "*.mmstats"});
  REQUIRE(discovery.scan(std::chrono::system_clock::now()).appeared.size() == 1);
  // As a writer does between its question and its rename.
  const int fd = ::open((folder / "web.mmstats").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
  const auto refused = discovery.remove(discovery.files()[0]);
  REQUIRE(!refused);
  CHECK(refused.error().kind == ErrorKind::kBusy);
  ::close(fd);
  CHECK(names_in(folder.path()) == Names{"web.mmstats"});

  // And the agent's lock does not outlive its attempt.
  const auto next = other_writer(folder.path(), "web.mmstats", 7);
  CHECK(names_in(folder.path()) == Names{"web.mmstats"});
  CHECK(count_in(folder / "web.mmstats") == 7);
}

namespace {

// Things that somebody else puts under a name. The link's end is a file that must not change.
constexpr const char* kVictim = "precious";
const auto kPlants = {"fifo", "link", "dangling link", "folder", "device"};

void plant(const std::string& what, const std::string& path, const std::string& victim) {
  if (what == "fifo") REQUIRE(::mkfifo(path.c_str(), 0666) == 0);
  if (what == "link") REQUIRE(::symlink(victim.c_str(), path.c_str()) == 0);
  if (what == "dangling link") REQUIRE(::symlink((victim + ".missing").c_str(), path.c_str()) == 0);
  if (what == "folder") REQUIRE(::mkdir(path.c_str(), 0755) == 0);
  // A link to one: to make a device takes rights that not every root has.
  if (what == "device") REQUIRE(::symlink("/dev/zero", path.c_str()) == 0);
}

mode_t type_of(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & S_IFMT : 0;
}

}  // namespace

TEST_CASE("what lies under a file's name and is none is neither followed nor written nor removed") {
  for (const std::string what : kPlants) {
    CAPTURE(what);
    const TemporaryFolder folder;
    write_text(folder / "victim", kVictim);
    plant(what, folder / "web.mmstats", folder / "victim");
    const auto type = type_of(folder / "web.mmstats");
    {
      Model model({.path = folder.path(), .file_name = "web.mmstats"});
      Counter count(model, "count");
      count.incr(5);
      CHECK(model.open().has_value());
      CHECK(names_in(folder.path()) == Names{"victim", "web.1.mmstats", "web.mmstats"});
      CHECK(count_in(folder / "web.1.mmstats") == 5);
    }
    CHECK(type_of(folder / "web.mmstats") == type);
    CHECK(text_in(folder / "victim") == kVictim);
    CHECK(names_in(folder.path()) == Names{"victim", "web.mmstats"});
  }
}

TEST_CASE("what lies under a temporary name is neither followed nor written nor removed") {
  for (const std::string what : kPlants) {
    CAPTURE(what);
    const TemporaryFolder folder;
    write_text(folder / "victim", kVictim);
    Program program(folder.path(), "web.mmstats");
    // Guessed right.
    const auto temporary = folder / (".web.mmstats." + std::to_string(::getpid()) + "-1000000001");
    plant(what, temporary, folder / "victim");
    const auto type = type_of(temporary);
    clock_stands = true;
    CHECK(program.writes());
    clock_stands = false;
    REQUIRE(program.told.size() == 1);
    CHECK(program.told[0].sys_errno == EEXIST);
    CHECK(type_of(temporary) == type);
    CHECK(text_in(folder / "victim") == kVictim);
    CHECK(names_in(folder.path()).size() == 2);
  }
}

TEST_CASE("the mode of files is the program's, else the environment's, else 0644 less the umask") {
  const TemporaryFolder folder;
  struct Case {
    std::optional<unsigned> option;
    const char* environment;
    mode_t wanted;
    std::size_t told;
  };
  const auto check = [&](const Case& wanted) {
    ChildProcess child([&] {
      ::umask(0077);
      wanted.environment == nullptr ? ::unsetenv("MMSTATS_MODE")
                                    : ::setenv("MMSTATS_MODE", wanted.environment, 1);
      Program program(
          ModelOptions{.path = folder.path(), .file_name = "{TID}.mmstats", .mode = wanted.option});
      must(program.writes());
      must(program.told.size() == wanted.told);
      for (const auto& error : program.told) must(error.kind == ErrorKind::kInvalid);
      const auto paths = program.model.paths();
      must(paths.size() == 2);
      for (const auto& path : paths) {
        struct stat info{};
        must(::stat(path.c_str(), &info) == 0);
        must((info.st_mode & 07777U) == wanted.wanted);
      }
      // One that grows keeps it.
      for (int i = 0; i < 5; ++i) Counter(program.model, std::to_string(i) + std::string(1500, 'x')).incr();
      struct stat info{};
      must(::stat(paths[0].c_str(), &info) == 0);
      must((info.st_mode & 07777U) == wanted.wanted);
    });
    CHECK(child.wait() == 0);
  };
  check({std::nullopt, nullptr, 0600, 0});
  check({std::nullopt, "", 0600, 0});
  check({std::nullopt, "0644", 0644, 0});
  check({std::nullopt, "660", 0660, 0});
  check({0640, "0666", 0640, 0});
  check({0644, nullptr, 0644, 0});
  for (const char* bad :
       {"0755", "0400", "644 ", "u=rw", "0x1a4", "99", "-1", "77777777777777777777", "1666"}) {
    CAPTURE(bad);
    check({std::nullopt, bad, 0600, 1});
  }
  check({0755, "0640", 0640, 1});
  check({0444, nullptr, 0600, 1});
}

TEST_CASE("a program with raised privileges takes no mode from the environment") {
  if (::getuid() != 0) {
    MESSAGE("skipped: only root can make such a program");
    return;
  }
  // As the kernel does for a setuid program: AT_SECURE of the process says so.
  const TemporaryFolder folder;
  struct statvfs place{};
  REQUIRE(::statvfs(folder.path().c_str(), &place) == 0);
  if ((place.f_flag & (ST_NOSUID | ST_NOEXEC)) != 0) {
    MESSAGE("skipped: the file system of temporary files runs no such programs");
    return;
  }
  REQUIRE(::chmod(folder.path().c_str(), 0777) == 0);
  const auto program = folder / "program";
  std::filesystem::copy_file(std::filesystem::read_symlink("/proc/self/exe"), program);
  REQUIRE(::chmod(program.c_str(), 04755) == 0);
  ChildProcess child([&] {
    must(::chdir("/") == 0);
    must(::setgid(kSomebody) == 0 && ::setuid(kSomebody) == 0);
    ::umask(0022);
    ::setenv("MMSTATS_MODE", "0600", 1);
    ::setenv("MMSTATS_TEST_MODE_OF", (folder / "raised.mmstats").c_str(), 1);
    ::execl(program.c_str(), program.c_str(), "--test-case=what a raised program makes", "--no-skip",
            nullptr);
    ::_exit(errno == ENOEXEC ? ChildProcess::kSkipped : 2);
  });
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: the system knows no programs as this one is, which an emulator runs");
    return;
  }
  CHECK(status == 0);
  struct stat info{};
  REQUIRE(::stat((folder / "raised.mmstats").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777U) == 0644);
}

TEST_CASE("what a raised program makes" * doctest::skip()) {
  const char* const path = ::getenv("MMSTATS_TEST_MODE_OF");
  REQUIRE(path != nullptr);
  const boost::filesystem::path file(path);
  Model model(
      {.path = file.parent_path().native(), .file_name = file.filename().native(), .remove_at_exit = false});
  Counter(model, "hits").incr();
  CHECK(model.paths().size() == 1);
}

TEST_CASE("errors without end are told in a few lines on standard error") {
  const TemporaryFolder folder;
  const auto said = folder / "stderr";
  ChildProcess child([&] {
    const int fd = ::open(said.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(fd >= 0 && ::dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    Model model({.path = folder.path()});
    Counter first(model, "hits");
    for (int i = 0; i < 30'000; ++i) {
      Counter(model, "hits").incr();  // no error
      UInt64Field(model, "hits").add(1);
      Counter(model, "caf\xe9" + std::to_string(i)).incr();
    }
    Counter(model, "").incr();
    for (int i = 0; i < 100; ++i) {
      Model denied({.path = folder / ("missing-" + std::to_string(i))});
      Counter(denied, "hits").incr();
    }
  });
  CHECK(child.wait() == 0);
  std::ifstream log(said);
  Names lines;
  for (std::string line; std::getline(log, line);) lines.push_back(line);
  REQUIRE(lines.size() == 1 + 15 + 1 + 7);
  CHECK(lines[0] ==
        "mmstats: field \"hits\" is not published: its label is there already, with another type, size or "
        "kind; give each field its own");
  const auto line_of = [](int i) {
    return "mmstats: field \"caf\\xE9" + std::to_string(i) +
           "\" is not published: its label is not UTF-8; encode it";
  };
  CHECK(lines[1] == line_of(0));
  CHECK(lines[2] == line_of(1) + " (errors of this kind so far: 2)");
  CHECK(lines[15] == line_of(16'383) + " (errors of this kind so far: 16384)");
  lines.erase(lines.begin());
  CHECK(lines[15].starts_with("mmstats: field \"\" is not published: "));
  CHECK(lines[16].ends_with(": No such file or directory"));
  CHECK(lines[22].ends_with("(errors of this kind so far: 64)"));
}

TEST_CASE("that /run/mmstats exists and cannot be written is told once, and where the files go") {
  const TemporaryFolder folder;
  const auto uid = ::getuid();
  ChildProcess child([&] {
    if (::unshare(CLONE_NEWNS) != 0) {
      if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ::_exit(ChildProcess::kSkipped);
      write_text("/proc/self/setgroups", "deny");
      write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    }
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", "/run", "tmpfs", 0, nullptr) != 0) {
      ::_exit(ChildProcess::kSkipped);
    }
    ::unsetenv("MMSTATS_PATH");
    ::setenv("TMPDIR", folder.path().c_str(), 1);
    const auto told_by = [&](const std::string& path) {
      Program program(ModelOptions{.path = path, .file_name = "{TID}.mmstats"});
      must(program.writes());
      must(program.model.paths().size() == 2);
      for (const auto& file : program.model.paths()) must(file.starts_with(folder.path()));
      return program.told;
    };
    must(told_by("").empty());  // there is none
    must(::mkdir("/run/mmstats", 0755) == 0);
    must(::mount("none", "/run", nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    must(told_by(folder.path()).empty());
    ::setenv("MMSTATS_PATH", folder.path().c_str(), 1);
    must(told_by("").empty());
    ::unsetenv("MMSTATS_PATH");
    const auto told = told_by("");
    must(told.size() == 1);
    must(told[0].kind == ErrorKind::kDenied && told[0].sys_errno == EROFS);
    must(told[0].path == "/run/mmstats");
    must(told[0].message.find(folder.path()) != std::string::npos);
    must(told_by("").empty());
  });
  const int status = child.wait();
  if (status == ChildProcess::kSkipped) {
    MESSAGE("skipped: this system lets us mount no file system of our own");
    return;
  }
  CHECK(status == 0);
}
