// Folders and files of a user who wants to harm: links, and more of everything than is good.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "child_process.h"
#include "collect/discover.h"
#include "descriptors.h"
#include "held_calls.h"
#include "other_user.h"
#include "temporary_folder.h"

using namespace mmstats;
namespace fs = boost::filesystem;

namespace {

constexpr uid_t kHostile = 4000;
constexpr uid_t kHonest = 4001;

const std::vector<std::byte> kSomeBytes(100, std::byte{1});
// Whose calls are counted together where chance decides how many looks a scan takes: what one leaves of them
// the next ones have.
constexpr int kSomeScans = 5;

#if defined(SYS_newfstatat)
constexpr long kStatCall = SYS_newfstatat;
#else
constexpr long kStatCall = SYS_fstatat64;
#endif

struct Ground {
  TemporaryFolder folder;

  void make_folder(const std::string& name, uid_t owner = ::geteuid()) const {
    fs::create_directories(folder / name);
    REQUIRE(::chown((folder / name).c_str(), owner, static_cast<gid_t>(-1)) == 0);
  }
  void make_file(const std::string& name, uid_t owner = ::geteuid()) const {
    folder.write(name, kSomeBytes);
    REQUIRE(::chown((folder / name).c_str(), owner, static_cast<gid_t>(-1)) == 0);
  }
  // Puts a link to `target` where a folder is.
  void plant(const std::string& name, const std::string& target) const {
    fs::rename(folder / name, folder / (name + "-away"));
    fs::create_symlink(folder / target, folder / name);
  }
};

std::set<std::string> names_of(const Discovery& discovery) {
  std::set<std::string> names;
  for (const FileKey key : discovery.files()) names.insert(fs::path(discovery.path(key)).filename().native());
  return names;
}

const Found& scan_now(Discovery& discovery) {
  const Found& found = discovery.scan(std::chrono::system_clock::now());
  for (const FileKey key : found.gone) discovery.forget(key);
  return found;
}

// How many calls of `number` a scan makes; 0 where calls cannot be held.
int calls_of_scan(Discovery& discovery, long number) {
  int calls = 0;
  const auto scan = [&] { scan_now(discovery); };
  if (!held::while_held(number, held::kAtEach, scan, [&] { ++calls; })) scan();
  return calls;
}

bool may_give_away() {
  if (::geteuid() == 0) return true;
  MESSAGE("skipped: only root can make another user's files");
  return false;
}

}  // namespace

TEST_CASE("no folder after a wildcard is a link, and where the glob names it that is told") {
  const Ground ground;
  ground.make_folder("secret/in");
  ground.make_file("secret/s.mmstats");
  ground.make_file("secret/in/s.mmstats");
  ground.make_folder("d/good/mm");
  ground.make_file("d/good/mm/good.mmstats");
  ground.make_folder("d/bad");
  fs::create_symlink(ground.folder / "secret", ground.folder / "d/bad/mm");
  fs::create_symlink(ground.folder / "secret", ground.folder / "d/link");
  struct Row {
    const char* glob;
    std::size_t errors;
    std::set<std::string> names;
  };
  for (const Row& row :
       {Row{"d/*/mm/*.mmstats", 1, {"good.mmstats"}}, Row{"d/*/*/*.mmstats", 0, {"good.mmstats"}},
        Row{"d/*/mm/in/*.mmstats", 1, {}}, Row{"d/*/in/*.mmstats", 0, {}}, Row{"d/[l]ink/*.mmstats", 0, {}},
        Row{"d/*/../../secret/*.mmstats", 1, {}}, Row{"d/*/./mm/*.mmstats", 1, {"good.mmstats"}},
        Row{"d/.*/secret/*.mmstats", 0, {}},
        // What stands before the first wildcard is the administrator's.
        Row{"d/link/*.mmstats", 0, {"s.mmstats"}}, Row{"d/link/*/*.mmstats", 0, {"s.mmstats"}}}) {
    CAPTURE(row.glob);
    Discovery discovery({ground.folder / row.glob});
    const Found& found = scan_now(discovery);
    CHECK(names_of(discovery) == row.names);
    CHECK(found.errors.size() == row.errors);
  }
}

