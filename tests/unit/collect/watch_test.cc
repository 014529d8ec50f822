#include "collect/watch.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <new>
#include <set>
#include <span>
#include <vector>

#include "base/descriptor.h"
#include "format/file_name.h"
#include "made_file.h"
#include "sample.h"
#include "temporary_folder.h"
#include "unused_pid.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

// Counts what a scan allocates. Not inlined: the compiler takes the pairs for unequal ones.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace mmstats;
using namespace std::chrono_literals;
namespace fs = boost::filesystem;

namespace {

struct Watched {
  TemporaryFolder folder;
  Watch watch;
  std::chrono::steady_clock::time_point steady = std::chrono::steady_clock::now();

  explicit Watched(Stale stale = Stale::kKeep, DiscoveryLimits limits = {})
      : watch({.globs = {folder / "*.mmstats"}, .discovery = limits, .fold = {}, .stale = stale}, Rules{}) {}

  const ScanReport& scan() {
    steady += 10s;
    // The stamps of folders are real ones.
    return watch.scan(std::chrono::system_clock::now(), steady);
  }
  std::uint64_t total(std::string_view name) const {
    for (const Series& series : watch.series()) {
      if (series.name() == name) return series.total;
    }
    FAIL("no series " << name);
    return 0;
  }
  void put(const std::string& name, std::uint32_t pid, double created, std::uint64_t hits) const {
    folder.write(
        name, MadeFile().buffered("hits", "Q", hits).owner(pid, created).buffered("depth", "i", 1).padded());
  }
};

}  // namespace

TEST_CASE("files become series, and what was counted stays when they go") {
  Watched watched;
  const auto self = static_cast<std::uint32_t>(::getpid());
  watched.put("a.mmstats", self, unix_now(), 5);
  watched.put("b.mmstats", self, unix_now(), 6);
  CHECK(watched.scan().errors.empty());
  CHECK(watched.total("hits") == 11);
  CHECK(watched.watch.files() == 2);
  fs::remove(watched.folder / "a.mmstats");
  watched.scan();
  CHECK(watched.total("hits") == 11);
  watched.put("a.mmstats", self, unix_now(), 2);
  watched.scan();
  CHECK(watched.total("hits") == 13);
}

TEST_CASE("the same holds for files whose descriptors are not held") {
  Watched watched(Stale::kKeep, {.max_files = 10, .max_held = 0});
  const auto self = static_cast<std::uint32_t>(::getpid());
  const double created = unix_now();  // asked once: a life has one start, however slow the machine is
  watched.put("a.mmstats", self, created, 5);
  watched.scan();
  watched.put("a.mmstats", self, created, 7);
  watched.scan();
  CHECK(watched.total("hits") == 7);
  fs::remove(watched.folder / "a.mmstats");
  watched.scan();
  watched.put("a.mmstats", self, created + 1, 4);
  watched.scan();
  CHECK(watched.total("hits") == 11);
}

TEST_CASE("a life goes on in the file that was out of sight and has another name now, held or not") {
  for (const std::size_t held : {0U, 10U}) {
    Watched watched(Stale::kKeep, {.max_files = 10, .max_held = held});
    watched.put("a.mmstats", static_cast<std::uint32_t>(::getpid()), 1e9, 5);
    watched.scan();
    fs::rename(watched.folder / "a.mmstats", watched.folder / "elsewhere");
    for (int i = 0; i < 3; ++i) watched.scan();
    CHECK(watched.watch.files() == 0);
    fs::rename(watched.folder / "elsewhere", watched.folder / "b.mmstats");
    watched.scan();
    CHECK(watched.total("hits") == 5);
    CHECK(watched.watch.stats().lives == 1);
  }
}

TEST_CASE("a file that was empty at a scan and is gone at the next counts with what it got between") {
  Watched watched;
  const auto self = static_cast<std::uint32_t>(::getpid());
  watched.folder.write("a.mmstats", std::vector<std::byte>(4096));
  watched.scan();
  watched.put("a.mmstats", self, 1e9, 5);
  fs::remove(watched.folder / "a.mmstats");
  watched.scan();
  CHECK(watched.total("hits") == 5);
  // The process makes a new file, and goes on.
  watched.put("a.mmstats", self, 1e9, 7);
  watched.scan();
  CHECK(watched.total("hits") == 7);
}

