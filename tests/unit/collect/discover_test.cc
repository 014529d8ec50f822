#include "collect/discover.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <set>

#include "child_process.h"
#include "descriptors.h"
#include "held_calls.h"
#include "other_user.h"
#include "temporary_folder.h"

using namespace mmstats;
using namespace std::chrono_literals;
namespace fs = boost::filesystem;

namespace {

const std::vector<std::byte> kContent(100, std::byte{1});

struct Eyes {
  TemporaryFolder folder;
  Discovery discovery;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();

  explicit Eyes(DiscoveryLimits limits = {}, const std::string& glob = "*.mmstats")
      : discovery({folder / glob}, limits) {}

  const Found& scan() { return discovery.scan(now); }
  void forget_gone(const Found& found) {
    for (const FileKey key : found.gone) discovery.forget(key);
  }
  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const FileKey key : discovery.files()) all.insert(fs::path(discovery.path(key)).filename().native());
    return all;
  }
};

}  // namespace

TEST_CASE("files appear, are replaced, and are gone, and can be read to their end") {
  Eyes eyes;
  CHECK(eyes.scan().appeared.empty());
  eyes.folder.write("a.mmstats", kContent);
  eyes.folder.write(".hidden.mmstats", kContent);
  eyes.folder.write("other.txt", kContent);
  CHECK(eyes.scan().appeared.size() == 1);
  CHECK(eyes.names() == std::set<std::string>{"a.mmstats"});
  const FileKey first = eyes.discovery.files()[0];
  CHECK(eyes.scan().appeared.empty());

  SUBCASE("unlinked") {
    fs::remove(eyes.folder / "a.mmstats");
    const Found& found = eyes.scan();
    CHECK(found.gone == std::vector<FileKey>{first});
    CHECK(found.appeared.empty());
    CHECK(eyes.discovery.files().empty());
    std::vector<std::byte> bytes(200);
    CHECK(eyes.discovery.read_at(first, 0, bytes) == 100);
    CHECK(eyes.discovery.size(first) == 100);
    CHECK(eyes.discovery.held() == 1);
    eyes.forget_gone(found);
    CHECK(eyes.discovery.held() == 0);
  }
  SUBCASE("another file takes the name") {
    eyes.folder.write(".new", kContent);
    fs::rename(eyes.folder / ".new", eyes.folder / "a.mmstats");
    const Found& found = eyes.scan();
    CHECK(found.gone == std::vector<FileKey>{first});
    REQUIRE(found.appeared.size() == 1);
    CHECK(found.appeared[0] != first);
    eyes.forget_gone(found);
    CHECK(eyes.scan().gone.empty());
    CHECK(eyes.names().size() == 1);
  }
  SUBCASE("it is renamed within the globs: the same file") {
    fs::rename(eyes.folder / "a.mmstats", eyes.folder / "b.mmstats");
    const Found& found = eyes.scan();
    CHECK(found.gone.empty());
    CHECK(found.appeared.empty());
    CHECK(eyes.names() == std::set<std::string>{"b.mmstats"});
  }
  SUBCASE("a second name is no second file") {
    fs::create_hard_link(eyes.folder / "a.mmstats", eyes.folder / "b.mmstats");
    CHECK(eyes.scan().appeared.empty());
    CHECK(eyes.discovery.files().size() == 1);
    fs::remove(eyes.folder / "a.mmstats");
    CHECK(eyes.scan().gone.empty());
    fs::remove(eyes.folder / "b.mmstats");
    CHECK(eyes.scan().gone == std::vector<FileKey>{first});
  }
  SUBCASE("the folder goes, and comes back") {
    fs::remove_all(eyes.folder.path());
    const Found& gone = eyes.scan();
    CHECK(gone.gone == std::vector<FileKey>{first});
    CHECK(gone.folders_failed == 0);
    eyes.forget_gone(gone);
    fs::create_directories(eyes.folder.path());
    eyes.folder.write("a.mmstats", kContent);
    CHECK(eyes.scan().appeared.size() == 1);
  }
  SUBCASE("it is removed through us") {
    CHECK(eyes.discovery.remove(first).has_value());
    CHECK(eyes.scan().gone == std::vector<FileKey>{first});
  }
  SUBCASE("it is not removed if it is another file by now") {
    eyes.folder.write(".new", kContent);
    fs::rename(eyes.folder / ".new", eyes.folder / "a.mmstats");
    const auto removed = eyes.discovery.remove(first);
    REQUIRE_FALSE(removed.has_value());
    CHECK(removed.error().kind == ErrorKind::kChanged);
    CHECK(fs::exists(eyes.folder / "a.mmstats"));
  }
}

