// Families of metrics in a fold: dimensions of series, fields that their writer removed, and what many
// combinations cost.
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buckets.h"
#include "collect/distributions.h"
#include "collect/fold_world.h"
#include "collect/layout_cache.h"
#include "collect/work.h"

using namespace mmstats;
using namespace folded;

namespace {

using Dimensions = std::vector<Dimension>;
using Names = std::vector<std::string>;

constexpr std::string_view kThere = "   Q";
constexpr std::string_view kRemoved = "\t  Q";

constexpr std::string_view kTold =
    "sent\tcounter\tresponses\tResponses sent\t\tmethod status\n"
    "busy\tgauge\t\tWorkers that are busy\t\tpool\n"
    "load\tgauge\t\t\t\tpool\n"
    "time\thistogram\tseconds\tTimes\tlog-linear 32 -30 50\tmethod\n";

MadeFile file(std::uint32_t pid = 10) {
  return MadeFile().owner(pid, 100).text("sys.metadata", kTold, kTold.size() + 1);
}

// A combination of `time`, as our library writes it. `counts`: of values from 1 to 2; and of 1,024 and more.
struct Times {
  std::string method;
  std::uint64_t ones = 0;
  std::uint64_t thousands = 0;
  std::string_view type = kThere;
};

MadeFile& add(MadeFile& made, const Times& times) {
  const auto label = "time." + times.method;
  made.buffered(label + ".count", times.type, times.ones + times.thousands);
  made.buffered(label + ".sum", "d", static_cast<double>(times.ones + 1024 * times.thousands));
  for (const char* ending : {".min", ".max", ".p50"}) made.buffered(label + ending, "d", 77.0);
  std::array<std::uint64_t, 4> counts{};
  counts[0] = times.ones;
  made.unbuffered(label + ".buckets.0", "    4Q", counts);
  counts[0] = times.thousands;
  return made.unbuffered(label + ".buckets.10", "    4Q", counts);
}

const Distribution* distribution(const Fold& fold, std::string_view name) {
  for (const auto& one : fold.distributions()) {
    if (one && one->name() == name) return one.get();
  }
  return nullptr;
}

Rules dropping(Names names) {
  Rules rules;
  rules.drop_dimensions(std::move(names));
  return rules;
}

// Many combinations of one family.
MadeFile many(int combinations, std::uint64_t value, std::uint32_t pid = 10) {
  MadeFile made = file(pid);
  for (int i = 0; i < combinations; ++i)
    made.buffered("sent.M" + std::to_string(i % 10) + ".s" + std::to_string(i), kThere, value);
  return made;
}

}  // namespace

TEST_CASE("series carry the family and dimensions of their fields") {
  World world;
  world.put(0, file().buffered("sent.GET.4%2E04", kThere, std::uint64_t{3}).buffered("hits", "Q", 1UL));
  world.scan();
  const Series* sent = world.find("sent.GET.4%2E04");
  REQUIRE(sent != nullptr);
  CHECK(sent->family() == "sent");
  CHECK(sent->dimensions() == Dimensions{{"method", "GET"}, {"status", "4.04"}});
  CHECK(sent->unit() == "responses");
  CHECK(sent->help() == "Responses sent");
  CHECK(sent->kind == Kind::kCounter);
  CHECK(world.find("hits")->family().empty());
  CHECK(world.find("hits")->dimensions().empty());
}

TEST_CASE("over dimensions that are dropped, values are put together as over files") {
  World world(dropping({"status", "pool"}));
  for (const FileKey key : {0U, 1U}) {
    world.put(key, file(10 + key)
                       .buffered("sent.GET.200", kThere, std::uint64_t{3})
                       .buffered("sent.GET.404", kThere, std::uint64_t{2} * key)
                       .buffered("sent.PUT.200", kThere, std::uint64_t{7})
                       .buffered("busy.a", "  i", std::int32_t{4})
                       .buffered("busy.b", "  i", std::int32_t{1})
                       .buffered("load.a", "  d", 1.0)
                       .buffered("load.b", "  d", 2.0));
  }
  world.scan();
  CHECK(world.total("sent.GET") == 8);
  CHECK(world.total("sent.PUT") == 14);
  CHECK(world.gauge("busy") == 10);
  CHECK(world.gauge("load") == 1.5);
  CHECK(world.find("sent.GET")->dimensions() == Dimensions{{"method", "GET"}});
  CHECK(world.find("busy")->family().empty());  // as one of that label that never had dimensions
  CHECK(world.find("busy")->dimensions().empty());
  CHECK(world.fold.take_notices().empty());
}

