// Opening and reading what other people put into a folder: files, and things that look like files.
#include "mmstats/snapshot.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "child_process.h"
#include "descriptors.h"
#include "held_calls.h"
#include "other_user.h"
#include "sample.h"

using mmstats::ErrorKind;
using mmstats::OpenFile;
using mmstats::read_snapshot;

namespace {

mmstats::Expected<OpenFile> open_path(const std::string& path) {
  return OpenFile::open(AT_FDCWD, path.c_str(), path);
}

// Tells whether anybody opened a file since the watch began.
class OpenWatch {
 public:
  explicit OpenWatch(const std::string& path) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    REQUIRE(::inotify_add_watch(fd_, path.c_str(), IN_OPEN) >= 0);
  }
  OpenWatch(const OpenWatch&) = delete;
  OpenWatch& operator=(const OpenWatch&) = delete;
  ~OpenWatch() { ::close(fd_); }

  [[nodiscard]] bool was_opened() const {
    char events[4096];
    return ::read(fd_, events, sizeof events) > 0;
  }

 private:
  int fd_;
};

// The soft limit of descriptors, for as long as this lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t soft) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit now{soft, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a regular file opens, says who it is, and reads from anywhere") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "0123456789");
  const auto file = open_path(path);
  REQUIRE(file);
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK(file->id() == mmstats::FileId{status.st_dev, status.st_ino});
  CHECK(file->size() == 10);
  CHECK((::fcntl(file->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(file->fd(), F_GETFL) & O_ACCMODE) == O_RDONLY);

  std::vector<std::byte> bytes(20);
  CHECK(file->read_at(0, bytes) == 10);
  CHECK(file->read_at(7, bytes) == 3);
  CHECK(bytes[0] == std::byte{'7'});
  CHECK(file->read_at(10, bytes) == 0);
  CHECK(file->read_at(1'000'000, bytes) == 0);
  CHECK(file->read_at(2, std::span(bytes).first(4)) == 4);
  CHECK(file->read_at(~std::uint64_t{0}, bytes) == -1);
}

TEST_CASE("what is not a regular file is named, and neither opened nor waited for") {
  const TemporaryFolder folder;
  const auto target = sample::write(folder, "target", "\x01");
  const auto fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto link = folder / "link";
  REQUIRE(::symlink(target.c_str(), link.c_str()) == 0);
  const auto loop = folder / "loop";
  REQUIRE(::symlink(loop.c_str(), loop.c_str()) == 0);
  const auto dangling = folder / "dangling";
  REQUIRE(::symlink("nowhere", dangling.c_str()) == 0);
  const auto directory = folder / "directory";
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  const auto socket_path = folder / "socket";
  const int socket_fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(socket_path.size() < sizeof address.sun_path);
  socket_path.copy(address.sun_path, socket_path.size());
  REQUIRE(::bind(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);

  // A terminal of our own: somebody else on this machine may open /dev/null at any time.
  const mmstats::Descriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char device[64] = "/dev/full";
  if (terminal) REQUIRE(::ptsname_r(terminal.get(), device, sizeof device) == 0);

  struct Row {
    std::string path;
    const char* message;
  };
  const Row rows[] = {
      {fifo, "is a FIFO, not a regular file; it was not opened"},
      {link, "is a symbolic link; it was not followed"},
      {loop, "is a symbolic link; it was not followed"},
      {dangling, "is a symbolic link; it was not followed"},
      {directory, "is a folder, not a file"},
      {socket_path, "is a socket, not a regular file; it was not opened"},
      {device, "is a device, not a regular file; it was not opened"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const OpenWatch watch(row.path == loop || row.path == dangling ? target : row.path);
    for (const auto& error : {open_path(row.path).error(), read_snapshot(row.path).error()}) {
      CHECK(error.kind == ErrorKind::kNotRegular);
      CHECK(error.path == row.path);
      CHECK(error.message == row.message);
      CHECK(error.sys_errno == 0);
    }
    CHECK_FALSE(watch.was_opened());
  }
  ::close(socket_fd);
}

TEST_CASE("what is not there, or is out of reach, says so") {
  const TemporaryFolder folder;
  const auto file = sample::write(folder, "file", "\x01");
  for (const std::string& path : {folder / "missing", file + "/below", std::string()}) {
    CAPTURE(path);
    const auto opened = open_path(path);
    REQUIRE(!opened);
    CHECK(opened.error().kind == ErrorKind::kNotFound);
    CHECK(opened.error().path == path);
    CHECK(opened.error().sys_errno != 0);
  }
  const auto opened = open_path(folder / std::string(300, 'x'));
  REQUIRE(!opened);
  CHECK(opened.error().kind == ErrorKind::kIo);
  CHECK(opened.error().sys_errno == ENAMETOOLONG);
}

TEST_CASE("a file that may not be read is denied") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "secret", "\x01");
  REQUIRE(::chmod(path.c_str(), 0) == 0);
  const auto check = [&] {
    for (const auto& error : {open_path(path).error(), read_snapshot(path).error()}) {
      must(error.kind == ErrorKind::kDenied);
      must(error.path == path);
      must(error.sys_errno == EACCES);
    }
  };
  // Root may read everything.
  if (::geteuid() == 0) {
    as_nobody(check);
  } else {
    check();
  }
}