TEST_CASE("a link that is planted while folders are looked for or opened is not followed") {
  for (int nth = 1; nth <= 9; ++nth) {
    for (const std::size_t held : {0U, 100U}) {
      CAPTURE(nth);
      const Ground ground;
      ground.make_folder("secret");
      ground.make_file("secret/s.mmstats");
      ground.make_file("secret/a.mmstats");
      ground.make_folder("d/bad/mm");
      ground.make_file("d/bad/mm/a.mmstats");
      Discovery discovery({ground.folder / "d/*/mm/*.mmstats"}, {.max_held = held});
      int calls = 0;
      const auto attack = [&] {
        if (++calls == nth) ground.plant("d/bad/mm", "secret");
      };
      if (!held::while_held(SYS_openat, held::kAtEach, [&] { scan_now(discovery); }, attack)) return;
      for (int scans = 0; scans < 3; ++scans) {
        CHECK_FALSE(names_of(discovery).contains("s.mmstats"));
        for (const FileKey key : discovery.files()) {
          struct stat info{};
          REQUIRE(::stat((ground.folder / "secret/a.mmstats").c_str(), &info) == 0);
          CHECK(discovery.id(key) != FileId{info.st_dev, info.st_ino});
        }
        scan_now(discovery);
      }
      CHECK(names_of(discovery).empty() == (nth <= calls));
    }
  }
}

TEST_CASE("what is read and removed is the file in the folder that was opened, wherever its path leads") {
  for (const std::size_t held : {0U, 1U, 100U}) {
    CAPTURE(held);
    const Ground ground;
    ground.make_folder("precious");
    ground.make_folder("d/bad");
    ground.make_file("d/bad/a.mmstats");
    Discovery discovery({ground.folder / "d/*/*.mmstats"}, {.max_held = held});
    scan_now(discovery);
    REQUIRE(discovery.files().size() == 1);
    const FileKey key = discovery.files()[0];
    // The same file even has the same name there.
    fs::create_hard_link(ground.folder / "d/bad/a.mmstats", ground.folder / "precious/a.mmstats");
    ground.plant("d/bad", "precious");
    std::vector<std::byte> bytes(10);
    CHECK(discovery.read_at(key, 0, bytes) == (held == 0 ? -1 : 10));
    CHECK(discovery.size(key) == (held == 0 ? -1 : 100));
    CHECK(discovery.snapshot(key).has_value() == (held != 0));
    const auto removed = discovery.remove(key);
    CHECK(fs::exists(ground.folder / "precious/a.mmstats"));
    CHECK(removed.has_value() == !fs::exists(ground.folder / "d/bad-away/a.mmstats"));
    if (held == 0) CHECK(removed.error().kind == ErrorKind::kChanged);
  }
}

TEST_CASE("a user's folders take no more than his share of folders and descriptors, and leave another's") {
  if (!may_give_away()) return;
  for (const std::size_t held : {0U, 20U, 1000U}) {
    CAPTURE(held);
    const Ground ground;
    for (int i = 0; i < 300; ++i) ground.make_folder("d/" + std::to_string(i), kHostile);
    const auto before = open_descriptors().size();
    Discovery discovery({ground.folder / "d/*/*.mmstats"}, {.max_files = 100, .max_held = held});
    for (int scans = 0; scans < 3; ++scans) {
      const Found& found = scan_now(discovery);
      CHECK(found.folders_listed == 75);
      CHECK(found.folders_beyond_limit == 225);
      REQUIRE(found.errors.size() == 1);
      CHECK(found.errors[0]->message.find("raise MaxFiles") != std::string::npos);
      CHECK(open_descriptors().size() - before == std::min<std::size_t>(75, held - held / 4));
    }
    ground.make_folder("d/honest", kHonest);
    ground.make_file("d/honest/a.mmstats", kHonest);
    // Where more folders wait than may be looked at, chance decides.
    for (int scans = 0; scans < 200 && discovery.files().empty(); ++scans) scan_now(discovery);
    CHECK(names_of(discovery) == std::set<std::string>{"a.mmstats"});
    CHECK(discovery.held() == (held == 0 ? 0 : 1));
    // They are of no harm when they are gone.
    fs::remove_all(ground.folder / "d");
    CHECK(scan_now(discovery).folders_listed == 0);
    CHECK(open_descriptors().size() == before);
    for (int i = 0; i < 99; ++i) ground.make_folder("d/" + std::to_string(i), ::geteuid());
    CHECK(scan_now(discovery).folders_beyond_limit == 0);
  }
}