TEST_CASE("a dead owner's file is removed when it is told to, once it was folded to its end") {
  for (const Stale stale : {Stale::kKeep, Stale::kRemove}) {
    Watched watched(stale);
    watched.put("dead.mmstats", kUnusedPid, unix_now(), 5);
    watched.put("alive.mmstats", static_cast<std::uint32_t>(::getpid()), unix_now(), 6);
    watched.put("nobody.mmstats", 0, unix_now(), 7);
    watched.scan();
    CHECK(fs::exists(watched.folder / "dead.mmstats"));
    watched.scan();
    CHECK(fs::exists(watched.folder / "dead.mmstats") == (stale == Stale::kKeep));
    CHECK(fs::exists(watched.folder / "alive.mmstats"));
    CHECK(fs::exists(watched.folder / "nobody.mmstats"));
    watched.scan();
    CHECK(watched.total("hits") == 18);
  }
}

TEST_CASE("all names of a dead owner's file are removed, without a complaint") {
  Watched watched(Stale::kRemove);
  watched.put("a.mmstats", kUnusedPid, unix_now(), 5);
  fs::create_hard_link(watched.folder / "a.mmstats", watched.folder / "b.mmstats");
  for (int scans = 0; scans < 6; ++scans) CHECK(watched.scan().errors.empty());
  CHECK(fs::is_empty(watched.folder.path()));
  CHECK(watched.total("hits") == 5);
}

TEST_CASE("a file that a process maps is never removed, whatever its pid says") {
  Watched watched(Stale::kRemove);
  watched.put("mapped.mmstats", kUnusedPid, unix_now(), 5);
  const int fd = ::open((watched.folder / "mapped.mmstats").c_str(), O_RDWR | O_CLOEXEC);
  void* map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  for (int i = 0; i < 5; ++i) watched.scan();
  CHECK(fs::exists(watched.folder / "mapped.mmstats"));
  CHECK(watched.watch.stats().dead == 0);
  ::munmap(map, 4096);
}

TEST_CASE("a complaint is told once, and again after it was mended") {
  Watched watched;
  const auto broken = MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes();
  watched.folder.write("bad.mmstats", broken);
  REQUIRE(watched.scan().errors.size() == 1);
  CHECK(watched.watch.stats().damaged == 1);
  watched.watch.told(1);
  const ScanReport& again = watched.scan();
  CHECK(again.errors.empty());
  CHECK(again.complaints == 1);
  watched.put("bad.mmstats", 0, 0, 5);
  CHECK(watched.scan().complaints == 0);
  watched.folder.write("bad.mmstats", broken);
  CHECK(watched.scan().errors.size() == 1);
}

TEST_CASE("what is wrong stands, told or not, for those who ask for it") {
  for (const bool shown : {false, true}) {
    const TemporaryFolder folder;
    Watch watch({.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}, .show_standing = shown},
                Rules());
    const auto broken = MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes();
    folder.write("bad.mmstats", broken);
    folder.write("worse.mmstats", broken);
    const auto scan = [&]() -> const ScanReport& {
      return watch.scan(std::chrono::system_clock::now(), std::chrono::steady_clock::now());
    };
    for (int scans = 0; scans < 3; ++scans) {
      watch.told(scan().errors.size());
      CHECK(scan().standing.size() == (shown ? 2 : 0));
    }
    boost::filesystem::remove(folder / "worse.mmstats");
    const ScanReport& after = scan();
    CHECK(after.complaints == 1);
    REQUIRE(after.standing.size() == (shown ? 1 : 0));
    if (shown) CHECK(after.standing[0].path == folder / "bad.mmstats");
  }
}

TEST_CASE("a complaint that nobody told is reported again, and all of them are counted") {
  Watched watched;
  constexpr std::size_t kBad = 250;
  const auto broken = MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes();
  for (std::size_t i = 0; i < kBad; ++i) watched.folder.write(std::to_string(i) + ".mmstats", broken);
  std::vector<std::string> told;
  for (std::size_t left = kBad; left != 0;) {
    const ScanReport& report = watched.scan();
    REQUIRE(report.errors.size() == std::min(left, ScanReport::kMaxErrors));
    CHECK(report.untold == left);
    CHECK(report.complaints == kBad);
    const std::size_t now = std::min<std::size_t>(left, 30);
    for (std::size_t i = 0; i < now; ++i) told.push_back(report.errors[i].path);
    watched.watch.told(now);
    left -= now;
  }
  CHECK(watched.scan().untold == 0);
  std::ranges::sort(told);
  CHECK(std::ranges::adjacent_find(told) == told.end());
  CHECK(told.size() == kBad);
}