TEST_CASE("a name below an open folder is found there, wherever the folder went") {
  const TemporaryFolder folder;
  REQUIRE(::mkdir((folder / "old").c_str(), 0700) == 0);
  sample::write(folder, "old/a", "\x01");
  const int folder_fd = ::open((folder / "old").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(folder_fd >= 0);
  REQUIRE(std::rename((folder / "old").c_str(), (folder / "new").c_str()) == 0);
  CHECK(OpenFile::open(folder_fd, "a", "old/a").has_value());
  const auto missing = OpenFile::open(folder_fd, "b", "old/b");
  REQUIRE(!missing);
  CHECK(missing.error().path == "old/b");
  ::close(folder_fd);
}

TEST_CASE("a name that changes between a file and a FIFO is opened as a file or not at all") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01");
  const auto fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto swap = [&] {
    return ::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, fifo.c_str(), RENAME_EXCHANGE) == 0;
  };
  if (!swap()) {
    MESSAGE("skipped: the file system cannot exchange names");
    return;
  }
  const std::jthread swapper([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) swap();
  });
  for (int i = 0; i < 50'000; ++i) {
    const auto file = open_path(path);
    if (file) {
      struct stat status{};
      REQUIRE(::fstat(file->fd(), &status) == 0);
      REQUIRE(S_ISREG(status.st_mode));
    } else {
      REQUIRE(file.error().kind == ErrorKind::kNotRegular);
    }
  }
}

TEST_CASE("a name that means something else when it is opened is opened as a file or not at all") {
  const TemporaryFolder folder;
  struct Row {
    const char* name;
    bool (*make)(const std::string& at);
    const char* message;
  };
  const Row rows[] = {
      {"a link to another file", [](const std::string& at) { return ::symlink("target", at.c_str()) == 0; },
       "is a symbolic link; it was not followed"},
      {"a FIFO that nobody writes", [](const std::string& at) { return ::mkfifo(at.c_str(), 0600) == 0; },
       "is a FIFO, not a regular file; it was not opened"},
      {"a socket",
       [](const std::string& at) {
         sockaddr_un address{};
         address.sun_family = AF_UNIX;
         at.copy(address.sun_path, sizeof address.sun_path - 1);
         const mmstats::Descriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
         return ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
       },
       "is not a regular file; it was not opened"},
      {"a folder", [](const std::string& at) { return ::mkdir(at.c_str(), 0700) == 0; },
       "is a folder, not a file"},
  };
  const auto target = sample::write(folder, "target", "\x01");
  const auto before = open_descriptors();
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const auto path = sample::write(folder, "a", "\x01");
    const OpenWatch watch(target);
    if (!held::while_held(
            SYS_openat, 1,
            [&] {
              const auto file = open_path(path);
              CHECK_FALSE(file.has_value());
              if (file) return;
              CHECK(file.error().kind == ErrorKind::kNotRegular);
              CHECK(file.error().message == row.message);
            },
            [&] {
              REQUIRE(::unlink(path.c_str()) == 0);
              REQUIRE(row.make(path));
            }))
      return;
    CHECK_FALSE(watch.was_opened());
    boost::filesystem::remove(path);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("programs that are started while a file is read inherit nothing, and none is left open") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01" + std::string(99, 'x'));
  const auto before = open_descriptors();
  const auto inherited = inherited_descriptors();
  for (const long call : {long{SYS_pread64}, long{SYS_close}}) {
    if (!held::while_held(
            call, held::kAtEach, [&] { CHECK(read_snapshot(path).has_value()); },
            [&] {
              CHECK(inherited_descriptors() == inherited);
              CHECK(open_descriptors().size() > before.size());
            }))
      return;
  }
  CHECK_FALSE(read_snapshot(path, 10).has_value());
  CHECK(open_descriptors() == before);
}

