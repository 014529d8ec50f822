// Series by process as mmash tells them: who is there, and what is left out of answers that would be too
// large.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "collect/distributions.h"
#include "made_file.h"
#include "sample.h"
#include "temporary_folder.h"
#include "tools/mmash/by_process.h"
#include "unused_pid.h"

using namespace mmash;
using nlohmann::json;

namespace {

struct Watched {
  TemporaryFolder folder;
  mmstats::Watch watch{{.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}}, mmstats::Rules{}};
  ByProcess by_process{watch};

  void put(const std::string& name, const MadeFile& made) {
    const auto bytes = made.padded();
    sample::write(folder, name, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  void scan() {
    watch.scan(std::chrono::system_clock::now(), std::chrono::steady_clock::now());
    by_process.scanned();
  }
  [[nodiscard]] AskedOne series(std::string_view name) const {
    const auto all = watch.series();
    for (std::uint32_t i = 0; i < all.size(); ++i) {
      if (all[i].name() == name) return {.is_distribution = false, .index = i};
    }
    FAIL("no series ", name);
    return {};
  }
  json all(const AllAsked& asked) { return json::parse("{" + by_process.all(asked) + "}"); }
  json one(std::string_view id, const AllAsked& asked) {
    return json::parse("{" + by_process.one(id, asked) + "}");
  }
};

MadeFile worker(std::uint32_t pid, double created, std::uint64_t hits, std::int32_t depth) {
  return MadeFile().owner(pid, created).buffered("hits", "Q", hits).buffered("depth", "i", depth);
}

}  // namespace

TEST_CASE("ids of processes are the same for every server, and nothing else looks like one") {
  CHECK(process_id(17, 1700000000.75, "/x") == "17.1700000000");
  CHECK(process_id(17, 0, "/x") == "17.0");
  CHECK(process_id(17, -3, "/x") == "17.0");
  CHECK(process_id(17, std::numeric_limits<double>::infinity(), "/x") == "17.0");
  CHECK(process_id(17, std::nan(""), "/x") == "17.0");
  CHECK(process_id(0, 5, "/x") != process_id(0, 5, "/y"));
  for (const auto& id :
       {process_id(17, 1.5, ""), process_id(~std::uint64_t{0}, 1e14, ""), process_id(0, 0, "/x")}) {
    CAPTURE(id);
    CHECK(is_process_id(id));
  }
  for (const char* text :
       {"", ".", "1", "1.", ".1", "a.1", "1.a", "1.2.3", "-1.2", "file.", "file.xyz", "file"}) {
    CAPTURE(text);
    CHECK_FALSE(is_process_id(text));
  }
  CHECK_FALSE(is_process_id(std::string(100, '1') + ".1"));
}

TEST_CASE("each process is told once, with what its files hold, and the dead as dead") {
  Watched watched;
  const auto mine = static_cast<std::uint32_t>(::getpid());
  const double now = static_cast<double>(::time(nullptr));
  const auto gone = kUnusedPid;
  watched.put("web-" + std::to_string(mine) + "-1.mmstats", worker(mine, now, 5, 1));
  watched.put("web-" + std::to_string(mine) + "-2.mmstats", worker(mine, now + 3, 6, 2));
  watched.put("job-" + std::to_string(gone) + ".mmstats", worker(gone, now - 1000, 7, 3));
  watched.put("plain.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{9}));
  watched.scan();
  const AllAsked asked{watched.series("hits"), watched.series("depth"), std::nullopt, watched.series("hits")};
  const json answer = watched.all(asked);
  CHECK_FALSE(answer.contains("rest"));
  REQUIRE(answer["processes"].size() == 3);
  json by_command;
  for (const auto& one : answer["processes"]) by_command[one["command"].get<std::string>()] = one;
  CHECK(by_command["web"]["values"] == json::parse("[11, 3, null, 11]"));
  CHECK(by_command["web"]["id"] == process_id(mine, now, ""));
  CHECK(by_command["web"]["state"] == "alive");
  CHECK(by_command["job"]["values"] == json::parse("[7, null, null, 7]"));
  CHECK(by_command["job"]["state"] == "dead");
  CHECK(by_command["plain"]["values"] == json::parse("[9, null, null, 9]"));
  CHECK(by_command["plain"]["pid"] == 0);
  // Only who has some of it.
  CHECK(watched.all({watched.series("depth")})["processes"].size() == 2);
  CHECK(watched.all({std::nullopt})["processes"].empty());

  const json one = watched.one(process_id(mine, now, ""), asked);
  CHECK(one["process"]["pid"] == mine);
  CHECK(one["values"] == json::parse("[11, 3, null, 11]"));
  const json none = watched.one("1.1", asked);
  CHECK(none["process"].is_null());
  CHECK(none["values"] == json::parse("[null, null, null, null]"));
}

TEST_CASE("a gauge is without a value because its processes have ended, or for another reason") {
  Watched watched;
  const auto mine = static_cast<std::uint32_t>(::getpid());
  const double now = static_cast<double>(::time(nullptr));
  const auto gone = kUnusedPid;
  watched.put("a.mmstats", worker(gone, now - 1000, 7, 3).buffered("old", "i", std::int32_t{1}));
  watched.put("b.mmstats", worker(mine, now, 7, 3).buffered("nothing", "d", std::nan("")));
  watched.scan();
  const AllAsked asked{watched.series("hits"), watched.series("depth"), watched.series("old"),
                       watched.series("nothing"), std::nullopt};
  CHECK(watched.by_process.ended(asked) == std::vector<std::size_t>{2});
  // Of one process alone.
  CHECK(watched.by_process.ended(asked, process_id(gone, now - 1000, "")) == std::vector<std::size_t>{1, 2});
  CHECK(watched.by_process.ended(asked, process_id(mine, now, "")).empty());
  CHECK(watched.by_process.ended(asked, "1.1").empty());
}

TEST_CASE("of histograms that are too many those with most values are told, and the others together") {
  constexpr std::string_view kTold = "latency\thistogram\tseconds\tTime to answer\tlog-linear 32 -30 50\n";
  Watched watched;
  constexpr std::size_t kMore = 44;
  const std::size_t files = ByProcess::kMaxDistributions + kMore;
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < files; ++i) {
    std::array<std::uint64_t, 32> counts{};
    counts[0] = i + 1;
    if (i < kMore) least += i + 1;
    watched.put("w" + std::to_string(i) + ".mmstats",
                MadeFile().text("sys.metadata", kTold, 200).unbuffered("latency.buckets.-1", "32Q", counts));
  }
  watched.scan();
  REQUIRE(watched.watch.distributions().size() == 1);
  const json answer = watched.all({AskedOne{.is_distribution = true, .index = 0}});
  CHECK(answer["processes"].size() == files);
  std::size_t told = 0;
  for (const auto& one : answer["processes"]) {
    if (one["values"][0].is_null()) continue;
    ++told;
    CHECK(one["values"][0][1] > kMore);
  }
  CHECK(told == ByProcess::kMaxDistributions);
  CHECK(answer["rest"] == json::parse("[[928, " + std::to_string(least) + "]]"));
}
