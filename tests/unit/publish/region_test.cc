// How a region's file gets its name, and what others do at that very moment.
#include "publish/region.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "descriptors.h"
#include "folder_content.h"
#include "held_calls.h"
#include "made_file.h"
#include "sample.h"
#include "unused_pid.h"

using mmstats::ErrorKind;
using mmstats::Region;

namespace {

using Names = std::vector<std::string>;

// Regions stay until the process ends, as their addresses do.
Region& new_region() {
  static std::deque<Region> regions;
  return regions.emplace_back();
}

mmstats::Expected<void> fill_region(Region& region, const std::string& path, std::uint64_t hits) {
  return region.fill(sample::bytes(sample::file(sample::counter("hits", hits))), path);
}

// What the file says, or -1.
double hits_of(const std::string& path) {
  const FileContent content(path);
  const auto found = content.numbers.find("hits");
  return found == content.numbers.end() ? -1 : found->second;
}

}  // namespace

TEST_CASE("a file system that cannot rename without replacing is no obstacle, and nobody is replaced") {
  for (const int refusal : {EINVAL, ENOSYS}) {
    const TemporaryFolder folder;
    const auto path = folder / "a.mmstats";
    Region& first = new_region();
    Region& second = new_region();
    Region& third = new_region();
    if (!held::while_failing(SYS_renameat2, refusal, [&] {
          CHECK(fill_region(first, path, 1).has_value());
          CHECK(names_in(folder.path()) == Names{"a.mmstats"});
          // One link, as readers take another name for another file's.
          struct stat info{};
          CHECK(::stat(path.c_str(), &info) == 0);
          CHECK(info.st_nlink == 1);
          CHECK(fill_region(second, path, 2).has_value());
          CHECK(names_in(folder.path()) == Names{"a.1.mmstats", "a.mmstats"});
          CHECK(hits_of(path) == 1);
          CHECK(hits_of(second.path()) == 2);
          // One that nobody writes is replaced.
          first.detach();
          CHECK(fill_region(third, path, 3).has_value());
          CHECK(names_in(folder.path()) == Names{"a.1.mmstats", "a.mmstats"});
          CHECK(hits_of(path) == 3);
        }))
      return;
    for (Region* const region : {&first, &second, &third}) region->reset();
  }
}

TEST_CASE("a file gets its mode before its name, or none") {
  const TemporaryFolder folder;
  const auto path = folder / "a.mmstats";
  Region& region = new_region();
  const std::string content = sample::file(sample::counter("hits", 1));
  const auto image = sample::bytes(content);
  if (!held::while_failing(SYS_fchmod, EPERM, [&] {
        const auto filled = region.fill(image, path, 0660);
        REQUIRE_FALSE(filled.has_value());
        CHECK(filled.error().sys_errno == EPERM);
        CHECK(filled.error().path == path);
        CHECK(names_in(folder.path()).empty());
        CHECK(region.fill(image, path).has_value());
        region.remove();
      }))
    return;
  region.reset();
}

TEST_CASE("where no name can be given, nothing is left behind") {
  const TemporaryFolder folder;
  Region& region = new_region();
  if (!held::while_failing(SYS_renameat2, EPERM, [&] {
        const auto filled = fill_region(region, folder / "a.mmstats", 1);
        CHECK_FALSE(filled.has_value());
        if (!filled) CHECK(filled.error().sys_errno == EPERM);
        CHECK_FALSE(region.is_file());
      }))
    return;
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("an abandoned file that somebody has locked is not replaced") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  const int locked = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(::flock(locked, LOCK_SH) == 0);
  Region& region = new_region();
  CHECK(fill_region(region, path, 1).has_value());
  CHECK(region.path() == folder / "a.1.mmstats");
  CHECK(hits_of(path) == 7);
  ::close(locked);
  Region& next = new_region();
  CHECK(fill_region(next, path, 2).has_value());
  CHECK(next.path() == path);
  CHECK(hits_of(path) == 2);
  for (Region* const one : {&region, &next}) one->reset();
}

TEST_CASE("of two that replace an abandoned file at the same time, the second takes another name") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  Region& slow = new_region();
  Region& quick = new_region();
  if (!held::while_held(
          SYS_flock, 1, [&] { CHECK(fill_region(slow, path, 1).has_value()); },
          [&] {
            CHECK(fill_region(quick, path, 2).has_value());
            CHECK(quick.path() == path);
          }))
    return;
  CHECK(hits_of(path) == 2);
  CHECK(slow.path() == folder / "a.1.mmstats");
  CHECK(hits_of(slow.path()) == 1);
  CHECK(names_in(folder.path()) == Names{"a.1.mmstats", "a.mmstats"});
  for (Region* const region : {&slow, &quick}) region->reset();
}