TEST_CASE("folders that lead nowhere are looked at only so often") {
  const Ground ground;
  ground.make_folder("d/wanted/mm");
  ground.make_file("d/wanted/mm/a.mmstats");
  for (int i = 0; i < 2000; ++i) ground.make_folder("d/" + std::to_string(i));
  for (const std::size_t max_files : {100U, 1000U}) {
    CAPTURE(max_files);
    Discovery discovery({ground.folder / "d/*/mm/*.mmstats"}, {.max_files = max_files});
    // By chance, in one of 20 scans or fewer.
    for (int scans = 0; scans < 1000 && discovery.files().empty(); ++scans) scan_now(discovery);
    CHECK(names_of(discovery) == std::set<std::string>{"a.mmstats"});
    for (int scans = 0; scans < 8; ++scans) scan_now(discovery);
    int calls = 0;
    for (int scans = 0; scans < kSomeScans; ++scans) {
      calls += calls_of_scan(discovery, SYS_openat);
      CHECK(names_of(discovery) == std::set<std::string>{"a.mmstats"});
    }
    CHECK(calls < kSomeScans * (max_files == 100 ? 150 : 400));
  }
}

TEST_CASE("one user's many folders are looked at in turn, and others' at each scan") {
  if (!may_give_away()) return;
  constexpr int kMany = 3000;
  const Ground ground;
  ground.make_folder("d");
  for (int i = 0; i < kMany; ++i) ground.make_folder("d/" + std::to_string(i) + "/mm", kHostile);
  for (int i = 0; i < 600; ++i) ground.make_folder("d/own" + std::to_string(i) + "/mm");
  Discovery discovery({ground.folder / "d/*/mm/*.mmstats"});
  // What is new is found in parts, too.
  CHECK(scan_now(discovery).folders_listed == 600 + 2000);
  CHECK(scan_now(discovery).folders_listed == 600 + 2500);
  for (int scans = 0; scans < 5; ++scans) scan_now(discovery);
  for (int scans = 0; scans < 3; ++scans) {
    const Found& found = scan_now(discovery);
    CHECK(found.folders_listed == static_cast<std::size_t>(600 + kMany + scans));
    CHECK(found.folders_put_off == kMany - 500);
    REQUIRE(found.errors.size() == 1);
    CHECK(found.errors[0].owner == kHostile);
    CHECK(found.errors[0]->message.find("in turn") != std::string::npos);
    // Each that is looked at is listed, too, as it is young.
    CHECK(calls_of_scan(discovery, SYS_openat) < 2 * (500 + 600) + 50);
    // Another user's is found at once.
    const std::string name = "honest" + std::to_string(scans);
    ground.make_folder("d/" + name + "/mm", kHonest);
    ground.make_file("d/" + name + "/mm/" + name + ".mmstats", kHonest);
    ground.make_file("d/own" + std::to_string(scans * 100) + "/mm/" + name + "-own.mmstats");
    scan_now(discovery);
    CHECK(names_of(discovery).contains(name + ".mmstats"));
    CHECK(names_of(discovery).contains(name + "-own.mmstats"));
  }
  // And so is what is new in it.
  ground.make_file("d/honest0/mm/more.mmstats", kHonest);
  scan_now(discovery);
  CHECK(names_of(discovery).contains("more.mmstats"));
  // Each of the many is looked at once in six scans.
  for (int i = 0; i < kMany; i += 300)
    ground.make_file("d/" + std::to_string(i) + "/mm/" + std::to_string(i) + ".mmstats", kHostile);
  for (int scans = 0; scans < 6; ++scans) scan_now(discovery);
  for (int i = 0; i < kMany; i += 300) CHECK(names_of(discovery).contains(std::to_string(i) + ".mmstats"));
  // They are of no harm when they are gone.
  fs::remove_all(ground.folder / "d");
  for (int scans = 0; scans < 6; ++scans) scan_now(discovery);
  CHECK(scan_now(discovery).folders_put_off == 0);
  CHECK(discovery.files().empty());
}