TEST_CASE("a user's thousands of complaints keep nobody else's waiting") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can make another user's files");
    return;
  }
  constexpr uid_t kMany = 4000;
  constexpr uid_t kFew = 4001;
  Watched watched;
  const auto broken = MadeFile().buffered("hits", "Q", std::uint64_t{5}).raw("\x09").bytes();
  const auto give = [&](const std::string& name, uid_t owner) {
    REQUIRE(::lchown((watched.folder / name).c_str(), owner, static_cast<gid_t>(-1)) == 0);
  };
  for (int i = 0; i < 2500; ++i) {
    watched.folder.write(std::to_string(i) + ".mmstats", broken);
    give(std::to_string(i) + ".mmstats", kMany);
    fs::create_symlink("nowhere", watched.folder / ("link" + std::to_string(i) + ".mmstats"));
    give("link" + std::to_string(i) + ".mmstats", kMany);
  }
  const auto is_among_first = [&](const ScanReport& report, const std::string& name) {
    const auto first = std::span(report.errors).first(std::min<std::size_t>(report.errors.size(), 3));
    return std::ranges::any_of(first,
                               [&](const Error& error) { return error.path == watched.folder / name; });
  };
  watched.folder.write("few.mmstats", broken);
  give("few.mmstats", kFew);
  CHECK(is_among_first(watched.scan(), "few.mmstats"));
  // What is told takes no room that others need.
  for (int scans = 0; scans < 30; ++scans) watched.watch.told(watched.scan().errors.size());
  watched.folder.write("later.mmstats", broken);
  give("later.mmstats", kFew);
  const ScanReport& report = watched.scan();
  CHECK(report.untold == 1);
  CHECK(is_among_first(report, "later.mmstats"));
  // Nor do those that happen once, of which many wait.
  std::vector<Descriptor> writers;
  const auto publish = [&](const std::string& name, uid_t owner) {
    watched.put(name, static_cast<std::uint32_t>(::getpid()), unix_now(), 5);
    give(name, owner);
    writers.emplace_back(::open((watched.folder / name).c_str(), O_RDWR | O_CLOEXEC));
  };
  for (int i = 0; i < 1100; ++i) publish("mapped" + std::to_string(i) + ".mmstats", kMany);
  publish("z.mmstats", kFew);
  watched.scan();
  for (int i = 0; i < 1100; ++i) fs::remove(watched.folder / ("mapped" + std::to_string(i) + ".mmstats"));
  watched.scan();
  fs::remove(watched.folder / "z.mmstats");
  CHECK(is_among_first(watched.scan(), "z.mmstats"));
}

TEST_CASE("what no path belongs to is told one by one, however long it waits") {
  Watched watched;
  const auto label = [](int i) { return "label" + std::to_string(i); };
  MadeFile one;
  MadeFile other;
  for (int i = 0; i < 20; ++i) {
    one.buffered(label(i), "i", 1);
    other.buffered(label(i), "d", 1.0);
  }
  watched.folder.write("one.mmstats", one.bytes());
  watched.folder.write("other.mmstats", other.bytes());
  std::set<std::string> told;
  for (int scans = 0; scans < 30; ++scans) {
    const ScanReport& report = watched.scan();
    if (report.errors.empty()) continue;
    told.insert(report.errors[0].message);
    watched.watch.told(1);
  }
  CHECK(told.size() == 20);
}

TEST_CASE("an unfinished file is a complaint only if it stays so") {
  Watched watched;
  watched.folder.write("slow.mmstats", std::vector<std::byte>(4096));
  CHECK(watched.scan().complaints == 0);
  CHECK(watched.watch.stats().damaged == 1);
  const ScanReport& report = watched.scan();
  REQUIRE(report.errors.size() == 1);
  CHECK(report.errors[0].kind == ErrorKind::kUnfinished);
}

TEST_CASE("a folder that is not there is no failure, one that cannot be listed is") {
  Watch missing({.globs = {"/nonexistent/mmstats/*.mmstats"}, .discovery = {}, .fold = {}, .stale = {}},
                Rules{});
  const auto& report = missing.scan(std::chrono::system_clock::now(), std::chrono::steady_clock::now());
  CHECK_FALSE(report.nothing_readable);
  CHECK(report.errors.empty());
}

