#include "collect/remove.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "base/descriptor.h"
#include "child_process.h"
#include "collect/folder_path.h"
#include "descriptors.h"
#include "held_calls.h"
#include "other_user.h"
#include "patience.h"
#include "sample.h"
#include "temporary_folder.h"

using namespace mmstats;
namespace fs = boost::filesystem;

namespace {

OpenFile open(const std::string& path) {
  auto file = OpenFile::open(AT_FDCWD, path.c_str(), path);
  REQUIRE(file.has_value());
  return std::move(*file);
}

// A file, and the folder in which it was opened.
struct Opened {
  OpenFile file;
  Descriptor folder;
  std::string path;

  explicit Opened(const std::string& at) : path(at) {
    const auto slash = path.rfind('/');
    folder = open_folder({path.substr(0, slash), slash});
    auto opened = OpenFile::open(folder.get(), name(), path);
    if (opened) file = std::move(*opened);
  }
  [[nodiscard]] const char* name() const { return path.c_str() + path.rfind('/') + 1; }
  Expected<void> check() const { return check_unwritten(file, folder.get(), name(), path); }
  Expected<void> remove() const { return remove_unwritten(file, folder.get(), name(), path); }
};

std::string put(const TemporaryFolder& folder, const std::string& name, std::uint64_t hits) {
  return sample::write(folder, name, sample::file(sample::counter("hits", hits)));
}

}  // namespace

TEST_CASE("a file that nobody writes is removed, and whoever reads it reads on") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const auto content = sample::read(path);
  const Opened opened(path);
  CHECK(opened.check().has_value());
  CHECK(fs::exists(path));
  CHECK(opened.remove().has_value());
  CHECK_FALSE(fs::exists(path));
  std::vector<std::byte> bytes(content.size());
  CHECK(opened.file.read_at(0, bytes) == static_cast<ssize_t>(content.size()));
  CHECK(bytes == content);
}

TEST_CASE("what has the file's name now is kept, if it is another file") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const auto other = put(folder, "other", 8);
  const Opened file(path);
  const auto check = [&](ErrorKind kind) {
    for (const auto ask : {&Opened::check, &Opened::remove}) {
      const auto removed = (file.*ask)();
      REQUIRE_FALSE(removed.has_value());
      CHECK(removed.error().kind == kind);
      CHECK(removed.error().path == path);
    }
  };
  SUBCASE("renamed into its place") {
    fs::rename(other, path);
    check(ErrorKind::kChanged);
    CHECK(fs::exists(path));
  }
  SUBCASE("made in its place") {
    fs::remove(path);
    put(folder, "a.mmstats", 9);
    check(ErrorKind::kChanged);
    CHECK(fs::exists(path));
  }
  SUBCASE("a link to another file") {
    fs::remove(path);
    fs::create_symlink(other, path);
    check(ErrorKind::kChanged);
    CHECK(fs::exists(other));
    CHECK(fs::is_symlink(path));
  }
  SUBCASE("a link to the file itself") {
    fs::rename(path, folder / "moved");
    fs::create_symlink("moved", path);
    check(ErrorKind::kChanged);
    CHECK(fs::exists(folder / "moved"));
    CHECK(fs::is_symlink(path));
  }
  SUBCASE("a folder") {
    fs::remove(path);
    fs::create_directories(path);
    check(ErrorKind::kChanged);
    CHECK(fs::exists(path));
  }
  SUBCASE("nothing") {
    fs::remove(path);
    check(ErrorKind::kNotFound);
  }
}