TEST_CASE("a folder whose stamp is old and unchanged is not listed again, until a minute has passed") {
  Eyes eyes;
  eyes.folder.write("a.mmstats", kContent);
  const auto stamp_folder = [&](std::chrono::system_clock::time_point when) {
    const timespec stamp{std::chrono::system_clock::to_time_t(when), 0};
    const timespec both[] = {stamp, stamp};
    ::utimensat(AT_FDCWD, eyes.folder.path().c_str(), both, 0);
  };
  stamp_folder(eyes.now - 1h);
  CHECK(eyes.scan().appeared.size() == 1);
  eyes.folder.write("b.mmstats", kContent);
  stamp_folder(eyes.now - 1h);
  eyes.now += 59s;
  CHECK(eyes.scan().appeared.empty());
  eyes.now += 2s;
  CHECK(eyes.scan().appeared.size() == 1);
}

TEST_CASE("a recent stamp proves nothing: the folder is listed again") {
  Eyes eyes;
  struct stat info{};
  eyes.folder.write("a.mmstats", kContent);
  REQUIRE(::stat(eyes.folder.path().c_str(), &info) == 0);
  CHECK(eyes.scan().appeared.size() == 1);
  eyes.folder.write("b.mmstats", kContent);
  const timespec both[] = {info.st_mtim, info.st_mtim};
  ::utimensat(AT_FDCWD, eyes.folder.path().c_str(), both, 0);
  CHECK(eyes.scan().appeared.size() == 1);
}

TEST_CASE("what is no regular file is left alone and told, and hides nothing") {
  Eyes eyes;
  eyes.folder.write("good.mmstats", kContent);
  REQUIRE(::mkfifo((eyes.folder / "fifo.mmstats").c_str(), 0644) == 0);
  fs::create_directory(eyes.folder / "folder.mmstats");
  fs::create_symlink("good.mmstats", eyes.folder / "link.mmstats");
  fs::create_symlink("loop.mmstats", eyes.folder / "loop.mmstats");
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (eyes.folder / "socket.mmstats").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const Found& found = eyes.scan();
  CHECK(eyes.names() == std::set<std::string>{"good.mmstats"});
  CHECK(found.skipped == 5);
  CHECK(found.errors.size() == 5);
  for (const FoundError& error : found.errors) CHECK(error->kind == ErrorKind::kNotRegular);
  ::close(listener);
}

TEST_CASE("a file that becomes something else is gone") {
  Eyes eyes;
  eyes.folder.write("a.mmstats", kContent);
  eyes.scan();
  fs::remove(eyes.folder / "a.mmstats");
  fs::create_directory(eyes.folder / "a.mmstats");
  const Found& found = eyes.scan();
  CHECK(found.gone.size() == 1);
  CHECK(eyes.discovery.files().empty());
}

TEST_CASE("more files than may be read are told, and read when there is room") {
  Eyes eyes({.max_files = 2, .max_held = 100});
  for (const char* name : {"a.mmstats", "b.mmstats", "c.mmstats"}) eyes.folder.write(name, kContent);
  const Found& found = eyes.scan();
  CHECK(eyes.discovery.files().size() == 2);
  CHECK(found.beyond_limit == 1);
  REQUIRE(found.errors.size() == 1);
  CHECK(found.errors[0]->kind == ErrorKind::kLimit);
  fs::remove(*eyes.names().begin() == "a.mmstats" ? eyes.folder / "a.mmstats" : eyes.folder / "b.mmstats");
  eyes.forget_gone(eyes.scan());
  eyes.scan();
  CHECK(eyes.discovery.files().size() == 2);
  CHECK(eyes.scan().beyond_limit == 0);
}