TEST_CASE("folders that hold files do not wait for those that hold none") {
  if (!may_give_away()) return;
  const Ground ground;
  for (int i = 0; i < 1500; ++i) ground.make_folder("d/" + std::to_string(i), kHostile);
  for (int i = 0; i < 900; ++i) {
    ground.make_folder("d/with" + std::to_string(i), kHostile);
    ground.make_file("d/with" + std::to_string(i) + "/a.mmstats", kHostile);
  }
  Discovery discovery({ground.folder / "d/*/*.mmstats"});
  for (int scans = 0; scans < 4; ++scans) scan_now(discovery);
  REQUIRE(discovery.files().size() == 900);
  for (int scans = 0; scans < 3; ++scans) {
    for (int i = 0; i < 900; ++i)
      ground.make_file("d/with" + std::to_string(i) + "/" + std::to_string(scans) + ".mmstats", kHostile);
    scan_now(discovery);
    CHECK(discovery.files().size() == static_cast<std::size_t>(900 * (scans + 2)));
  }
}

TEST_CASE("names that led nowhere are looked at in turn, and hide no new one") {
  if (!may_give_away()) return;
  constexpr int kMany = 3000;
  const Ground ground;
  ground.make_folder("d");
  for (int i = 0; i < kMany; ++i) ground.make_folder("d/" + std::to_string(i), kHostile);
  ground.make_folder("d/early", kHonest);
  Discovery discovery({ground.folder / "d/*/mm/*.mmstats"}, {.max_files = 2000});
  for (int scans = 0; scans < 20; ++scans) scan_now(discovery);
  for (int scans = 0; scans < 5; ++scans) {
    CHECK(calls_of_scan(discovery, SYS_openat) < 550);
    const std::string name = "honest" + std::to_string(scans);
    ground.make_folder("d/" + name + "/mm", kHonest);
    ground.make_file("d/" + name + "/mm/" + name + ".mmstats", kHonest);
    scan_now(discovery);
    CHECK(names_of(discovery).contains(name + ".mmstats"));
  }
  // One that led nowhere so far, of somebody who has few of them; and of somebody who has many.
  ground.make_folder("d/early/mm", kHonest);
  ground.make_file("d/early/mm/early.mmstats", kHonest);
  scan_now(discovery);
  CHECK(names_of(discovery).contains("early.mmstats"));
  ground.make_folder("d/17/mm", kHostile);
  ground.make_file("d/17/mm/17.mmstats", kHostile);
  for (int scans = 0; scans < 6; ++scans) scan_now(discovery);
  CHECK(names_of(discovery).contains("17.mmstats"));
}