TEST_CASE("a scan allocates nothing once it has seen the files") {
  Watched watched;
  const auto self = static_cast<std::uint32_t>(::getpid());
  for (int i = 0; i < 50; ++i) watched.put(std::to_string(i) + ".mmstats", self, unix_now(), 5);
  watched.scan();
  watched.scan();
  for (std::uint64_t hits = 6; hits < 9; ++hits) {
    // In place, so that the folder stays as it is.
    for (int i = 0; i < 50; ++i) watched.put(std::to_string(i) + ".mmstats", self, 1e9, hits);
    if (hits == 6) watched.scan();
    const auto before = allocations.load();
    watched.scan();
    CHECK(allocations.load() == before);
  }
}

TEST_CASE("a scan allocates nothing when the numbers of /proc get longer") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "proc/17");
  const auto put_proc = [&](const std::string& number) {
    sample::write(folder, "proc/17/stat",
                  "17 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1000 0 " + number + "\n");
    sample::write(folder, "proc/stat",
                  "cpu 1\nintr " + number + "\nbtime 1000000000\nprocs_running " + number);
  };
  put_proc("9");
  folder.write("a.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{5}).owner(17, 1.5e9).padded());
  Watch watch({.globs = {folder / "*.mmstats"},
               .discovery = {},
               .fold = {},
               .proc = folder / "proc",
               .signal = [](pid_t, int) { return 0; }},
              Rules{});
  auto steady = std::chrono::steady_clock::now();
  const auto scan = [&] {
    watch.scan(std::chrono::system_clock::now(), steady += 40s);
    CHECK(watch.stats().dead == 0);
  };
  for (int scans = 0; scans < 3; ++scans) scan();
  put_proc(std::string(300, '9'));
  const auto before = allocations.load();
  scan();
  CHECK(allocations.load() == before);
}

TEST_CASE("names that are no files allocate nothing, however many they are, and are told for a part") {
  Watched watched;
  const auto link = [&](int from, int to) {
    for (int i = from; i < to; ++i)
      fs::create_symlink("nowhere", watched.folder / (std::to_string(i) + ".mmstats"));
  };
  const auto allocated = [&] {
    for (int scans = 0; scans < 2; ++scans) watched.scan();
    const auto before = allocations.load();
    const ScanReport& report = watched.scan();
    CHECK(report.complaints <= 21);
    CHECK(report.errors.size() == report.complaints);
    return allocations.load() - before;
  };
  link(0, 100);
  const auto few = allocated();
  link(100, 3000);
  CHECK(allocated() <= few + 5);
}

TEST_CASE("files that are not wanted are not read, and each is asked about once") {
  TemporaryFolder folder;
  std::vector<std::string> asked;
  Watch watch({.globs = {folder / "*.mmstats"},
               .discovery = {},
               .fold = {},
               .stale = {},
               .keep =
                   [&](const std::string& path, const ParsedFile& content) {
                     asked.push_back(fs::path(path).filename().string());
                     return content.fields.front().label == "wanted";
                   }},
              Rules{});
  const auto scan = [&] {
    watch.scan(std::chrono::system_clock::now(), std::chrono::steady_clock::now());
    std::vector<std::string> names;
    for (const Series& series : watch.series()) names.push_back(series.name());
    return names;
  };
  using Names = std::vector<std::string>;
  folder.write("a.mmstats", MadeFile().buffered("wanted", "Q", std::uint64_t{1}).padded());
  folder.write("b.mmstats", MadeFile().buffered("unwanted", "Q", std::uint64_t{1}).padded());
  folder.write("later.mmstats", MadeFile().padded());
  CHECK(scan() == Names{"wanted"});
  folder.write("later.mmstats", MadeFile().buffered("wanted", "Q", std::uint64_t{2}).padded());
  CHECK(scan() == Names{"wanted"});
  CHECK(watch.series()[0].total == 3);
  std::ranges::sort(asked);
  CHECK(asked == Names{"a.mmstats", "b.mmstats", "later.mmstats"});
  // Another file under the name is asked about anew.
  fs::remove(folder / "b.mmstats");
  CHECK(scan() == Names{"wanted"});
  folder.write("b.mmstats", MadeFile().buffered("wanted", "Q", std::uint64_t{4}).padded());
  scan();
  CHECK(watch.series()[0].total == 7);
}