TEST_CASE("files beyond the number of held descriptors are opened for each reading") {
  Eyes eyes({.max_files = 100, .max_held = 1});
  for (const char* name : {"a.mmstats", "b.mmstats", "c.mmstats"}) eyes.folder.write(name, kContent);
  eyes.scan();
  CHECK(eyes.discovery.held() == 1);
  std::vector<std::byte> bytes(200);
  for (const FileKey key : eyes.discovery.files()) CHECK(eyes.discovery.read_at(key, 0, bytes) == 100);
  const auto loose = std::find_if(eyes.discovery.files().begin(), eyes.discovery.files().end(),
                                  [&](FileKey key) { return !eyes.discovery.is_held(key); });
  REQUIRE(loose != eyes.discovery.files().end());
  eyes.folder.write(".new", kContent);
  fs::rename(eyes.folder / ".new", eyes.discovery.path(*loose));
  CHECK(eyes.discovery.read_at(*loose, 0, bytes) == -1);
  CHECK(errno == ESTALE);
  CHECK(eyes.discovery.size(*loose) == -1);
}

TEST_CASE("descriptors stay above those that select can use") {
  Eyes eyes;
  eyes.folder.write("a.mmstats", kContent);
  eyes.scan();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  REQUIRE(limit.rlim_cur > 1024);
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(next < 64);
  ::close(next);
  CHECK(eyes.discovery.held() == 1);
}

TEST_CASE("a file that a process can write is known, and not removed") {
  Eyes eyes;
  eyes.folder.write("a.mmstats", std::vector<std::byte>(4096, std::byte{1}));
  eyes.scan();
  const FileKey key = eyes.discovery.files()[0];
  CHECK(eyes.discovery.writers(key).any == HasWriter::kNo);
  int fd = ::open((eyes.folder / "a.mmstats").c_str(), O_RDWR | O_CLOEXEC);
  CHECK(eyes.discovery.writers(key).any == HasWriter::kYes);
  void* map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(map != MAP_FAILED);
  ::close(fd);
  CHECK(eyes.discovery.writers(key).any == HasWriter::kYes);
  const auto removed = eyes.discovery.remove(key);
  REQUIRE_FALSE(removed.has_value());
  CHECK(removed.error().kind == ErrorKind::kBusy);
  ::munmap(map, 4096);
  CHECK(eyes.discovery.writers(key).any == HasWriter::kNo);
  // Whoever only reads it disturbs nobody.
  fd = ::open((eyes.folder / "a.mmstats").c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(eyes.discovery.remove(key).has_value());
  ::close(fd);
}

TEST_CASE("names without wildcards are those files, and nothing else") {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "[c]", "c", ".hidden", "x\\y"}) folder.write(name, kContent);
  Discovery discovery(
      {folder / "a", folder / "a", folder / "\\[c]", folder / ".hidden", folder / "x\\\\y", folder / "no"});
  const Found& found = discovery.scan(std::chrono::system_clock::now());
  CHECK(found.appeared.size() == 4);
  CHECK(found.errors.empty());
  std::set<std::string> names;
  for (const FileKey key : discovery.files()) names.insert(fs::path(discovery.path(key)).filename().native());
  CHECK(names == std::set<std::string>{"a", "[c]", ".hidden", "x\\y"});
}

TEST_CASE("thousands of names cost one comparison each, not one at each pair") {
  TemporaryFolder folder;
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "worker-of-an-application-" + std::to_string(i) + ".mmstats";
    folder.write(name, {});
    names.push_back(folder / name);
  }
  // The least of several, as what a machine does besides adds to some of them.
  const auto cost = [](const std::vector<std::string>& globs) {
    std::clock_t least = std::numeric_limits<std::clock_t>::max();
    for (int times = 0; times < 5; ++times) {
      const std::clock_t begin = std::clock();
      Discovery discovery(globs, {.max_held = 0});
      const auto found = discovery.scan(std::chrono::system_clock::now()).appeared.size();
      least = std::min(least, std::clock() - begin);
      CHECK(found == 5000);
    }
    return least;
  };
  const std::clock_t with_one_glob = cost({folder / "*"});
  CHECK(cost(names) < 5 * with_one_glob);
}