TEST_CASE("until it is replaced, nobody can lock an abandoned file or begin to write it") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  const int other = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Region& region = new_region();
  if (!held::while_held(
          held::kRename, 1, [&] { CHECK(fill_region(region, path, 1).has_value()); },
          [&] {
            CHECK(::flock(other, LOCK_EX | LOCK_NB) != 0);
            CHECK(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC) == -1);
            CHECK(errno == EWOULDBLOCK);
          }))
    return;
  CHECK(region.path() == path);
  CHECK(hits_of(path) == 1);
  CHECK(::flock(other, LOCK_EX | LOCK_NB) == 0);
  ::close(other);
  region.reset();
}

TEST_CASE("no descriptor is kept, and programs that are started meanwhile inherit none") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  const auto before = open_descriptors();
  const auto inherited = inherited_descriptors();
  const std::string field = sample::counter(std::string(5000, 'x'), 3);
  for (const long call : {long{SYS_fallocate}, long{SYS_flock}}) {
    Region& region = new_region();
    if (!held::while_held(
            call, held::kAtEach,
            [&] {
              CHECK(fill_region(region, path, 1).has_value());
              const auto end = sample::file(sample::counter("hits", 1)).size() - 2;
              CHECK(region.append(end, sample::bytes(field)).has_value());
            },
            [&] {
              CHECK(inherited_descriptors() == inherited);
              CHECK(open_descriptors().size() > before.size());
            }))
      return;
    CHECK(region.file_bytes() == 8192);
    CHECK(open_descriptors() == before);
    region.remove();
    CHECK(names_in(folder.path()).empty());
    region.reset();
    sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  }
}

TEST_CASE("a file that has another's name by now is neither removed nor given a field") {
  const TemporaryFolder folder;
  const auto path = folder / "a.mmstats";
  Region& region = new_region();
  REQUIRE(fill_region(region, path, 1).has_value());
  const auto other = sample::write(folder, "other", sample::file(sample::counter("hits", 8)));
  REQUIRE(::rename(other.c_str(), path.c_str()) == 0);
  const auto end = sample::file(sample::counter("hits", 1)).size() - 2;
  const std::string field = sample::counter(std::string(5000, 'x'), 3);
  const auto appended = region.append(end, sample::bytes(field));
  REQUIRE_FALSE(appended.has_value());
  CHECK(appended.error().kind == ErrorKind::kChanged);
  region.remove();
  CHECK(hits_of(path) == 8);
  CHECK(sample::read(path).size() < 4096);
  CHECK_FALSE(region.is_file());
  region.reset();
}

namespace {

// Calls act() in a thread of its own while another one is amid leaving the region's file, which is cut: in
// front of what puts its copy there, as SIGBUS's handler may be. It goes on when act() waits for it, or is
// done. False: the system allows no such thing.
template <class Act>
[[nodiscard]] bool while_file_is_left(Region& region, Act act) {
  REQUIRE(::truncate(region.path().c_str(), 100) == 0);
  std::atomic<bool> waits{false};
  std::atomic<bool> done{false};
  std::thread other;
  const bool allowed = held::while_held(
      SYS_mremap, 1, [&] { CHECK(region.leave_cut_file()); },
      [&] {
        other = std::thread([&] {
          CHECK(held::while_held(SYS_sched_yield, held::kAtEach, act, [&] { waits = true; }));
          done = true;
        });
        while (!waits && !done) std::this_thread::yield();
      });
  if (other.joinable()) other.join();
  return allowed;
}

// Whether what is written there is what the file says from then on.
bool is_written_to(Region& region, const std::string& path) {
  region.address()[4095] ^= std::byte{7};
  return sample::read(path).at(4095) == region.address()[4095];
}

}  // namespace

TEST_CASE("a thread that still leaves a cut file puts nothing over the next file of the same region") {
  for (const bool detached : {false, true}) {
    CAPTURE(detached);
    const TemporaryFolder folder;
    const auto next = folder / "next.mmstats";
    Region& region = new_region();
    REQUIRE(fill_region(region, folder / "a.mmstats", 1).has_value());
    if (!while_file_is_left(region, [&] {
          if (detached) region.detach();
          region.forget();
          region.reset();
          CHECK(fill_region(region, next, 2).has_value());
        }))
      return;
    CHECK_FALSE(region.lost_bytes());
    CHECK(region.is_published());
    REQUIRE(region.file_bytes() == 4096);
    CHECK(is_written_to(region, next));
    CHECK(hits_of(next) == 2);
    region.remove();
    region.reset();
  }
}

