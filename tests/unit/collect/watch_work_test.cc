// One user's files, whatever they are, leave the time of a scan to others'.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/descriptor.h"
#include "collect/watch.h"
#include "collect/work.h"
#include "made_file.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

constexpr uid_t kBusyUser = 70001;
constexpr uid_t kQuietUser = 70002;
constexpr std::uint64_t kWork = 20'000'000;
constexpr std::uint64_t kShare = kWork - kWork / 4;

struct WorkWatched {
  TemporaryFolder folder;
  Watch watch;
  std::chrono::steady_clock::time_point steady = std::chrono::steady_clock::now();

  explicit WorkWatched(decltype(WatchOptions::keep) keep = {})
      : watch({.globs = {folder / "*.mmstats"},
               .discovery = {},
               .fold = {},
               .work = kWork,
               .keep = std::move(keep)},
              Rules{}) {}

  const ScanReport& scan() {
    steady += std::chrono::seconds(10);
    return watch.scan(std::chrono::system_clock::now(), steady);
  }
  std::uint64_t total(std::string_view name) const {
    for (const Series& series : watch.series()) {
      if (series.name() == name) return series.total;
    }
    return 0;
  }
  // False: we may give no file away.
  bool put(const std::string& name, uid_t user, const MadeFile& made, off_t size = 0) const {
    folder.write("." + name, made.bytes());
    const std::string built = folder / ("." + name);
    REQUIRE((size == 0 || ::truncate(built.c_str(), size) == 0));
    if (::chown(built.c_str(), user, static_cast<gid_t>(-1)) != 0) return false;
    REQUIRE(::rename(built.c_str(), (folder / name).c_str()) == 0);
    return true;
  }
  bool put_quiet(std::uint64_t hits) const {
    bool all = true;
    for (std::uint32_t i = 0; i < 10; ++i) {
      all = all && put("z" + std::to_string(i) + ".mmstats", kQuietUser,
                       MadeFile().buffered("hits", "Q", hits).owner(10 + i, 100));
    }
    return all;
  }
};

// One text of four megabytes, of which the disk has a page.
MadeFile sparse() {
  constexpr std::uint64_t kText = kDefaultMaxFileSize - 1000;
  MadeFile made;
  made.buffered("sparse", "Q", std::uint64_t{1}).owner(7, 100);
  const std::string type = std::to_string(kText) + "s";
  made.raw(std::string_view("\x04\0text", 6))
      .raw(std::string{static_cast<char>(type.size()), '\0'})
      .raw(type);
  return made.raw("\xff");
}

int complaints_of(uid_t user, const ScanReport& report) {
  return static_cast<int>(std::ranges::count_if(report.errors, [&](const Error& error) {
    return error.kind == ErrorKind::kLimit && error.path.empty() &&
           error.message.find("user " + std::to_string(user) + " ") != std::string::npos;
  }));
}

}  // namespace

TEST_CASE("a thousand sparse files of one user cost a bounded part of a scan, and others' are read at each") {
  WorkWatched watched;
  if (!watched.put_quiet(1)) {
    MESSAGE("skipped: we may give no file away");
    return;
  }
  constexpr std::size_t kFiles = 1000;
  constexpr std::uint64_t kOne = kDefaultMaxFileSize * 3 / 4;
  for (std::size_t i = 0; i < kFiles; ++i) {
    watched.put("a" + std::to_string(i) + ".mmstats", kBusyUser, sparse(), kDefaultMaxFileSize);
  }
  std::uint64_t sparse_read = 0;
  for (std::uint64_t scan = 1; scan <= 5; ++scan) {
    CAPTURE(scan);
    watched.put_quiet(scan);
    const ScanReport& report = watched.scan();
    CHECK(watched.total("hits") == 10 * scan);
    CHECK(report.work < (scan == 1 ? 4 : 1) * kShare + 3 * kOne);
    CHECK(report.put_off > kFiles - 40);
    CHECK(report.put_off < kFiles);
    CHECK(complaints_of(kBusyUser, report) == (scan == 1 ? 1 : 0));
    CHECK(complaints_of(kQuietUser, report) == 0);
    watched.watch.told(report.errors.size());
    CHECK(watched.total("sparse") > sparse_read);  // others at each
    sparse_read = watched.total("sparse");
  }
}

TEST_CASE("files that are replaced all the time cost a bounded part of a scan, too") {
  WorkWatched watched;
  if (!watched.put_quiet(1)) {
    MESSAGE("skipped: we may give no file away");
    return;
  }
  constexpr std::uint64_t kOne = kDefaultMaxFileSize * 3;  // a new file, and its predecessor's end
  for (std::uint64_t scan = 1; scan <= 4; ++scan) {
    CAPTURE(scan);
    for (int i = 0; i < 50; ++i) {
      watched.put("a" + std::to_string(i) + ".mmstats", kBusyUser, sparse(), kDefaultMaxFileSize);
    }
    watched.put_quiet(scan);
    const ScanReport& report = watched.scan();
    CHECK(watched.total("hits") == 10 * scan);
    CHECK(report.work < (scan == 1 ? 4 : 1) * kShare + kOne);
  }
}

TEST_CASE("to ask whether a file counts is work, too") {
  WorkWatched watched([](const std::string&, const ParsedFile&) { return false; });
  watched.put("a.mmstats", ::geteuid(), sparse(), kDefaultMaxFileSize);
  CHECK(watched.scan().work >= work::of_bytes(kDefaultMaxFileSize));
  CHECK(watched.scan().work < 10 * work::kFile);
}

TEST_CASE("our own files, however many, are all read") {
  WorkWatched watched;
  constexpr int kFiles = 15;
  for (int i = 0; i < kFiles; ++i) {
    watched.put("a" + std::to_string(i) + ".mmstats", ::geteuid(), sparse(), kDefaultMaxFileSize);
  }
  for (int scan = 0; scan < 2; ++scan) {
    const ScanReport& report = watched.scan();
    CHECK(report.put_off == 0);
    CHECK(report.errors.empty());
    CHECK(report.work > kShare);
  }
  CHECK(watched.total("sparse") == kFiles);
}