TEST_CASE("wildcards work in folders too, which may come and go") {
  Eyes eyes({}, "app-*/stats/*.mmstats");
  CHECK(eyes.scan().appeared.empty());
  fs::create_directories(eyes.folder / "app-1/stats");
  fs::create_directories(eyes.folder / "app-2/stats");
  fs::create_directories(eyes.folder / "elsewhere/stats");
  fs::create_directory_symlink("elsewhere", eyes.folder / "app-3");
  eyes.folder.write("app-1/stats/a.mmstats", kContent);
  eyes.folder.write("app-2/stats/b.mmstats", kContent);
  eyes.folder.write("elsewhere/stats/c.mmstats", kContent);
  CHECK(eyes.scan().appeared.size() == 2);
  fs::remove_all(eyes.folder / "app-1");
  const Found& found = eyes.scan();
  CHECK(found.gone.size() == 1);
  eyes.forget_gone(found);
  CHECK(eyes.names() == std::set<std::string>{"b.mmstats"});
}

TEST_CASE("folders that are made anew again and again leave no descriptor open") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "spool");
  for (const std::string glob : {"spool/*.mmstats", "*/*.mmstats"}) {
    CAPTURE(glob);
    Discovery discovery({folder / glob});
    std::size_t first = 0;
    for (int i = 0; i < 50; ++i) {
      folder.write("spool/a.mmstats", kContent);
      const Found& found = discovery.scan(std::chrono::system_clock::now());
      for (const FileKey key : found.gone) discovery.forget(key);
      CHECK(discovery.files().size() == 1);
      if (i == 0) first = open_descriptors().size();
      CHECK(open_descriptors().size() == first);
      fs::remove_all(folder / "spool");
      // Every second time it is gone in a scan, too.
      if (i % 2 == 0) {
        for (const FileKey key : discovery.scan(std::chrono::system_clock::now()).gone) discovery.forget(key);
        CHECK(open_descriptors().size() == first - 2);
      }
      fs::create_directories(folder / "spool");
    }
  }
}