TEST_CASE("what a rule gives one name is one series, of no family") {
  Rules rules;
  Rule rule;
  rule.pattern = ".*";
  rule.name = "all";
  REQUIRE(rules.add(rule));
  World world(std::move(rules));
  world.put(0, file().buffered("hits", "Q", std::uint64_t{1}));
  world.scan();
  CHECK(world.find("all")->family().empty());
  world.put(1, file(11).buffered("sent.GET.200", kThere, std::uint64_t{3}));
  world.put(2, file(12).buffered("sent.PUT.200", kThere, std::uint64_t{3}));
  world.scan();
  CHECK(world.total("all") == 7);
  CHECK(world.find("all")->family().empty());
  CHECK(world.find("all")->dimensions().empty());
}

TEST_CASE("a counter that its writer removes and brings back neither falls nor counts twice") {
  World world;
  const auto with = [&](std::string_view type, std::uint64_t value) {
    world.put(
        0, file().buffered("sent.GET.200", type, value).buffered("sent.PUT.200", kThere, std::uint64_t{2}));
    world.scan();
  };
  const auto total = [&] { return world.total("sent.GET.200"); };
  with(kThere, 5);
  CHECK(total() == 5);
  with(kRemoved, 5);
  CHECK(total() == 5);
  // What is stored while it is removed is not looked at.
  const int readings = world.files[0].readings;
  with(kRemoved, 6);
  CHECK(world.files[0].readings == readings + 1);
  CHECK(total() == 5);
  with(kThere, 6);
  CHECK(total() == 6);
  with(kThere, 9);
  CHECK(total() == 9);
  with(kRemoved, 9);
  with(kThere, 9);
  CHECK(total() == 9);
  CHECK(world.total("sent.PUT.200") == 2);
  CHECK(world.fold.stats().lives == 1);
  CHECK(world.fold.stats().resets == 0);
}

TEST_CASE("a gauge that is removed has no value, and one that was never there makes no series") {
  World world;
  world.put(0, file().buffered("busy.a", "  i", std::int32_t{4}).buffered("busy.b", "\t i", std::int32_t{9}));
  world.scan();
  CHECK(world.gauge("busy.a") == 4);
  CHECK(world.find("busy.b") == nullptr);
  world.put(0, file().buffered("busy.a", "\t i", std::int32_t{4}).buffered("busy.b", "  i", std::int32_t{9}));
  world.scan();
  CHECK_FALSE(world.gauge("busy.a"));
  CHECK(world.gauge("busy.b") == 9);
}

TEST_CASE("who wrote a file is not said by fields that were removed") {
  World world;
  world.owners[10] = OwnerState::kDead;
  world.put(0, MadeFile()
                   .unbuffered("sys.pid", "\tI", std::uint32_t{10})
                   .text("sys.metadata", kTold, kTold.size() + 1)
                   .buffered("busy.a", "  i", std::int32_t{4}));
  world.scan();
  CHECK(world.gauge("busy.a") == 4);
}