TEST_CASE("a new folder among those that wait is found at once where somebody else may have made it") {
  if (!may_give_away()) return;
  for (const bool nothing_known : {false, true}) {
    CAPTURE(nothing_known);
    const Ground ground;
    ground.make_folder("d");
    ground.make_folder("d/evil", kHostile);
    for (int i = 0; i < 2000; ++i) ground.make_folder("d/evil/" + std::to_string(i), kHostile);
    const auto share = [&] {
      ground.make_folder("d/shared");
      ground.make_folder("d/shared/0", kHostile);
    };
    if (!nothing_known) share();
    Discovery discovery({ground.folder / "d/*/*/*.mmstats"}, {.max_files = nothing_known ? 1000U : 20'000U});
    for (int scans = 0; scans < 5; ++scans) scan_now(discovery);
    if (nothing_known) share();
    scan_now(discovery);
    for (int scans = 0; scans < 6; ++scans) {
      const std::string name = "honest" + std::to_string(scans);
      ground.make_folder("d/shared/" + name, kHonest);
      ground.make_file("d/shared/" + name + "/" + name + ".mmstats", kHonest);
      scan_now(discovery);
      CHECK(names_of(discovery).contains(name + ".mmstats"));
      fs::remove_all(ground.folder / ("d/shared/" + name));
      scan_now(discovery);
    }
  }
}

TEST_CASE("a file that we removed is gone at the next scan, wherever its folder stands in the queue") {
  if (!may_give_away()) return;
  const Ground ground;
  for (int i = 0; i < 1500; ++i) {
    ground.make_folder("d/" + std::to_string(i), kHostile);
    ground.make_file("d/" + std::to_string(i) + "/" + std::to_string(i) + ".mmstats", kHostile);
  }
  Discovery discovery({ground.folder / "d/*/*.mmstats"});
  for (int scans = 0; scans < 3; ++scans) scan_now(discovery);
  CHECK(scan_now(discovery).folders_put_off == 500);
  for (std::size_t left = discovery.files().size(); left > 1480; --left) {
    REQUIRE(discovery.remove(discovery.files()[left % 20 * 70]).has_value());
    CHECK(scan_now(discovery).gone.size() == 1);
    CHECK(discovery.files().size() == left - 1);
  }
}

TEST_CASE("a user's files leave room for another's, and are not opened again and again") {
  if (!may_give_away()) return;
  const Ground ground;
  for (int i = 0; i < 400; ++i) ground.make_file(std::to_string(i) + ".mmstats", kHostile);
  ground.make_file("honest.mmstats", kHonest);
  Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 100});
  for (int scans = 0; scans < 20; ++scans) scan_now(discovery);
  CHECK(names_of(discovery).contains("honest.mmstats"));
  const Found& found = scan_now(discovery);
  CHECK(discovery.files().size() == 76);
  CHECK(discovery.held() == 76);
  CHECK(found.beyond_limit == 325);
  REQUIRE(found.errors.size() == 1);
  CHECK(found.errors[0]->kind == ErrorKind::kLimit);
  CHECK(found.errors[0]->message.find("raise MaxFiles") != std::string::npos);
  for (int scans = 0; scans < 5; ++scans) {
    CHECK(calls_of_scan(discovery, SYS_openat) <= 2);
    CHECK(calls_of_scan(discovery, kStatCall) < 60);
  }
  // One who comes later is found at once, as the others are known; and so are more of the first.
  ground.make_file("new.mmstats", kHonest);
  scan_now(discovery);
  CHECK(names_of(discovery).contains("new.mmstats"));
  for (int i = 0; i < 390; ++i) fs::remove(ground.folder / (std::to_string(i) + ".mmstats"));
  scan_now(discovery);
  scan_now(discovery);
  CHECK(discovery.files().size() == 12);
  CHECK(scan_now(discovery).beyond_limit == 0);
}

TEST_CASE("files for which there was no room are read as soon as there is") {
  if (!may_give_away()) return;
  const Ground ground;
  for (int i = 0; i < 400; ++i) ground.make_file(std::to_string(i) + ".mmstats", kHostile);
  Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 100});
  for (int scans = 0; scans < 5; ++scans) scan_now(discovery);
  for (int rounds = 0; rounds < 3; ++rounds) {
    const auto read = names_of(discovery);
    CHECK(read.size() == 75);
    for (const std::string& name : read) fs::remove(ground.folder / name);
    // The first scan finds that they are gone.
    for (int scans = 0; scans < 2; ++scans) scan_now(discovery);
  }
}