TEST_CASE("what is open for files and folders is closed with them, and no program inherits it") {
  const auto before = open_descriptors();
  const auto inherited = inherited_descriptors();
  {
    Eyes eyes;
    for (const char* name : {"a.mmstats", "b.mmstats"}) eyes.folder.write(name, kContent);
    // Held before each is moved out of the way of select(2).
    if (!held::while_held(
            SYS_fcntl, held::kAtEach, [&] { eyes.scan(); },
            [&] { CHECK(inherited_descriptors() == inherited); }))
      return;
    eyes.scan();
    CHECK(open_descriptors().size() == before.size() + 3);
    CHECK(inherited_descriptors() == inherited);
    fs::remove(eyes.folder / "a.mmstats");
    eyes.forget_gone(eyes.scan());
    CHECK(open_descriptors().size() == before.size() + 2);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a file that is denied is read as soon as it is permitted, though its folder does not change") {
  Eyes eyes;
  eyes.folder.write("good.mmstats", kContent);
  eyes.folder.write("secret.mmstats", kContent);
  const auto secret = eyes.folder / "secret.mmstats";
  REQUIRE(::chmod(secret.c_str(), 0) == 0);
  const timespec old{std::chrono::system_clock::to_time_t(eyes.now - 1h), 0};
  const timespec both[] = {old, old};
  REQUIRE(::utimensat(AT_FDCWD, eyes.folder.path().c_str(), both, 0) == 0);
  const auto check = [&] {
    const Found& denied = eyes.scan();
    must(eyes.names() == std::set<std::string>{"good.mmstats"});
    must(denied.errors.size() == 1 && denied.errors[0]->kind == ErrorKind::kDenied);
    must(denied.errors[0]->path == secret);
    must(::chmod(secret.c_str(), 0600) == 0);
    eyes.now += 1s;
    const Found& permitted = eyes.scan();
    must(permitted.appeared.size() == 1 && permitted.errors.empty());
    must(eyes.names().size() == 2);
  };
  // Root may read everything.
  if (::geteuid() == 0) {
    REQUIRE(::chown(secret.c_str(), kNobody, kNobody) == 0);
    as_nobody(check);
  } else {
    check();
  }
}

TEST_CASE("files below folders that cannot be found for a while stay known, and it is told") {
  struct Row {
    const char* glob;
    long call;
    int failure;
  };
  for (const Row& row : {Row{"*/*.mmstats", SYS_openat, EMFILE}, Row{"*/*.mmstats", SYS_openat, EACCES},
                         Row{"*/*.mmstats", SYS_getdents64, EIO}, Row{"*/x/*.mmstats", SYS_openat, EACCES}}) {
    CAPTURE(row.glob);
    CAPTURE(row.failure);
    Eyes eyes({}, row.glob);
    for (const char* name : {"a/x", "b/x"}) fs::create_directories(eyes.folder / name);
    for (const char* name : {"a/1.mmstats", "b/2.mmstats", "a/x/1.mmstats", "b/x/2.mmstats"}) {
      eyes.folder.write(name, kContent);
    }
    eyes.scan();
    const auto known = eyes.names();
    REQUIRE(known.size() == 2);
    if (!held::while_failing(row.call, row.failure, [&] {
          const Found& found = eyes.scan();
          CHECK(found.gone.empty());
          CHECK(found.folders_failed > 0);
          REQUIRE(!found.errors.empty());
          CHECK(found.errors[0]->sys_errno == row.failure);
        }))
      return;
    CHECK(eyes.names() == known);
    const Found& again = eyes.scan();
    CHECK(again.appeared.empty());
    CHECK(again.errors.empty());
    CHECK(eyes.names() == known);
  }
}

TEST_CASE("a folder that may not be listed for a while loses none of its files") {
  TemporaryFolder top;
  fs::create_directories(top / "x/app");
  top.write("x/app/stats.mmstats", kContent);
  const auto folder = top / "x";
  for (const std::string& path : {top / "x/app/stats.mmstats", top / "x/app", folder, top.path()}) {
    REQUIRE(::chmod(path.c_str(), 0755) == 0);
    if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), kNobody, kNobody) == 0);
  }
  const auto check = [&] {
    Discovery discovery({folder + "/*/stats.mmstats"});
    auto now = std::chrono::system_clock::now();
    must(discovery.scan(now).appeared.size() == 1);
    for (int i = 0; i < 3; ++i) {
      must(::chmod(folder.c_str(), 0) == 0);
      const Found& denied = discovery.scan(now += 10s);
      must(denied.gone.empty() && discovery.files().size() == 1);
      // Told of this one, and not of each below it.
      must(denied.folders_failed == 1 && denied.errors.size() == 1);
      must(denied.errors[0]->path == folder);
      must(::chmod(folder.c_str(), 0755) == 0);
      const Found& permitted = discovery.scan(now += 10s);
      must(permitted.appeared.empty() && permitted.gone.empty() && permitted.errors.empty());
    }
  };
  if (::geteuid() == 0) {
    as_nobody(check);
  } else {
    check();
  }
}

TEST_CASE("a file that is deleted is gone, though a folder that held it once cannot be looked into now") {
  TemporaryFolder top;
  fs::create_directories(top / "x/app");
  fs::create_directories(top / "y");
  top.write("x/app/a.mmstats", kContent);
  for (const std::string& path : {top / "x/app/a.mmstats", top / "x/app", top / "x", top / "y", top.path()}) {
    REQUIRE(::chmod(path.c_str(), 0755) == 0);
    if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), kNobody, kNobody) == 0);
  }
  const auto check = [&] {
    Discovery discovery({top / "x/*/*.mmstats", top / "y/*.mmstats"});
    auto now = std::chrono::system_clock::now();
    must(discovery.scan(now).appeared.size() == 1);
    fs::rename(top / "x/app/a.mmstats", top / "y/a.mmstats");
    must(::chmod((top / "x").c_str(), 0) == 0);
    const Found& moved = discovery.scan(now);
    must(moved.appeared.empty() && moved.gone.empty());
    top.write("y/new", kContent);
    fs::rename(top / "y/new", top / "y/a.mmstats");
    const Found& replaced = discovery.scan(now);
    must(replaced.appeared.size() == 1 && replaced.gone.size() == 1);
    must(discovery.is_replaced(replaced.gone[0]) && discovery.files().size() == 1);
    discovery.forget(replaced.gone[0]);
    must(::chmod((top / "x").c_str(), 0755) == 0);
    const Found& permitted = discovery.scan(now);
    must(permitted.appeared.empty() && permitted.gone.empty() && discovery.files().size() == 1);
  };
  if (::geteuid() == 0) {
    as_nobody(check);
  } else {
    check();
  }
}