TEST_CASE("a combination of a family of histograms is a histogram") {
  World world;
  MadeFile empty = file();
  add(empty, {"GET"});
  world.put(0, empty);
  world.scan();
  MadeFile made = file();
  add(made, {.method = "GET", .ones = 9, .thousands = 1});
  world.put(0, made);
  world.scan();
  const Distribution* one = distribution(world.fold, "time.GET");
  REQUIRE(one != nullptr);
  CHECK(one->family() == "time");
  CHECK(one->dimensions() == Dimensions{{"method", "GET"}});
  CHECK(one->unit() == "seconds");
  CHECK(one->help() == "Times");
  CHECK(one->interval.count() == 10);
  REQUIRE(one->sum >= 0);
  CHECK(world.fold.series()[static_cast<std::size_t>(one->sum)].name() == "time.GET.sum");
  struct Row {
    const char* ending;
    const char* unit;
  };
  for (const Row& row : {Row{".count", ""}, Row{".sum", "seconds"}, Row{".min", "seconds"},
                         Row{".max", "seconds"}, Row{".p50", "seconds"}, Row{".p99", "seconds"}}) {
    CAPTURE(row.ending);
    const Series* series = world.find("time.GET" + std::string(row.ending));
    REQUIRE(series != nullptr);
    CHECK(series->family() == "time" + std::string(row.ending));
    CHECK(series->dimensions() == Dimensions{{"method", "GET"}});
    CHECK(series->unit() == row.unit);
    CHECK(series->distribution == 0);
  }
  CHECK(world.total("time.GET.count") == 10);
  CHECK(*world.gauge("time.GET.p50") == doctest::Approx(1.125).epsilon(0.2));
}

TEST_CASE("distributions are added up over dimensions that are dropped") {
  World world(dropping({"method"}));
  const auto put = [&](std::uint64_t get, std::uint64_t post) {
    MadeFile made = file();
    add(made, {.method = "GET", .ones = get});
    world.put(0, add(made, {.method = "POST", .thousands = post}));
    world.scan();
  };
  put(0, 0);
  put(60, 40);
  const Distribution* one = distribution(world.fold, "time");
  REQUIRE(one != nullptr);
  CHECK(one->family().empty());
  CHECK(one->dimensions().empty());
  CHECK(one->interval.count() == 100);
  CHECK(world.total("time.count") == 100);
  CHECK(*world.gauge("time.p50") < 2);
  CHECK(*world.gauge("time.p90") > 1000);
  const Series* sum = world.find("time.sum");
  REQUIRE(sum != nullptr);
  CHECK(sum->value == 60 + 40 * 1024);
  CHECK(world.fold.distributions().size() == 1);
}

TEST_CASE("a histogram that is removed keeps its totals and goes on from there") {
  World world;
  const auto with = [&](const Times& times) {
    MadeFile made = file();
    add(made, times);
    world.put(0, add(made, {.method = "PUT", .ones = 2}));
    world.scan();
  };
  with({.method = "GET", .ones = 5, .thousands = 1});
  CHECK(world.total("time.GET.count") == 6);
  const auto sum = [&] { return world.find("time.GET.sum")->value; };
  CHECK(sum() == 1029);
  with({.method = "GET", .ones = 5, .thousands = 1, .type = kRemoved});
  CHECK(world.total("time.GET.count") == 6);
  CHECK(sum() == 1029);
  CHECK_FALSE(world.gauge("time.GET.p50"));
  // None of its fields counts while it is away, nor is it lost what they count then.
  with({.method = "GET", .ones = 6, .thousands = 1, .type = kRemoved});
  CHECK(world.total("time.GET.count") == 6);
  CHECK(sum() == 1029);
  CHECK(world.find("time.GET.min")->family() == "time.min");
  with({.method = "GET", .ones = 6, .thousands = 2});
  CHECK(world.total("time.GET.count") == 8);
  CHECK(sum() == 2054);
  CHECK(world.gauge("time.GET.max") > 1000);
  CHECK(world.total("time.PUT.count") == 2);
  CHECK(world.fold.stats().resets == 0);
}

TEST_CASE("buckets that are removed alone keep what they counted") {
  World world;
  const auto with = [&](std::string_view type, std::uint64_t count) {
    std::array<std::uint64_t, 4> counts{count};
    world.put(
        0, file().buffered("time.GET.count", kThere, count).unbuffered("time.GET.buckets.0", type, counts));
    world.scan();
  };
  with("   4Q", 3);
  with("\t  4Q", 4);
  CHECK(world.total("time.GET.count") == 3);
  with("   4Q", 5);
  CHECK(world.total("time.GET.count") == 5);
}