TEST_CASE(
    "whatever else is done to a region's file meanwhile, a thread that still leaves it spoils nothing") {
  const TemporaryFolder folder;
  const auto path = folder / "a.mmstats";
  const auto again = folder / "again.mmstats";
  const auto end = sample::file(sample::counter("hits", 1)).size() - 2;
  Region& region = new_region();
  REQUIRE(fill_region(region, path, 1).has_value());
  SUBCASE("it is made again, as it was deleted") {
    Region* const made = &region;
    if (!while_file_is_left(*made, [&] {
          REQUIRE(::unlink(path.c_str()) == 0);
          const auto published = made->publish_again(again, {});
          CHECK_FALSE(published.has_value());
          if (!published) CHECK(published.error().kind == ErrorKind::kChanged);
        }))
      return;
    CHECK(names_in(folder.path()).empty());
    CHECK(region.lost_bytes());
    region.restore({});
    REQUIRE(region.publish_again(again, {}).has_value());
    CHECK(region.is_published());
    CHECK(is_written_to(region, again));
  }
  SUBCASE("it is let go") {
    for (const bool removed : {false, true}) {
      CAPTURE(removed);
      if (removed) {
        region.reset();
        REQUIRE(fill_region(region, path, 1).has_value());
      }
      if (!while_file_is_left(region, [&] {
            // The name does not lead there any more: nothing says that it is cut.
            REQUIRE(::rename(path.c_str(), again.c_str()) == 0);
            removed ? region.remove() : region.detach();
            region.address()[50] = std::byte{7};
          }))
        return;
      CHECK(region.address()[50] == std::byte{7});
      CHECK_FALSE(region.is_file());
      CHECK_FALSE(region.lost_bytes());
    }
  }
  SUBCASE("something is written there that all files have") {
    if (!while_file_is_left(region, [&] { region.write([](std::byte* file) { file[50] = std::byte{7}; }); }))
      return;
    CHECK(region.lost_bytes());
    CHECK(region.address()[50] == std::byte{7});
  }
  SUBCASE("it gets a field") {
    const std::string field = sample::counter("more", 3);
    if (!while_file_is_left(region, [&] { CHECK(region.append(end, sample::bytes(field)).has_value()); }))
      return;
    CHECK(std::memcmp(region.address() + end, field.data(), field.size()) == 0);
    CHECK(region.lost_bytes());
  }
  SUBCASE("it gets a field for which it has to grow") {
    const std::string field = sample::counter(std::string(5000, 'x'), 3);
    if (!while_file_is_left(region, [&] {
          // The size alone does not say that it is cut.
          REQUIRE(::truncate(path.c_str(), 4096) == 0);
          const auto appended = region.append(end, sample::bytes(field));
          CHECK_FALSE(appended.has_value());
          if (!appended) CHECK(appended.error().kind == ErrorKind::kChanged);
        }))
      return;
    CHECK(region.lost_bytes());
    REQUIRE(region.file_bytes() == 4096);
    // No page of the file is there any more, which could be missing.
    REQUIRE(::truncate(path.c_str(), 0) == 0);
    CHECK(region.address()[end + 100] == std::byte{'x'});
    CHECK(region.address()[end + 5000] == std::byte{'x'});
  }
  region.forget();
  region.reset();
}

TEST_CASE("a fault that is told of late leaves the good file alone that is there by then") {
  // A thread's fault is told of when its handler runs, which may be at any time.
  const auto told = [](Region& region) { std::thread([&] { CHECK(region.save()); }).join(); };
  for (const std::string next : {"of the next Model", "made again"}) {
    CAPTURE(next);
    const TemporaryFolder folder;
    const auto path = folder / "a.mmstats";
    Region& region = new_region();
    REQUIRE(fill_region(region, path, 1).has_value());
    REQUIRE(::truncate(path.c_str(), 100) == 0);
    if (next == "made again") {
      REQUIRE(region.leave_cut_file());
      told(region);
      region.restore({});
      told(region);
      REQUIRE(region.publish_again(path, {}).has_value());
    } else {
      region.forget();
      told(region);
      region.reset();
      told(region);
      REQUIRE(fill_region(region, path, 2).has_value());
    }
    for (int thread = 0; thread < 3; ++thread) told(region);
    CHECK(region.is_published());
    CHECK(is_written_to(region, path));
    // Of a thread that misses a page of this file, too, it is told once more.
    CHECK(region.save());
    CHECK(region.is_published());
    REQUIRE(::truncate(path.c_str(), 100) == 0);
    CHECK(region.save());
    CHECK(region.lost_bytes());
    region.forget();
    region.reset();
  }
}

