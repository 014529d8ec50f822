#include "collect/subordinate_ids.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/discover.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

std::string subuid_file(const TemporaryFolder& folder, std::string_view text) {
  folder.write("subuid", std::as_bytes(std::span(text)));
  return folder / "subuid";
}

}  // namespace

TEST_CASE("all IDs that a user was given are one user's, but for those that root gives to others") {
  const TemporaryFolder folder;
  const SubordinateIds ids(
      subuid_file(folder,
                  "bob:300000:65536\nalice:100000:65536\n1001:200000:10\nalice:500000:2\n"
                  "root:700000:65536\n0:800000:5\nnonsense\nhalf:900000\n:x:y\n"
                  "none:950000:0\nlast:4294967200:99999999999\nzero:0:5\n"));
  struct Row {
    uid_t owner;
    uid_t payer;
  };
  for (const Row& row : {Row{100000, 100000},
                         {100001, 100000},
                         {165535, 100000},
                         {165536, 165536},
                         {500001, 100000},
                         {500002, 500002},
                         {200009, 200000},
                         {200010, 200010},
                         {365535, 300000},
                         {700001, 700001},
                         {800001, 800001},
                         {900001, 900001},
                         {950000, 950000},
                         {4294967294, 4294967200},
                         {0, 0},
                         {3, 3},
                         {99999, 99999}}) {
    CAPTURE(row.owner);
    CHECK(ids.payer(row.owner) == row.payer);
  }
  CHECK(SubordinateIds("/nonexistent/subuid").payer(100001) == 100001);
}

TEST_CASE("one user with many IDs takes one share of the files, and leaves another's") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can make another user's files");
    return;
  }
  const TemporaryFolder folder;
  const std::string subuids = subuid_file(folder, "hostile:100000:65536\n");
  const auto make = [&](const std::string& name, uid_t owner) {
    folder.write(name, std::vector<std::byte>(100, std::byte{1}));
    REQUIRE(::chown((folder / name).c_str(), owner, owner) == 0);
  };
  for (uid_t i = 0; i < 400; ++i) make(std::to_string(i) + ".mmstats", 100000 + i);
  Discovery discovery({folder / "*.mmstats"}, {.max_files = 100, .subuids = subuids});
  for (int scans = 0; scans < 3; ++scans) discovery.scan(std::chrono::system_clock::now());
  CHECK(discovery.files().size() == 75);
  CHECK(discovery.owner(discovery.files()[74]) == 100000);
  make("honest.mmstats", 4001);
  for (int scans = 0; scans < 200 && discovery.files().size() < 76; ++scans) {
    folder.write("touched", std::vector<std::byte>(1));
    discovery.scan(std::chrono::system_clock::now());
  }
  CHECK(discovery.files().size() == 76);
}