TEST_CASE("among more names than can be remembered a file is found in some scans, and each is cheap") {
  if (!may_give_away()) return;
  const Ground ground;
  for (int i = 0; i < 2000; ++i) ground.make_file(std::to_string(i) + ".mmstats", kHostile);
  Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 100});
  for (int scans = 0; scans < 10; ++scans) scan_now(discovery);
  CHECK(discovery.files().size() == 75);
  int calls = 0;
  for (int scans = 0; scans < kSomeScans; ++scans) calls += calls_of_scan(discovery, kStatCall);
  CHECK(calls < kSomeScans * 150);
  ground.make_file("honest.mmstats", kHonest);
  for (int scans = 0; scans < 500 && discovery.files().size() < 76; ++scans) scan_now(discovery);
  CHECK(names_of(discovery).contains("honest.mmstats"));
}

TEST_CASE("of very many names in a folder a part is listed at each scan, and other folders do not wait") {
  const Ground ground;
  ground.make_folder("few");
  for (int i = 0; i < 10; ++i) ground.make_file("known" + std::to_string(i) + ".mmstats");
  Discovery discovery({ground.folder / "*.mmstats", ground.folder / "few/*.mmstats"},
                      {.max_files = 100, .max_names = 1000});
  const auto is_told = [](const Found& found) {
    return std::ranges::any_of(found.errors, [](const FoundError& error) {
      return error->message.find("very many names") != std::string::npos;
    });
  };
  CHECK_FALSE(is_told(scan_now(discovery)));
  CHECK(discovery.files().size() == 10);
  constexpr int kLinks = 3000;
  for (int i = 0; i < kLinks; ++i)
    fs::create_symlink("nowhere", ground.folder / (std::to_string(i) + ".mmstats"));
  // Half of the names at each scan.
  constexpr int kScans = kLinks / 500 + 1;
  for (int scans = 0; scans < kScans; ++scans) {
    const std::string name = "few" + std::to_string(scans) + ".mmstats";
    ground.make_file("few/" + name);
    CHECK(is_told(scan_now(discovery)));
    CHECK(names_of(discovery).contains(name));
    CHECK(names_of(discovery).contains("known9.mmstats"));
  }
  for (int scans = 0; scans < 2 * kScans; ++scans) CHECK(scan_now(discovery).skipped >= kLinks);
  ground.make_file("new.mmstats");
  fs::remove(ground.folder / "known9.mmstats");
  // The listing that goes on may be past the one and before the other.
  int scans = 0;
  while (!names_of(discovery).contains("new.mmstats") || names_of(discovery).contains("known9.mmstats")) {
    REQUIRE(++scans <= 2 * kScans + 2);
    scan_now(discovery);
  }
  // At first all is listed.
  Discovery other({ground.folder / "*.mmstats"}, {.max_files = 100, .max_names = 1000});
  CHECK_FALSE(is_told(scan_now(other)));
  CHECK(names_of(other).contains("new.mmstats"));
  for (int i = 0; i < kLinks; ++i) fs::remove(ground.folder / (std::to_string(i) + ".mmstats"));
  for (int end = 0; end < kScans; ++end) scan_now(discovery);
  CHECK_FALSE(is_told(scan_now(discovery)));
  CHECK(scan_now(discovery).skipped == 0);
}

TEST_CASE(
    "a file that stays is known as long as its folder is listed in parts, whatever else happens there") {
  std::mt19937 dice(4711);
  const Ground ground;
  const auto name_of = [](int number) { return std::to_string(number) + ".mmstats"; };
  std::set<std::string> there;
  std::set<std::string> staying;  // known, and not touched
  for (int i = 0; i < 3000; ++i)
    fs::create_symlink("nowhere", ground.folder / ("link" + std::to_string(i) + ".mmstats"));
  // 900 names at each scan.
  Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 900, .max_names = 0, .max_held = 5});
  const auto settle = [&] {
    for (int scans = 0; scans < 12; ++scans) scan_now(discovery);
    CHECK(names_of(discovery) == there);
    staying = there;
  };
  for (int round = 0; round < 300; ++round) {
    if (round % 50 == 49) settle();
    for (int change = 0; change < 20; ++change) {
      const std::string name = name_of(static_cast<int>(dice() % 400));
      const std::string other = name_of(static_cast<int>(dice() % 400));
      staying.erase(name);
      if (!there.contains(name)) {
        ground.make_file(name);
        there.insert(name);
      } else if (dice() % 2 == 0 && name != other) {
        fs::rename(ground.folder / name, ground.folder / other);
        there.erase(name);
        there.insert(other);
        staying.erase(other);
      } else {
        fs::remove(ground.folder / name);
        there.erase(name);
      }
    }
    scan_now(discovery);
    CHECK(std::ranges::includes(names_of(discovery), staying));
  }
  settle();
}