TEST_CASE("a fault that no cut file explains is not tried for ever") {
  const TemporaryFolder folder;
  Region& region = new_region();
  REQUIRE(fill_region(region, folder / "a.mmstats", 1).has_value());
  REQUIRE(::truncate((folder / "a.mmstats").c_str(), 100) == 0);
  region.detach();
  CHECK(region.save());
  CHECK_FALSE(region.save());
  region.reset();
}

TEST_CASE("a child of a fork leaves a cut file though its parent's thread was amid that") {
  const TemporaryFolder folder;
  Region& region = new_region();
  REQUIRE(fill_region(region, folder / "a.mmstats", 1).has_value());
  region.give_to_children(true);
  REQUIRE(::truncate((folder / "a.mmstats").c_str(), 100) == 0);
  // Who waits for ever takes no signal meanwhile.
  const auto end_some_time = [] {
    const rlimit seconds{.rlim_cur = 60, .rlim_max = 60};
    must(::setrlimit(RLIMIT_CPU, &seconds) == 0);
  };
  const auto leaves = [&] {
    end_some_time();
    must(region.save());
    must(region.save());
    must(region.lost_bytes());
  };
  const auto begins_anew = [&] {
    end_some_time();
    region.reset();
    must(fill_region(region, folder / "child.mmstats", 2).has_value());
    must(region
             .append(sample::file(sample::counter("hits", 1)).size() - 2,
                     sample::bytes(sample::counter("more", 3)))
             .has_value());
    must(FileContent(folder / "child.mmstats").numbers.size() == 2);
  };
  if (!held::while_held(
          SYS_mremap, 1, [&] { CHECK(region.leave_cut_file()); },
          [&] {
            CHECK(ChildProcess(leaves).wait() == 0);
            CHECK(ChildProcess(begins_anew).wait() == 0);
          }))
    return;
  CHECK(region.lost_bytes());
  region.forget();
  region.reset();
}

TEST_CASE("no handler of another signal interrupts a thread that leaves a cut file") {
  const TemporaryFolder folder;
  ChildProcess program([&] {
    static std::atomic<bool> handled{false};
    static Region& region = new_region();
    // It may end the Model, and would wait for this thread then, or write the same file.
    must(::signal(SIGUSR1, [](int) {
           must(region.lost_bytes());
           handled = true;
         }) != SIG_ERR);
    must(fill_region(region, folder / "a.mmstats", 1).has_value());
    must(::truncate((folder / "a.mmstats").c_str(), 100) == 0);
    std::atomic<pid_t> thread{0};
    if (!held::while_held(
            SYS_mremap, 1,
            [&] {
              thread = ::gettid();
              must(region.leave_cut_file());
            },
            [&] { must(::syscall(SYS_tgkill, ::getpid(), thread.load(), SIGUSR1) == 0); }))
      ::_exit(ChildProcess::kSkipped);
    must(handled);
  });
  const int status = program.wait();
  if (status == ChildProcess::kSkipped)
    MESSAGE("skipped: no system call can be held here");
  else
    CHECK(status == 0);
}

TEST_CASE("a list that ends where a page does gets one more, for its end") {
  const TemporaryFolder folder;
  const auto path = folder / "a.mmstats";
  const auto begin = sample::file(sample::counter("hits", 1)).size() - 2;
  for (const std::size_t spare : {0, 1, 2, 3}) {
    CAPTURE(spare);
    Region& region = new_region();
    REQUIRE(fill_region(region, path, 1).has_value());
    const auto head = sample::counter("", 3).size();
    const std::string label(4096 - spare - head - begin, 'x');
    const auto field = sample::counter(label, 3);
    REQUIRE(begin + field.size() + spare == 4096);
    CHECK(region.append(begin, sample::bytes(field)).has_value());
    CHECK(region.file_bytes() == (spare < 2 ? 8192 : 4096));
    CHECK(sample::read(path).size() == region.file_bytes());
    const FileContent content(path);
    CHECK(content.wrong.empty());
    CHECK(content.numbers.at(label) == 3);
    region.remove();
    region.reset();
  }
}

