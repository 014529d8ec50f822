// Lines in memory and in a file that readers always see whole.
#include "plugin_pinba/receive/last_lines.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "folder_content.h"
#include "patience.h"
#include "temporary_folder.h"

using mmstats::ErrorKind;
using mmstats::receive::LastLines;
using Texts = std::vector<std::string>;

namespace {

std::string content_at(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ino_t inode_of(const std::string& path) {
  struct stat info{};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_ino;
}

void put_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// No file may have more bytes, while it lives: as if the disk were full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit less{.rlim_cur = bytes, .rlim_max = limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &less);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  void (*before_)(int);
  rlimit limit_{};
};

}  // namespace

TEST_CASE("a file has the last lines, and is replaced only if there are new ones") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  LastLines lines({.path = path, .most_bytes = 1000});
  REQUIRE(lines.write());
  CHECK(names_in(folder.path()).empty());
  lines.add("one");
  lines.add("two\nlines");
  REQUIRE(lines.write());
  CHECK(content_at(path) == "one\ntwo lines\n");
  const auto inode = inode_of(path);
  REQUIRE(lines.write());
  CHECK(inode_of(path) == inode);
  for (int i = 0; i < 100; ++i) lines.add(std::string(300, static_cast<char>('a' + i % 26)));
  REQUIRE(lines.write());
  CHECK(content_at(path) ==
        std::string(300, 't') + "\n" + std::string(300, 'u') + "\n" + std::string(300, 'v') + "\n");
  CHECK(names_in(folder.path()) == Texts{"slow.json"});
  CHECK(lines.last(2) == Texts{std::string(300, 'u'), std::string(300, 'v')});
  CHECK(lines.last(100).size() == 3);
}

TEST_CASE("lines can be kept in memory alone") {
  LastLines lines({});
  lines.add("one");
  REQUIRE(lines.write());
  REQUIRE(lines.read());
  CHECK(lines.last(5) == Texts{"one"});
}

TEST_CASE("a folder that is missing loses nothing but that write") {
  const TemporaryFolder folder;
  const std::string path = folder / "later/slow.json";
  LastLines lines({.path = path});
  lines.add("one");
  for (int i = 0; i < 2; ++i) {
    const auto written = lines.write();
    REQUIRE(!written);
    CHECK(written.error().kind == ErrorKind::kNotFound);
    CHECK(written.error().text() ==
          path + ": cannot be written, as its folder cannot be opened: No such file or directory");
  }
  boost::filesystem::create_directory(folder / "later");
  lines.add("two");
  REQUIRE(lines.write());
  CHECK(content_at(path) == "one\ntwo\n");
}

TEST_CASE("a disk that is full leaves the file as it was, and loses nothing") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  LastLines lines({.path = path});
  lines.add("one");
  REQUIRE(lines.write());
  lines.add(std::string(200'000, 'x'));
  {
    const FullDisk full(100'000);
    for (int i = 0; i < 2; ++i) {
      const auto written = lines.write();
      REQUIRE(!written);
      CHECK(written.error().kind == ErrorKind::kLimit);
      CHECK(written.error().path == path);
      CHECK(content_at(path) == "one\n");
      CHECK(names_in(folder.path()) == Texts{"slow.json"});
    }
  }
  REQUIRE(lines.write());
  CHECK(content_at(path) == "one\n" + std::string(200'000, 'x') + "\n");
}

TEST_CASE("the file's mode is what was asked for, whatever the umask") {
  const TemporaryFolder folder;
  const auto before = ::umask(0077);
  for (const mode_t mode : {0640U, 0644U, 0600U}) {
    const std::string path = folder / std::to_string(mode);
    LastLines lines({.path = path, .mode = mode});
    lines.add("one");
    CHECK(lines.write());
    struct stat info{};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777U) == mode);
  }
  ::umask(before);
}

TEST_CASE("links that somebody put in the way are replaced, and nothing behind them is touched") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  const std::string other = folder / "other";
  put_file(other, "precious");
  REQUIRE(::symlink(other.c_str(), path.c_str()) == 0);
  REQUIRE(::symlink(other.c_str(), (folder / ".slow.json.new").c_str()) == 0);
  LastLines lines({.path = path});
  lines.add("one");
  REQUIRE(lines.write());
  CHECK(content_at(other) == "precious");
  CHECK(boost::filesystem::symlink_status(path).type() == boost::filesystem::regular_file);
  CHECK(content_at(path) == "one\n");
  CHECK(names_in(folder.path()) == Texts{"other", "slow.json"});
}

TEST_CASE("a folder in the file's place is an error") {
  const TemporaryFolder folder;
  boost::filesystem::create_directory(folder / "slow.json");
  LastLines lines({.path = folder / "slow.json"});
  lines.add("one");
  CHECK(!lines.write());
  CHECK(names_in(folder.path()) == Texts{"slow.json"});
}

TEST_CASE("lines of an earlier process are taken up") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  {
    LastLines none({.path = path});
    CHECK(none.read());
    CHECK(none.last(5).empty());
  }
  put_file(path, "one\ntwo\n");
  LastLines lines({.path = path});
  REQUIRE(lines.read());
  const auto inode = inode_of(path);
  REQUIRE(lines.write());
  CHECK(inode_of(path) == inode);
  lines.add("three");
  REQUIRE(lines.write());
  CHECK(content_at(path) == "one\ntwo\nthree\n");
  // Of a larger file its last whole lines.
  put_file(path, std::string(500, 'x') + "\nlast\nhalf");
  LastLines few({.path = path, .most_bytes = 300});
  REQUIRE(few.read());
  CHECK(few.last(5) == Texts{"last"});
  put_file(path, std::string(500, 'x'));
  LastLines nothing({.path = path, .most_bytes = 300});
  REQUIRE(nothing.read());
  CHECK(nothing.last(5).empty());
}

TEST_CASE("what is no file is not waited for") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  LastLines lines({.path = folder / "pipe"});
  const auto read = lines.read();
  REQUIRE(!read);
  CHECK(read.error().kind == ErrorKind::kNotRegular);
  CHECK(read.error().path == folder / "pipe");
}

TEST_CASE("readers see whole lines in order while others add and write") {
  const TemporaryFolder folder;
  const std::string path = folder / "slow.json";
  LastLines lines({.path = path, .most_bytes = 20'000});
  std::atomic<bool> ends = false;
  std::thread adder([&] {
    for (int i = 0; !ends; ++i) lines.add(std::to_string(i) + std::string(150, '.') + std::to_string(i));
  });
  std::thread writer([&] {
    while (!ends) lines.write();
  });
  int wrong = 0;
  int seen = 0;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (seen < 5000 && std::chrono::steady_clock::now() < deadline) {
    std::ifstream file(path);
    long before = -1;
    for (std::string line; std::getline(file, line); ++seen) {
      const std::string number = line.substr(0, line.find('.'));
      const bool whole = line == number + std::string(150, '.') + number && !file.eof();
      if (!whole || std::stol("0" + number) <= before) ++wrong;
      before = std::stol("0" + number);
    }
  }
  ends = true;
  adder.join();
  writer.join();
  CHECK(wrong == 0);
  CHECK(content_at(path).size() <= 20'000);
  CHECK(seen >= 5000);
}