TEST_CASE("files that cannot be opened are told for a part, all counted, and looked at only so often") {
  const Ground ground;
  REQUIRE(::chmod(ground.folder.path().c_str(), 0755) == 0);
  for (int i = 0; i < 1000; ++i) {
    const std::string name = std::to_string(i) + ".mmstats";
    ground.make_file(name);
    REQUIRE(::chmod((ground.folder / name).c_str(), 0) == 0);
  }
  as_nobody([&] {
    Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 100});
    for (int scans = 0; scans < 5; ++scans) {
      const Found& found = scan_now(discovery);
      must(found.unreadable > 0 && found.unreadable <= 400);
      must(found.unreadable + found.beyond_limit == 1000);
      must(found.errors.size() <= 23 && discovery.files().empty());
    }
  });
}

TEST_CASE("names that cannot be used are told for all users, and the same ones as long as they are there") {
  if (!may_give_away()) return;
  const Ground ground;
  const auto link = [&](const std::string& name, uid_t owner) {
    fs::create_symlink("nowhere", ground.folder / name);
    REQUIRE(::lchown((ground.folder / name).c_str(), owner, static_cast<gid_t>(-1)) == 0);
  };
  for (int i = 0; i < 5000; ++i) link(std::to_string(i) + ".mmstats", kHostile);
  Discovery discovery({ground.folder / "*.mmstats"});
  auto now = std::chrono::system_clock::now();
  const auto told = [&] {
    std::set<std::pair<uid_t, std::string>> names;
    const Found& found = discovery.scan(now += std::chrono::hours(1));  // it is listed each time
    CHECK(found.skipped >= 5000);
    for (const FoundError& error : found.errors) names.emplace(error.owner, error->path);
    return names;
  };
  CHECK(told().size() == 21);  // one of them tells how many more there are
  link("honest.mmstats", kHonest);
  const std::pair honest{kHonest, ground.folder / "honest.mmstats"};
  auto names = told();
  // Where more names wait than may be looked at, chance decides.
  for (int scans = 0; scans < 1000 && !names.contains(honest); ++scans) names = told();
  CHECK(names.contains(honest));
  CHECK(names.size() == 21);
  for (int scans = 0; scans < 20; ++scans) CHECK(told() == names);
  int calls = 0;
  for (int scans = 0; scans < kSomeScans; ++scans) {
    if (!held::while_held(kStatCall, held::kAtEach, told, [&] { ++calls; })) return;
  }
  CHECK(calls < kSomeScans * 250);
  fs::remove(ground.folder / "honest.mmstats");
  told();
  names = told();
  CHECK_FALSE(names.contains(honest));
  CHECK(names.size() == 21);
}

TEST_CASE("a file that cannot be opened is its owner's complaint, and one that is no file its own") {
  if (!may_give_away()) return;
  const Ground ground;
  ground.make_folder("d");
  REQUIRE(::mkfifo((ground.folder / "d/fifo.mmstats").c_str(), 0644) == 0);
  REQUIRE(::chown((ground.folder / "d/fifo.mmstats").c_str(), kHostile, static_cast<gid_t>(-1)) == 0);
  ground.make_file("d/denied.mmstats", kHonest);
  REQUIRE(::chmod((ground.folder / "d/denied.mmstats").c_str(), 0) == 0);
  for (const std::string& name : {std::string(), std::string("d")})
    REQUIRE(::chmod((ground.folder / name).c_str(), 0755) == 0);
  as_nobody([&] {
    Discovery discovery({ground.folder / "d/*.mmstats"});
    const Found& found = scan_now(discovery);
    must(found.errors.size() == 2);
    for (const FoundError& error : found.errors)
      must(error.owner == (error->kind == ErrorKind::kDenied ? kHonest : kHostile));
  });
}