TEST_CASE("a region whose file had no room takes fields again when it is used for another file") {
  const TemporaryFolder folder;
  const auto path = folder / "a.mmstats";
  const auto end = sample::file(sample::counter("hits", 1)).size() - 2;
  const std::string large = sample::counter(std::string(5000, 'x'), 3);
  const std::string small = sample::counter("small", 4);
  Region& region = new_region();
  REQUIRE(fill_region(region, path, 1).has_value());
  if (!held::while_failing(SYS_fallocate, ENOSPC, [&] {
        const auto appended = region.append(end, sample::bytes(large));
        CHECK_FALSE(appended.has_value());
        if (!appended) CHECK(appended.error().sys_errno == ENOSPC);
        // Its list has ended for good: what comes after would be read without what is missing.
        CHECK(region.append(end + large.size(), sample::bytes(small)).has_value());
        CHECK(FileContent(path).numbers.size() == 1);
      }))
    return;
  region.remove();
  region.reset();
  REQUIRE(fill_region(region, path, 2).has_value());
  CHECK(region.append(end, sample::bytes(small)).has_value());
  CHECK(FileContent(path).numbers.at("small") == 4);
  region.remove();
  region.reset();
}

TEST_CASE("a file that nobody has open is replaced only if its owner is known to be gone") {
  struct Row {
    const char* what;
    std::uint32_t pid;
    bool says_mapped;
    bool sees_mappings;
    bool replaced;
  };
  const auto mine = static_cast<std::uint32_t>(::getpid());
  for (const Row& row : {
           Row{"of a dead process", kUnusedPid, false, true, true},
           Row{"of a live one, which may publish by rename", mine, false, true, false},
           Row{"of a live one that would have it mapped", mine, true, true, true},
           Row{"the same, where mappings are not seen", mine, true, false, false},
           Row{"of a dead process, where mappings are not seen", kUnusedPid, true, false, true},
           Row{"of nobody", 0, false, true, true},
           Row{"of nobody, where mappings are not seen", 0, false, false, false},
       }) {
    CAPTURE(std::string(row.what));
    const TemporaryFolder folder;
    MadeFile made;
    made.buffered("hits", "Q", std::uint64_t{7});
    if (row.pid != 0) made.owner(row.pid, unix_now() + 60);
    if (row.says_mapped) {
      made.text("sys.metadata", "sys.writer\tproperty\t\tmaps the file while it lives\n", 200);
    }
    folder.write("a.mmstats", made.padded());
    const auto path = folder / "a.mmstats";
    Region& region = new_region();
    const auto fill = [&] { CHECK(fill_region(region, path, 1).has_value()); };
    if (row.sees_mappings) {
      fill();
    } else {
      if (!held::while_failing(SYS_fstatfs, ENOSYS, fill)) return;
    }
    CHECK(region.path() == (row.replaced ? path : folder / "a.1.mmstats"));
    CHECK(hits_of(path) == (row.replaced ? 1 : 7));
    region.reset();
  }
}

namespace {

struct FieldBeyondThePage {
  std::size_t at = sample::file(sample::counter("hits", 1)).size() - 2;
  std::string bytes = sample::counter(std::string(5000, 'x'), 3);
};

// A process that asks who writes the file `path`, and is stopped then: it gives its lease back when somebody
// was refused so many times.
ChildProcess lease_holder(const std::string& path, int times, int granted) {
  return ChildProcess([&] {
    sigset_t refused;
    sigemptyset(&refused);
    sigaddset(&refused, SIGURG);
    must(::sigprocmask(SIG_BLOCK, &refused, nullptr) == 0);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && ::fcntl(fd, F_SETSIG, SIGURG) == 0);
    must(::fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
    must(::write(granted, "y", 1) == 1);
    for (int time = 0; time < times; ++time) must(::sigwaitinfo(&refused, nullptr) == SIGURG);
    must(::fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
  });
}

// Makes `folder` one of an overlay, where a lease is granted on a file that is mapped: for this process
// alone.
bool mount_overlay(const std::string& folder) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return false;
  if (::mount("none", folder.c_str(), "tmpfs", 0, nullptr) != 0) return false;
  for (const char* part : {"/lower", "/upper", "/work", "/merged"}) ::mkdir((folder + part).c_str(), 0755);
  const auto options =
      "lowerdir=" + folder + "/lower,upperdir=" + folder + "/upper,workdir=" + folder + "/work";
  return ::mount("none", (folder + "/merged").c_str(), "overlay", 0, options.c_str()) == 0;
}

}  // namespace