TEST_CASE("without a descriptor left, the error is a limit and says what to raise") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01");
  const int lowest = ::dup(STDERR_FILENO);
  REQUIRE(lowest >= 0);
  ::close(lowest);
  const DescriptorLimit limit(static_cast<rlim_t>(lowest));
  const auto opened = open_path(path);
  REQUIRE(!opened);
  CHECK(opened.error().kind == ErrorKind::kLimit);
  CHECK(opened.error().message.find("raise the limit of open files") != std::string::npos);
}

TEST_CASE("a descriptor moves above those that select can hold, but not above its ceiling") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01");
  rlimit now{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &now) == 0);
  if (now.rlim_max < 2048) {
    MESSAGE("skipped: the hard limit of descriptors is below 2048");
    return;
  }
  const DescriptorLimit limit(2048);
  auto file = open_path(path);
  REQUIRE(file);
  const int low = file->fd();
  REQUIRE(low < 1024);

  CHECK_FALSE(file->move_high(0));
  CHECK_FALSE(file->move_high(1024));
  CHECK(file->fd() == low);

  REQUIRE(file->move_high(2048));
  const int high = file->fd();
  CHECK(high >= 1024);
  CHECK(::fcntl(low, F_GETFD) == -1);
  CHECK((::fcntl(high, F_GETFD) & FD_CLOEXEC) != 0);
  std::byte byte{};
  CHECK(file->read_at(0, {&byte, 1}) == 1);
  CHECK(file->move_high(2048));
  CHECK(file->fd() == high);

  auto second = open_path(path);
  REQUIRE(second);
  const int second_low = second->fd();
  CHECK_FALSE(second->move_high(high + 1));
  CHECK(second->fd() == second_low);
  CHECK(::fcntl(second_low, F_GETFD) != -1);
  CHECK(::fcntl(high + 1, F_GETFD) == -1);
}

TEST_CASE("a descriptor has one owner, who closes it") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01");
  int fd = -1;
  {
    auto file = open_path(path);
    REQUIRE(file);
    fd = file->fd();
    OpenFile other = std::move(*file);
    CHECK_FALSE(file->is_open());
    CHECK(other.fd() == fd);
    auto third = open_path(path);
    REQUIRE(third);
    const int third_fd = third->fd();
    *third = std::move(other);
    CHECK(third->fd() == fd);
    CHECK(::fcntl(third_fd, F_GETFD) == -1);
    CHECK(::fcntl(fd, F_GETFD) != -1);
  }
  CHECK(::fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("a snapshot has the whole file, its identity and its time") {
  const TemporaryFolder folder;
  for (const std::size_t size :
       {1UL, 2UL, 4096UL, 65535UL, 65536UL, 65537UL, 131072UL, 131073UL, 1000000UL}) {
    CAPTURE(size);
    std::string content(size, 'x');
    content[0] = '\x01';
    content.back() = size > 1 ? 'z' : '\x01';
    const auto path = sample::write(folder, "a", content);
    // Not when it was made.
    constexpr timespec kModified{1'234'567'890, 123'456'789};
    const timespec times[] = {{0, UTIME_OMIT}, kModified};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
    const auto snapshot = read_snapshot(path);
    REQUIRE(snapshot);
    CHECK(std::ranges::equal(snapshot->bytes, sample::bytes(content)));
    CHECK(snapshot->file_size == size);
    CHECK(snapshot->path == path);
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK(snapshot->id == mmstats::FileId{status.st_dev, status.st_ino});
    CHECK(status.st_mtim.tv_sec == kModified.tv_sec);
    CHECK(snapshot->modified.time_since_epoch() / std::chrono::nanoseconds(1) ==
          status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
  }
}

TEST_CASE("a file that is cut or grows between the look at it and the reading is as large as what was read") {
  const TemporaryFolder folder;
  for (const std::size_t size : {1UL, 3UL, 200UL, 100'000UL}) {
    CAPTURE(size);
    const auto path = sample::write(folder, "a", "\x01" + std::string(99, 'x'));
    if (!held::while_held(
            SYS_pread64, 1,
            [&] {
              const auto snapshot = read_snapshot(path);
              CHECK(snapshot.has_value());
              if (!snapshot) return;
              CHECK(snapshot->file_size == size);
              CHECK(snapshot->bytes.size() == size);
            },
            [&] { REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size)) == 0); }))
      return;
  }
  const auto path = sample::write(folder, "a", "\x01" + std::string(99, 'x'));
  for (const std::size_t size : {101UL, 5000UL, 0UL}) {
    CAPTURE(size);
    if (!held::while_held(
            SYS_pread64, 1,
            [&] {
              const auto snapshot = read_snapshot(path, 100);
              CHECK_FALSE(snapshot.has_value());
              if (snapshot) return;
              CHECK(snapshot.error().kind == (size == 0 ? ErrorKind::kUnfinished : ErrorKind::kTooLarge));
            },
            [&] { REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size)) == 0); }))
      return;
    REQUIRE(::truncate(path.c_str(), 100) == 0);
  }
}

