#include "collect/departed.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collect/rules.h"
#include "made_file.h"
#include "mmstats/parse.h"

namespace {

using namespace mmstats;

constexpr uid_t kApplication = 1000;
constexpr uid_t kAnother = 1001;
constexpr std::size_t kLives = 1000;

// Lives of files that say the same of themselves: file I is called "/d/I" and is inode 1 + I of device 1.
struct Alike {
  std::vector<std::byte> bytes =
      MadeFile().buffered("requests", "Q", std::uint64_t{1}).owner(1, 5.0).padded();
  std::shared_ptr<const Layout> layout;
  Owner owner;
  DepartedLives departed;

  Alike() {
    ParsedFile content;
    parse(bytes, content);
    layout = std::make_shared<Layout>(content, bytes, Rules(), MetadataIndex(content));
    owner = layout->owner(layout->mark(bytes.data()));
    for (std::size_t i = 0; i < kLives; ++i) {
      Life life;
      life.layout = layout;
      life.mark = layout->mark(bytes.data());
      departed.add(kApplication, std::move(life), "/d/" + std::to_string(i), FileId{1, 1 + i},
                   std::chrono::steady_clock::time_point(std::chrono::hours(1)));
    }
  }
};

TEST_CASE("lives of files that say the same owner are told apart by their files at once") {
  CHECK(Alike().departed.most_alike() == 1);
}

TEST_CASE("of lives of the same owner the one goes on whose file has the name, or is the inode") {
  Alike alike;
  const FileId elsewhere{2, 1};
  const auto take = [&](uid_t user, const char* path, const FileId& file) {
    return alike.departed.take(user, alike.owner, path, file).has_value();
  };
  REQUIRE(alike.owner.pid == 1);
  CHECK(take(kApplication, "/d/7", elsewhere));
  CHECK_FALSE(take(kApplication, "/d/7", elsewhere));
  CHECK_FALSE(take(kApplication, "/e/7", FileId{1, 1 + 7}));  // it is the one that went on
  CHECK(take(kApplication, "/e/8", FileId{1, 1 + 8}));
  CHECK_FALSE(take(kApplication, "/d/8", elsewhere));
  CHECK_FALSE(take(kAnother, "/d/9", elsewhere));
  CHECK(take(kAnother, "/d/9", FileId{1, 1 + 9}));
  CHECK_FALSE(take(kApplication, "/e/10", elsewhere));
  alike.departed.expire(std::chrono::steady_clock::time_point(std::chrono::hours(9)));
  CHECK_FALSE(take(kApplication, "/d/11", elsewhere));
  CHECK_FALSE(take(kApplication, "/e/11", FileId{1, 1 + 11}));
  CHECK(alike.departed.most_alike() == 0);
}

}  // namespace