TEST_CASE("a file gets its field though somebody who asks for its writers keeps them away for a moment") {
  const FieldBeyondThePage field;
  SUBCASE("who is stopped meanwhile") {
    const TemporaryFolder folder;
    ChildProcess writer([&] {
      if (!mount_overlay(folder.path())) ::_exit(ChildProcess::kSkipped);
      const auto path = folder / "merged/a.mmstats";
      Region& region = new_region();
      must(fill_region(region, path, 1).has_value());
      std::array<int, 2> granted{};
      must(::pipe(granted.data()) == 0);
      ChildProcess holder = lease_holder(path, 1, granted[1]);
      ::close(granted[1]);
      char answer = 0;
      if (::read(granted[0], &answer, 1) != 1) ::_exit(ChildProcess::kSkipped);
      // However late he is told: in front of the writer's first nap he gets the time that he takes.
      bool gave_back = false;
      if (!held::while_held(
              SYS_clock_nanosleep, 1,
              [&] { must(region.append(field.at, sample::bytes(field.bytes)).has_value()); },
              [&] { gave_back = holder.wait() == 0; }))
        ::_exit(ChildProcess::kSkipped);
      must(gave_back);
      must(FileContent(path).numbers.size() == 2);
    });
    const int status = writer.wait();
    if (status == ChildProcess::kSkipped)
      MESSAGE("skipped: no overlay can be mounted here, or it has no leases, or no system call can be held");
    else
      CHECK(status == 0);
  }
  SUBCASE("in the kernel's words") {
    const TemporaryFolder folder;
    const auto path = folder / "a.mmstats";
    Region& region = new_region();
    REQUIRE(fill_region(region, path, 1).has_value());
    if (!held::while_failing_first(3, SYS_openat, EWOULDBLOCK, [&] {
          CHECK(region.append(field.at, sample::bytes(field.bytes)).has_value());
        }))
      return;
    CHECK(FileContent(path).numbers.size() == 2);
    region.remove();
    region.reset();
  }
}

TEST_CASE("whoever keeps writers away for long is not waited for") {
  const FieldBeyondThePage field;
  const TemporaryFolder folder;
  Region& region = new_region();
  REQUIRE(fill_region(region, folder / "a.mmstats", 1).has_value());
  int tries = 0;
  if (!held::while_failing_first(
          1'000'000, SYS_openat, EWOULDBLOCK,
          [&] {
            const auto appended = region.append(field.at, sample::bytes(field.bytes));
            CHECK_FALSE(appended.has_value());
            if (!appended) CHECK(appended.error().sys_errno == EWOULDBLOCK);
          },
          [&] { ++tries; }))
    return;
  CHECK(tries <= 101);
  region.remove();
  region.reset();
}

TEST_CASE("what an abandoned file says is read before others are kept from writing it") {
  const TemporaryFolder folder;
  MadeFile made;
  made.buffered("hits", "Q", std::uint64_t{7});
  const auto path = folder / "a.mmstats";
  // Without an owner, the file system is asked; with one, the process is, too.
  for (const bool owned : {false, true}) {
    if (owned) made.owner(1, unix_now() - 1e6);
    for (const long call : {long{SYS_pread64}, long{SYS_openat}, long{SYS_fstatfs}}) {
      folder.write("a.mmstats", made.padded());
      Region& region = new_region();
      if (!held::while_held(
              call, held::kAtEach, [&] { CHECK(fill_region(region, path, 1).has_value()); },
              [&] {
                const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
                CHECK(fd >= 0);
                ::close(fd);
              }))
        return;
      region.remove();
      region.reset();
    }
  }
}

TEST_CASE("a file that somebody writes and closes while it is looked at is not replaced") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a.mmstats", sample::file(sample::counter("hits", 7)));
  Region& region = new_region();
  // First only its first byte is read.
  if (!held::while_held(
          SYS_pread64, 2, [&] { CHECK(fill_region(region, path, 1).has_value()); },
          [&] {
            const auto longer = sample::file(sample::counter("hits", 8) + sample::counter("more", 9));
            sample::write(folder, "a.mmstats", longer);
          }))
    return;
  CHECK(region.path() == folder / "a.1.mmstats");
  CHECK(hits_of(path) == 8);
  region.reset();
}