TEST_CASE("a file of the same name is kept in a folder that took the place of the file's, or a link to one") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "ours");
  fs::create_directories(folder / "precious");
  const auto path = put(folder, "ours/a.mmstats", 7);
  const auto victim = put(folder, "precious/a.mmstats", 8);
  const Opened opened(path);
  fs::rename(folder / "ours", folder / "away");
  fs::create_symlink("precious", folder / "ours");
  // In the folder where the path leads to now.
  const Descriptor other = open_folder({folder / "ours", std::string::npos});
  const auto removed = remove_unwritten(opened.file, other.get(), "a.mmstats", path);
  REQUIRE_FALSE(removed.has_value());
  CHECK(removed.error().kind == ErrorKind::kChanged);
  CHECK(fs::exists(victim));
  CHECK(fs::exists(folder / "away/a.mmstats"));
  // In the folder that was opened, it is the file itself.
  CHECK(opened.remove().has_value());
  CHECK(fs::exists(victim));
  CHECK_FALSE(fs::exists(folder / "away/a.mmstats"));
}

TEST_CASE("a name without a folder is one in the working folder") {
  const TemporaryFolder folder;
  put(folder, "a.mmstats", 7);
  ChildProcess child([&] {
    must(::chdir(folder.path().c_str()) == 0);
    const auto file = OpenFile::open(AT_FDCWD, "a.mmstats", "a.mmstats");
    must(file.has_value());
    must(remove_unwritten(*file, AT_FDCWD, "a.mmstats", "a.mmstats").has_value());
  });
  CHECK(child.wait() == 0);
  CHECK_FALSE(fs::exists(folder / "a.mmstats"));
}

TEST_CASE("a file that another process can write is kept, and one that others only read is not") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  struct Row {
    const char* name;
    int open_flags;
    int protection;  // PROT_NONE: not mapped, but open
    bool kept;
  };
  static constexpr std::array kRows{
      Row{"mapped for reading", O_RDONLY, PROT_READ, false},
      Row{"open for writing", O_RDWR, PROT_NONE, true},
      Row{"mapped for writing", O_RDWR, PROT_READ | PROT_WRITE, true},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    {
      const ChildProcess other([&] {
        const int fd = ::open(path.c_str(), row.open_flags);
        must(fd >= 0);
        if (row.protection != PROT_NONE) {
          must(::mmap(nullptr, 1, row.protection, MAP_SHARED, fd, 0) != MAP_FAILED);
          ::close(fd);
        }
        must(::write(ready[1], "r", 1) == 1);
        for (;;) ::pause();
      });
      char byte = 0;
      REQUIRE(::read(ready[0], &byte, 1) == 1);
      const auto may = Opened(path).check();
      CHECK(may.has_value() == !row.kept);
      if (!may) {
        CHECK(may.error().kind == ErrorKind::kBusy);
        CHECK(may.error().sys_errno == 0);
      }
    }
    ::close(ready[0]);
    ::close(ready[1]);
    // It is not, once the process is gone, and whoever looked into its memory just then, as ps does.
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!Opened(path).check() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    CHECK(Opened(path).check().has_value());
  }
}

TEST_CASE("another user's file is kept, as only root and its owner may ask who writes it") {
  const TemporaryFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0777) == 0);
  const auto path = put(folder, "a.mmstats", 7);
  as_nobody([&] {
    const Opened opened(path);
    must(opened.file.is_open());
    const auto removed = opened.remove();
    must(!removed.has_value());
    must(removed.error().kind == ErrorKind::kBusy);
    must(removed.error().sys_errno == EACCES);
    must(removed.error().text().find("only root or its owner") != std::string::npos);
  });
  CHECK(fs::exists(path));
}

TEST_CASE("a file in a folder that is not ours to change is kept") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  if (::chown(path.c_str(), kNobody, kNobody) != 0) {
    MESSAGE("skipped: we are not root");
    return;
  }
  as_nobody([&] {
    const Opened opened(path);
    must(opened.file.is_open());
    const auto removed = opened.remove();
    must(!removed.has_value());
    must(removed.error().kind == ErrorKind::kDenied);
    must(removed.error().sys_errno == EACCES);
  });
  CHECK(fs::exists(path));
}