TEST_CASE("a file without a version is unfinished") {
  const TemporaryFolder folder;
  struct Row {
    std::string content;
    const char* message;
  };
  const Row rows[] = {
      {"", "is empty: its writer has not finished"},
      {std::string(1, '\0'), "begins with a zero byte: its writer has not finished"},
      {std::string(100'000, '\0'), "begins with a zero byte: its writer has not finished"},
  };
  for (const Row& row : rows) {
    const auto snapshot = read_snapshot(sample::write(folder, "a", row.content));
    REQUIRE(!snapshot);
    CHECK(snapshot.error().kind == ErrorKind::kUnfinished);
    CHECK(snapshot.error().message == row.message);
  }
}

TEST_CASE("a file is read up to its limit and not beyond") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", "\x01" + std::string(99, 'x'));
  CHECK(read_snapshot(path, 100).has_value());
  CHECK(read_snapshot(path, ~std::uint64_t{0}).has_value());
  for (const std::uint64_t limit : {0, 1, 99}) {
    const auto snapshot = read_snapshot(path, limit);
    REQUIRE(!snapshot);
    CHECK(snapshot.error().kind == ErrorKind::kTooLarge);
    CHECK(snapshot.error().message == "is larger than the limit of " + std::to_string(limit) + " bytes");
  }
}

TEST_CASE("a sparse file of a terabyte costs nothing") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "huge", "\x01");
  if (::truncate(path.c_str(), off_t{1} << 40U) != 0) {
    MESSAGE("skipped: the file system has no files of 1 TiB");
    return;
  }
  const auto snapshot = read_snapshot(path);
  REQUIRE(!snapshot);
  CHECK(snapshot.error().kind == ErrorKind::kTooLarge);
  // Its size alone decides: to read so much would take for ever.
  CHECK(read_snapshot(path, (std::uint64_t{1} << 40U) - 1).error().kind == ErrorKind::kTooLarge);

  // Zeros from the first byte on are found out by the first read, whatever the limit.
  const auto zeros = sample::write(folder, "zeros", "");
  REQUIRE(::truncate(zeros.c_str(), off_t{1} << 40U) == 0);
  const auto unfinished = read_snapshot(zeros, ~std::uint64_t{0});
  REQUIRE(!unfinished);
  CHECK(unfinished.error().kind == ErrorKind::kUnfinished);
}

TEST_CASE("a file that grows and is cut while it is read gives what was read, never more than its limit") {
  const TemporaryFolder folder;
  const std::size_t largest = 300'000;
  const std::size_t limit = 200'000;
  const auto path = sample::write(folder, "a", "\x01" + std::string(largest - 1, 'x'));
  const std::jthread resizer([&](const std::stop_token& stop) {
    for (unsigned i = 0; !stop.stop_requested(); ++i) {
      if (::truncate(path.c_str(), static_cast<off_t>(1 + i * 7919UL % largest)) != 0) return;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto snapshot = read_snapshot(path, limit);
    if (!snapshot) {
      REQUIRE(snapshot.error().kind == ErrorKind::kTooLarge);
      continue;
    }
    CHECK(snapshot->bytes.size() == snapshot->file_size);
    CHECK(snapshot->bytes.size() <= limit);
    CHECK(snapshot->bytes[0] == std::byte{1});
  }
}