TEST_CASE("10,000 combinations cost ten times what 1,000 cost, and then what their values cost") {
  for (const bool drop : {false, true}) {
    CAPTURE(drop);
    std::array<std::uint64_t, 2> first{};
    std::array<std::uint64_t, 2> next{};
    for (const int size : {0, 1}) {
      const int combinations = size == 0 ? 1000 : 10'000;
      World world(drop ? dropping({"status"}) : Rules());
      world.put(0, many(combinations, 1));
      first[static_cast<std::size_t>(size)] = work_of_scan(world);
      const std::size_t series = drop ? 10 : static_cast<std::size_t>(combinations);
      CHECK(world.fold.series().size() == series);
      next[static_cast<std::size_t>(size)] = work_of_scan(world);
    }
    CHECK(first[1] < 11 * first[0]);
    CHECK(next[1] < 25 * next[0]);  // they are more than processors hold near
    CHECK(next[1] * 20 < first[1]);
  }
}

TEST_CASE("files with the same combinations share their shape, and others do not") {
  World world;
  constexpr int kCombinations = 2000;
  world.put(0, many(kCombinations, 1, 10));
  const std::uint64_t first = work_of_scan(world);
  const std::size_t memory = world.fold.stats().memory;
  world.put(1, many(kCombinations, 2, 11));
  CHECK(work_of_scan(world) * 4 < first);
  CHECK(world.fold.stats().memory < memory + memory / 10);
  CHECK(world.fold.series().size() == kCombinations);
  CHECK(world.total("sent.M0.s0") == 3);
  // One that is removed is another shape.
  MadeFile other = many(kCombinations - 1, 2, 12);
  other.buffered("sent.M9.s1999", kRemoved, std::uint64_t{5});
  world.put(2, other);
  CHECK(work_of_scan(world) * 2 > first);
  CHECK(world.total("sent.M9.s1999") == 3);
}

TEST_CASE("what texts of dimensions take is said before a shape is built, and counts as series do") {
  const std::string long_name(200, 'n');
  const std::string told = "sent\tcounter\t\t\t\t" + long_name + "1 " + long_name + "2\n" +
                           "time\thistogram\t\t\tlog-linear 32 -30 50\t" + long_name + "\n";
  MadeFile made = MadeFile().owner(10, 100).text("sys.metadata", told, told.size() + 1);
  for (int i = 0; i < 300; ++i) {
    made.buffered("sent.a" + std::to_string(i) + ".b", kThere, std::uint64_t{1});
    add(made, {.method = std::to_string(i), .ones = 1});
    // As no writer of ours writes it: the name is three times as long.
    made.buffered("sent.c" + std::to_string(i) + "." + std::string(90, '\x01'), kThere, std::uint64_t{1});
    add(made, {.method = std::to_string(i) + std::string(90, '\x02'), .ones = 1});
    made.buffered("code." + std::to_string(i) + ".%\n", kThere, std::uint64_t{1});
  }
  const auto bytes = made.padded();
  ParsedFile content;
  parse(bytes, content);
  const MetadataIndex metadata(content);
  REQUIRE(metadata.histograms().size() == 600);
  for (const bool texts : {false, true}) {
    Rules rules;
    if (texts) {
      Rule rule;
      rule.family = ".*";
      rule.name = "%{" + long_name + "1}%{" + long_name + "1}\\0";
      REQUIRE(rules.add(rule));
      rule = {};
      rule.pattern = "(?P<a>code[.](?P<b>(?P<c>.*)[.](?P<d>.*)))";
      rule.drop = Names{"a"};
      REQUIRE(rules.add(rule));
      rule.pattern = ".*";
      rule.where = {{long_name + "1", ".*"}};
      REQUIRE(rules.add(rule));
    }
    const Layout layout(content, bytes, rules, metadata);
    const std::size_t most = Layout::most_memory(content, bytes.size(), rules, metadata);
    CHECK(layout.memory() <= most);
    CHECK(most < 7 * layout.memory());
    // Two names of 201 bytes for each of the first family.
    CHECK(layout.memory() > std::size_t{300} * 400);
    World world(std::move(rules));
    world.files[0].bytes = bytes;
    world.scan();
    CHECK(world.fold.stats().series_memory > std::size_t{300} * 400);
  }
}