TEST_CASE("a file that a writer has locked, to replace it, is kept") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const Opened file(path);
  const OpenFile writer = open(path);
  for (const int kind : {LOCK_EX, LOCK_SH}) {
    REQUIRE(::flock(writer.fd(), kind) == 0);
    for (const auto ask : {&Opened::check, &Opened::remove}) {
      const auto removed = (file.*ask)();
      REQUIRE_FALSE(removed.has_value());
      CHECK(removed.error().kind == ErrorKind::kBusy);
      CHECK(removed.error().sys_errno == 0);
    }
    CHECK(fs::exists(path));
    REQUIRE(::flock(writer.fd(), LOCK_UN) == 0);
  }
  // The lock is left, whatever the answer was.
  CHECK(file.check().has_value());
  CHECK(::flock(writer.fd(), LOCK_EX | LOCK_NB) == 0);
}

TEST_CASE("until it is removed, nobody can lock a file or begin to write it, and programs inherit nothing") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const Opened file(path);
  const OpenFile writer = open(path);
  const auto before = open_descriptors();
  const auto inherited = inherited_descriptors();
  if (!held::while_held(
          SYS_unlinkat, 1, [&] { CHECK(file.remove().has_value()); },
          [&] {
            CHECK(::flock(writer.fd(), LOCK_EX | LOCK_NB) != 0);
            CHECK(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC) == -1);
            CHECK(errno == EWOULDBLOCK);
            CHECK(inherited_descriptors() == inherited);
            CHECK(open_descriptors().size() > before.size());
          }))
    return;
  CHECK(::flock(writer.fd(), LOCK_EX | LOCK_NB) == 0);
  CHECK(open_descriptors() == before);
}

TEST_CASE("a file that is replaced while we ask for its writers is kept, and so is the other") {
  const TemporaryFolder folder;
  for (const long call : {long{SYS_flock}, long{SYS_fcntl}}) {
    const auto path = put(folder, "a.mmstats", 7);
    const auto other = put(folder, "other", 8);
    const Opened file(path);
    if (!held::while_held(
            call, 1,
            [&] {
              const auto removed = file.remove();
              CHECK_FALSE(removed.has_value());
              if (!removed) CHECK(removed.error().kind == ErrorKind::kChanged);
            },
            [&] { fs::rename(other, path); }))
      return;
    CHECK(fs::exists(path));
  }
}

TEST_CASE("others are kept from writing a file for the removal alone, and for the answer not at all") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const auto may_write = [&] {
    const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  };
  // The folder is opened before the question.
  if (!held::while_held(
          SYS_openat, held::kAtEach, [&] { CHECK(Opened(path).check().has_value()); },
          [&] { CHECK(may_write()); }))
    return;
  if (!held::while_held(
          SYS_newfstatat, held::kAtEach, [&] { CHECK(Opened(path).check().has_value()); },
          [&] { CHECK(may_write()); }))
    return;
  if (!held::while_held(
          SYS_openat, held::kAtEach, [&] { CHECK(Opened(path).remove().has_value()); },
          [&] { CHECK(may_write()); }))
    return;
}

TEST_CASE("the lease is given back before the lock, whatever the answer was") {
  const TemporaryFolder folder;
  const auto path = put(folder, "a.mmstats", 7);
  const Opened file(path);
  int calls = 0;
  const auto ask = [&](auto question) {
    return held::while_held(
        SYS_flock, held::kAtEach, [&] { static_cast<void>((file.*question)()); },
        [&] {
          const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
          CHECK((fd >= 0 || errno == ENOENT));
          if (fd >= 0) ::close(fd);
          ++calls;
        });
  };
  if (!ask(&Opened::check)) return;
  CHECK(fs::exists(path));
  put(folder, "other", 8);
  fs::rename(folder / "other", path);
  if (!ask(&Opened::remove)) return;
  CHECK(fs::exists(path));
  CHECK(calls == 4);
}