TEST_CASE("the globs of the environment come first, then its folder, then the usual places") {
  const auto with = [](const char* glob, const char* path, const char* temporary) {
    const auto set = [](const char* name, const char* value) {
      value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
    };
    set("MMSTATS_GLOB", glob);
    set("MMSTATS_PATH", path);
    set("TMPDIR", temporary);
    return default_globs();
  };
  using Globs = std::vector<std::string>;
  CHECK(with("/a/*", "/b", "/c") == Globs{"/a/*"});
  CHECK(with("/a/{x,y}", "/b", "/c") == Globs{"/a/x", "/a/y"});
  CHECK(with(nullptr, "/b", "/c") == Globs{"/b/*.mmstats"});
  CHECK(with(nullptr, "/b/{CMD}-{PID}/%TID%", "/c") == Globs{"/b/*-*/*/*.mmstats"});
  CHECK(with(nullptr, nullptr, "/c") == Globs{"/run/mmstats/*.mmstats", "/c/*.mmstats"});
  CHECK(with(nullptr, nullptr, nullptr) == Globs{"/run/mmstats/*.mmstats", "/tmp/*.mmstats"});
}

TEST_CASE("a file published by rename, moved or renamed while it is watched counts once") {
  Watched watched;
  const auto self = static_cast<std::uint32_t>(::getpid());
  const double created = unix_now();
  const auto total = [&](std::uint64_t hits, const char* name) {
    watched.put("next", self, created, hits);
    fs::rename(watched.folder / "next", watched.folder / name);
    watched.scan();
    return watched.total("hits");
  };
  for (std::uint64_t hits = 100; hits < 104; ++hits) CHECK(total(hits, "a.mmstats") == hits);
  fs::rename(watched.folder / "a.mmstats", watched.folder / "b.mmstats");
  watched.scan();
  CHECK(watched.total("hits") == 103);
  CHECK(total(104, "b.mmstats") == 104);
  CHECK(watched.watch.stats().lives == 1);
}

TEST_CASE("a slower reader of the same files has what the dead had counted, though another removes them") {
  TemporaryFolder folder;
  const auto make = [&](Stale stale, std::chrono::seconds after) {
    return Watch(
        {.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}, .stale = stale, .stale_after = after},
        Rules{});
  };
  Watch quick = make(Stale::kRemove, 120s);
  Watch slow = make(Stale::kKeep, 0s);
  const auto system_now = std::chrono::system_clock::now();
  const auto steady_now = std::chrono::steady_clock::now();
  folder.write("a.mmstats",
               MadeFile().buffered("hits", "Q", std::uint64_t{5}).owner(kUnusedPid, unix_now()).padded());
  std::size_t removed = 0;
  for (int second = 0; second <= 130; second += 10) {
    removed +=
        quick.scan(system_now + std::chrono::seconds(second), steady_now + std::chrono::seconds(second))
            .removed;
    CHECK(removed == (second < 120 ? 0 : 1));
    if (second % 60 == 50) slow.scan(system_now, steady_now + std::chrono::seconds(second));
  }
  REQUIRE(slow.series().size() == 1);
  CHECK(slow.series()[0].total == 5);
}

TEST_CASE("the dead make room for the living, and what is left out is counted") {
  Watched watched(Stale::kKeep, {.max_files = 5});
  for (int i = 0; i < 8; ++i) watched.put(std::to_string(i) + ".mmstats", kUnusedPid, unix_now(), 1);
  watched.scan();
  watched.put("z.mmstats", static_cast<std::uint32_t>(::getpid()), unix_now(), 100);
  for (int scans = 0; scans < 5; ++scans) watched.scan();
  CHECK(watched.total("hits") == 108);
  CHECK(watched.scan().left_out == 0);
  watched.scan();
  CHECK(watched.total("hits") == 108);
}

TEST_CASE("a file that is deleted while a process writes it is told once") {
  for (const bool written : {true, false}) {
    CAPTURE(written);
    Watched watched;
    watched.put("a.mmstats", static_cast<std::uint32_t>(::getpid()), unix_now(), 5);
    const Descriptor writer(written ? ::open((watched.folder / "a.mmstats").c_str(), O_RDWR | O_CLOEXEC)
                                    : -1);
    watched.scan();
    fs::remove(watched.folder / "a.mmstats");
    CHECK(watched.scan().errors.size() == (written ? 1 : 0));
    CHECK(watched.total("hits") == 5);
  }
}