TEST_CASE("errors of names take no more than their owners' share of all, in whose folders they may be") {
  if (!may_give_away()) return;
  const Ground ground;
  constexpr std::size_t kAll = 2000;
  const auto fill = [&](const std::string& folder, uid_t owner, int names) {
    ground.make_folder(folder);
    for (int i = 0; i < names; ++i) {
      const std::string name = ground.folder / (folder + "/" + std::to_string(i) + ".mmstats");
      fs::create_symlink("nowhere", name);
      REQUIRE(::lchown(name.c_str(), owner, static_cast<gid_t>(-1)) == 0);
    }
  };
  for (int i = 0; i < 120; ++i) fill("d/" + std::to_string(i), kHostile, 20);
  Discovery discovery({ground.folder / "d/*/*.mmstats"});
  const auto of = [](const Found& found, uid_t owner) {
    return static_cast<std::size_t>(
        std::ranges::count_if(found.errors, [&](const FoundError& error) { return error.owner == owner; }));
  };
  for (int scans = 0; scans < 5; ++scans) scan_now(discovery);
  CHECK(of(scan_now(discovery), kHostile) == kAll - kAll / 4);
  fill("d/honest", kHonest, 5);
  auto now = std::chrono::system_clock::now();
  const auto scan_all = [&]() -> const Found& { return discovery.scan(now += std::chrono::hours(1)); };
  for (int scans = 0; scans < 500 && of(scan_all(), kHonest) < 5; ++scans) continue;
  CHECK(of(scan_all(), kHonest) == 5);
  fs::remove_all(ground.folder / "d");
  CHECK(scan_now(discovery).errors.empty());
  fill("d/own", ::geteuid(), 20);
  CHECK(of(scan_now(discovery), ::geteuid()) == 20);
}

TEST_CASE("a file with many names is one, and stays while it has any") {
  constexpr int kMany = 12;
  const auto name = [](int i) { return std::to_string(i) + ".mmstats"; };
  for (int kept = 0; kept < kMany; ++kept) {
    CAPTURE(kept);
    const Ground ground;
    ground.make_file(name(0));
    for (int i = 1; i < kMany; ++i) fs::create_hard_link(ground.folder / name(0), ground.folder / name(i));
    Discovery discovery({ground.folder / "*.mmstats"});
    CHECK(scan_now(discovery).appeared.size() == 1);
    for (int i = 0; i < kMany; ++i) {
      if (i != kept) fs::remove(ground.folder / name(i));
    }
    for (int scans = 0; scans < 3; ++scans) {
      const Found& found = scan_now(discovery);
      CHECK(found.appeared.empty());
      CHECK(found.gone.empty());
    }
    CHECK(names_of(discovery) == std::set<std::string>{name(kept)});
    fs::remove(ground.folder / name(kept));
    CHECK(scan_now(discovery).gone.size() == 1);
  }
}

TEST_CASE("files that made room are bounded themselves") {
  const Ground ground;
  Discovery discovery({ground.folder / "*.mmstats"}, {.max_files = 10, .max_released = 10});
  std::size_t released = 0;
  for (int i = 0; i < 50; ++i) {
    ground.make_file(std::to_string(i) + ".mmstats");
    const Found& found = discovery.scan(std::chrono::system_clock::now(), [](FileKey) { return true; });
    released += found.released.size();
    for (const FileKey key : found.released) discovery.forget(key);
  }
  CHECK(released == 10);
  CHECK(discovery.files().size() == 10);
}