TEST_CASE(
    "a file that is renamed while its folder is listed is the same file, and one moved away is gone soon") {
  Eyes eyes;
  eyes.folder.write("a.mmstats", kContent);
  eyes.folder.write("b.mmstats", kContent);
  eyes.scan();
  const auto files = eyes.discovery.files();
  const std::vector<FileKey> before(files.begin(), files.end());
  // A listing that misses both the old and the new name sees what is seen here.
  fs::rename(eyes.folder / "a.mmstats", eyes.folder / "on-its-way");
  const Found& away = eyes.scan();
  CHECK(away.gone.empty());
  CHECK(eyes.discovery.files().size() == 2);
  fs::rename(eyes.folder / "on-its-way", eyes.folder / "c.mmstats");
  CHECK(eyes.scan().appeared.empty());
  CHECK(eyes.names() == std::set<std::string>{"b.mmstats", "c.mmstats"});
  CHECK(std::ranges::is_permutation(eyes.discovery.files(), before));

  fs::rename(eyes.folder / "c.mmstats", eyes.folder / "away");
  CHECK(eyes.scan().gone.empty());
  const Found& gone = eyes.scan();
  CHECK(gone.gone.size() == 1);
  eyes.forget_gone(gone);
  // One that is deleted is gone at once.
  fs::remove(eyes.folder / "b.mmstats");
  CHECK(eyes.scan().gone.size() == 1);
}

TEST_CASE("files that may be released make room, stay known, and are read again if they change") {
  Eyes eyes({.max_files = 3});
  std::set<FileKey> dead;
  const Discovery::MayRelease may_release = [&](FileKey key) { return dead.contains(key); };
  const auto scan = [&]() -> const Found& {
    const Found& found = eyes.discovery.scan(eyes.now, may_release);
    for (const auto* keys : {&found.gone, &found.released}) {
      for (const FileKey key : *keys) eyes.discovery.forget(key);
    }
    return found;
  };
  for (const char* name : {"a.mmstats", "b.mmstats", "c.mmstats"}) eyes.folder.write(name, kContent);
  CHECK(scan().appeared.size() == 3);
  eyes.folder.write("d.mmstats", kContent);
  CHECK(scan().beyond_limit == 1);
  for (const FileKey key : eyes.discovery.files()) {
    if (eyes.discovery.path(key).ends_with("a.mmstats")) dead.insert(key);
  }
  const Found& found = scan();
  CHECK(found.released.size() == 1);
  CHECK(found.appeared.size() == 1);
  CHECK(found.beyond_limit == 0);
  CHECK(eyes.names() == std::set<std::string>{"b.mmstats", "c.mmstats", "d.mmstats"});
  CHECK(eyes.discovery.held() == 3);
  // It is there still, and nothing new.
  dead.clear();
  CHECK(scan().appeared.empty());
  CHECK(scan().beyond_limit == 0);
  // Another file of its name, perhaps of the same inode, is.
  fs::remove(eyes.folder / "a.mmstats");
  fs::remove(eyes.folder / "b.mmstats");
  eyes.folder.write("a.mmstats", kContent);
  CHECK(scan().beyond_limit == 1);  // that one of the others is gone is known at the end of the scan
  CHECK(scan().appeared.size() == 1);
  CHECK(eyes.names() == std::set<std::string>{"a.mmstats", "c.mmstats", "d.mmstats"});
}

TEST_CASE("the owner of a file is the user whose it was when it was opened, held or not") {
  Eyes eyes({.max_held = 1});
  eyes.folder.write("a.mmstats", kContent);
  eyes.folder.write("b.mmstats", kContent);
  const uid_t owner = ::geteuid() == 0 ? 12345 : ::geteuid();
  for (const char* name : {"a.mmstats", "b.mmstats"}) {
    REQUIRE(::lchown((eyes.folder / name).c_str(), owner, static_cast<gid_t>(-1)) == 0);
  }
  REQUIRE(eyes.scan().appeared.size() == 2);
  CHECK(eyes.discovery.held() == 1);
  for (const FileKey file : eyes.discovery.files()) CHECK(eyes.discovery.owner(file) == owner);
}
