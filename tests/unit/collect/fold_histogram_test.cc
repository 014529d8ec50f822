// Histograms of many workers against an exact reference: all values of an interval, sorted.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/buckets.h"
#include "collect/distributions.h"
#include "collect/fold_world.h"

using namespace mmstats;
using namespace folded;

namespace {

constexpr double kError = 1.0 / 64;
constexpr std::string_view kTold =
    "web.latency\thistogram\tseconds\tTime to answer\tlog-linear 32 -30 50\n"
    "web.latency.sum\tcounter\tseconds\n";

// A worker with one histogram, as our library writes its file: the newest field of buckets comes first,
// behind what is left of the room for eight of them.
struct Worker {
  static constexpr std::size_t kField =
      2 + 26 + 2 + 3 + 1 + 256;  // of buckets, their labels and blanks included
  static constexpr std::size_t kFields = 8;

  std::uint32_t pid;
  double created = 100;
  std::map<int, std::array<std::uint64_t, 32>> counts = {};
  std::vector<int> powers = {};  // in the order of their first values
  double sum = 0;
  std::uint64_t number = 0;
  std::uint64_t after = 0;  // a counter behind the room

  void add(double value) {
    const std::uint32_t bucket = buckets::of(value);
    const int power = buckets::kLowestExponent + static_cast<int>(bucket / 32);
    const auto [place, is_new] = counts.try_emplace(power);
    if (is_new) powers.push_back(power);
    ++place->second[bucket % 32];
    sum += value;
    ++number;
  }

  [[nodiscard]] MadeFile file() const {
    MadeFile made;
    made.owner(pid, created);
    made.buffered("web.latency.count", "Q", number);
    made.buffered("web.latency.sum", "d", sum);
    for (const char* ending : {"min", "max", "p50", "p90", "p99", "p999"})
      made.buffered("web.latency." + std::string(ending), "d", 77.0);
    made.text("sys.metadata", kTold, 500);
    // Labels have one length here, as powers are written with a sign and two digits or blanks are added.
    std::size_t used = 0;
    MadeFile fields;
    for (auto power = powers.rbegin(); power != powers.rend(); ++power) {
      const auto label = "web.latency.buckets." + std::to_string(*power);
      fields.unbuffered(label, std::string(kField - 256 - 5 - label.size() - 3, ' ') + "32Q",
                        counts.at(*power));
      used += kField;
    }
    const std::size_t left = kFields * kField - used;
    auto type = std::to_string(left) + 's';
    type.insert(0, 8 - type.size(), ' ');
    REQUIRE(used <= kFields * kField);
    made.raw(std::string("\x08\0sys.room\x08\0", 12) + type + '\xFF' + std::string(left, '\0'));
    made.raw({reinterpret_cast<const char*>(fields.bytes().data()) + 1, fields.bytes().size() - 1});
    made.unbuffered("after", "Q", after).text("sys.metadata", "after\tcounter\n", 20);
    return made;
  }
};

struct HistogramWorld : World {
  using World::World;
  std::map<FileKey, Worker> workers;

  std::vector<Error> scan_workers() {
    for (const auto& [key, one] : workers) put(key, one.file());
    return scan();
  }
};

const Distribution* distribution(const Fold& fold, std::string_view name, int slot = -1) {
  for (const auto& one : fold.distributions()) {
    if (one && one->name() == name && one->slot == slot) return one.get();
  }
  return nullptr;
}

// But for roundings.
bool close(double got, double exact) { return std::abs(got - exact) <= (kError + 1e-12) * std::abs(exact); }

double nearest_rank(const std::vector<double>& sorted, double percent) {
  const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

using Random = std::mt19937_64;
struct Kind11 {
  const char* name;
  std::function<double(Random&)> next;
};

std::vector<Kind11> eleven() {
  return {
      {"constant", [](Random&) { return 0.042; }},
      {"uniform", [](Random& r) { return std::uniform_real_distribution(0.5, 60.0)(r); }},
      {"exponential", [](Random& r) { return 0.01 + std::exponential_distribution(5.0)(r) / 10; }},
      {"log-normal",
       [](Random& r) { return std::clamp(std::lognormal_distribution(-3.0, 0.7)(r), 0.01, 1.0); }},
      {"pareto", [](Random& r) { return std::pow(std::uniform_real_distribution(0.005, 1.0)(r), -1.0); }},
      {"bimodal",
       [](Random& r) { return r() % 10 == 0 ? 2.0 + static_cast<double>(r() % 100) / 100 : 0.25; }},
      {"two far apart", [](Random& r) { return r() % 1000 < 990 ? 1e-6 : 1e6; }},
      {"integers", [](Random& r) { return static_cast<double>(1 + r() % 100); }},
      {"powers of two", [](Random& r) { return std::ldexp(1.0, static_cast<int>(r() % 8)); }},
      {"edges of buckets", [](Random& r) { return 1.0 + static_cast<double>(r() % 64) / 64; }},
      {"nanoseconds", [](Random& r) { return 1e-9 * static_cast<double>(1 + r() % 100); }},
  };
}

}  // namespace

TEST_CASE("percentiles of an interval are those of all workers together") {
  HistogramWorld world;
  for (std::uint32_t i = 0; i < 4; ++i) world.workers[i] = {.pid = 10 + i};
  world.scan_workers();
  // One is busy and slow, the others are idle.
  for (int i = 0; i < 100; ++i) world.workers[0].add(0.2);
  CHECK(world.scan_workers().empty());
  CHECK(close(*world.gauge("web.latency.p99"), 0.2));
  CHECK(close(*world.gauge("web.latency.p50"), 0.2));
  CHECK(close(*world.gauge("web.latency.min"), 0.2));
  CHECK(close(*world.gauge("web.latency.max"), 0.2));
  CHECK(world.total("web.latency.count") == 100);
  CHECK(world.find("web.latency.sum")->value == doctest::Approx(20));

  // Nothing happens: there is no percentile, and the count stands still.
  world.scan_workers();
  CHECK_FALSE(world.gauge("web.latency.p99"));
  CHECK_FALSE(world.gauge("web.latency.max"));
  CHECK(world.total("web.latency.count") == 100);
  CHECK(distribution(world.fold, "web.latency")->interval.count() == 0);
  CHECK(distribution(world.fold, "web.latency")->total.count() == 100);
  CHECK(distribution(world.fold, "web.latency")->unit() == "seconds");

  // A new power of two in one file, while others stand still.
  world.workers[1].add(3.0);
  world.workers[0].after = 7;
  CHECK(world.scan_workers().empty());
  CHECK(close(*world.gauge("web.latency.p50"), 3.0));
  CHECK(world.total("web.latency.count") == 101);
  CHECK(world.total("after") == 7);
}

TEST_CASE("what was there at the first scan counts in totals, and in no interval") {
  HistogramWorld world;
  world.workers[0] = {.pid = 10};
  for (int i = 0; i < 5; ++i) world.workers[0].add(1.0);
  world.scan_workers();
  CHECK(world.total("web.latency.count") == 5);
  CHECK_FALSE(world.gauge("web.latency.p50"));

  SUBCASE("a file that came since counts in the interval") {
    world.workers[1] = {.pid = 11};
    world.workers[1].add(4.0);
    world.scan_workers();
    CHECK(close(*world.gauge("web.latency.p50"), 4.0));
  }
  SUBCASE("one that was left for a later scan does not: nobody knows when its values came") {
    world.workers[1] = {.pid = 11};
    world.workers[1].add(4.0);
    world.kept = {1};
    world.scan_workers();
    world.kept.clear();
    world.workers[0].add(1.0);
    world.scan_workers();
    CHECK(close(*world.gauge("web.latency.max"), 1.0));
    CHECK(world.total("web.latency.count") == 7);
  }
}

TEST_CASE("files of one program share their shape, whatever powers of two they have") {
  HistogramWorld world;
  Random random(1);
  for (std::uint32_t i = 0; i < 50; ++i) {
    world.workers[i] = {.pid = 10 + i};
    for (int power = 0; power < static_cast<int>(i % 8); ++power)
      world.workers[i].add(std::ldexp(1.0, static_cast<int>(random() % 16)));
  }
  world.scan_workers();
  const auto before = world.fold.stats().memory;
  world.scan_workers();
  CHECK(world.fold.stats().memory == before);
  // A shape takes more than so much: it is there once.
  CHECK(before < 50 * 5000 + 20'000);
}

TEST_CASE("a counter of a bucket that falls began again; its life goes on") {
  HistogramWorld world;
  world.workers[0] = {.pid = 10};
  for (int i = 0; i < 5; ++i) world.workers[0].add(1.0);
  world.scan_workers();
  world.workers[0] = {.pid = 10};
  world.workers[0].add(1.0);
  world.scan_workers();
  CHECK(world.total("web.latency.count") == 6);
  CHECK(world.fold.stats().resets >= 1);
}

TEST_CASE("buckets that are gone from a file for a while count on") {
  HistogramWorld world;
  world.workers[0] = {.pid = 10};
  for (int i = 0; i < 5; ++i) world.workers[0].add(1.0);
  world.workers[0].add(8.0);
  world.scan_workers();
  auto fewer = world.workers[0];
  fewer.powers.pop_back();
  world.put(0, fewer.file());
  world.scan();
  CHECK(world.total("web.latency.count") == 6);
  world.scan_workers();
  CHECK(world.total("web.latency.count") == 6);
}

TEST_CASE("a life that goes on in another file of its name takes its buckets with it") {
  HistogramWorld world;
  world.workers[0] = {.pid = 10};
  world.workers[0].add(1.0);
  world.names[0] = "web";
  world.scan_workers();
  const Worker same = world.workers[0];
  world.workers.clear();
  world.gone = {0};
  world.scan();
  world.workers[1] = same;
  world.workers[1].add(1.0);
  world.names[1] = "web";
  world.scan_workers();
  CHECK(world.total("web.latency.count") == 2);
}

TEST_CASE("a bucket that is not read whole waits for the next scan") {
  HistogramWorld world;
  world.workers[0] = {.pid = 10};
  world.workers[0].add(1.0);
  world.scan_workers();
  auto torn = world.workers[0];
  torn.counts[0][0] = 0x1'0000'0001;  // halves of two values
  auto whole = world.workers[0];
  whole.counts[0][0] = 300;
  // Both readings of a scan differ, and the older one is above the newer one.
  world.files[0].scripted = {torn.file().padded(), whole.file().padded()};
  world.workers.clear();
  world.scan();
  CHECK(world.total("web.latency.count") < 1000);
  world.scan();
  CHECK(world.total("web.latency.count") == 300);
}

TEST_CASE("without a room, and less precise: any writer's buckets count") {
  World world;
  std::array<std::uint64_t, 4> parts{};
  const auto made = [&](std::uint32_t pid) {
    return MadeFile()
        .owner(pid, 100)
        .unbuffered("t.buckets.0", "4Q", parts)
        .unbuffered("t.buckets.-1", "4Q", std::array<std::uint64_t, 4>{})
        .unbuffered("other.buckets.0", "4Q", std::array<std::uint64_t, 4>{1, 2, 3, 4})
        .text("sys.metadata", "t\thistogram\t\t\tlog-linear 4 -30 50\nother\thistogram\t\t\tmagic 7\n", 100);
  };
  world.put(0, made(10));
  world.scan();
  parts = {0, 10, 0, 0};
  world.put(0, made(10));
  CHECK(world.scan().empty());
  CHECK(world.total("t.count") == 10);
  CHECK(*world.gauge("t.p50") == doctest::Approx(1.375).epsilon(0.02));
  CHECK(distribution(world.fold, "other") == nullptr);
}

TEST_CASE("series of a histogram follow the rules for their labels") {
  Rules rules;
  REQUIRE(rules.add({.pattern = "web\\.latency", .percentiles = {{*parse_percentile("95")}}}).has_value());
  REQUIRE(rules.add({.pattern = "web\\.latency\\.p95", .name = "slow", .scale = 1000}).has_value());
  REQUIRE(rules.add({.pattern = "web\\.latency\\.max", .ignore = true}).has_value());
  REQUIRE(rules.add({.pattern = "web\\.latency\\.min", .aggregate = Aggregate::kNone}).has_value());
  HistogramWorld world(std::move(rules));
  for (std::uint32_t i = 0; i < 2; ++i) world.workers[i] = {.pid = 10 + i};
  world.scan_workers();
  world.workers[0].add(1.0);
  world.workers[1].add(4.0);
  world.scan_workers();
  CHECK(close(*world.gauge("slow"), 4000));
  CHECK(world.find("web.latency.p50") == nullptr);
  CHECK(world.find("web.latency.max") == nullptr);
  // Of each process.
  CHECK(close(*world.gauge("web.latency.min", 0), 1));
  CHECK(close(*world.gauge("web.latency.min", 1), 4));
}

TEST_CASE("counts of powers of two are counters that add up to the count") {
  Rules rules;
  // From 0.25 to 2: three powers.
  rules.buckets({.first = 28, .end = 31});
  REQUIRE(rules.add({.pattern = "other", .buckets = BucketRange{}}).has_value());
  HistogramWorld world(std::move(rules));
  for (std::uint32_t i = 0; i < 2; ++i) world.workers[i] = {.pid = 10 + i};
  world.workers[0].add(0.3);
  world.scan_workers();
  // All are there at once, so that no first increment is lost on whoever takes differences.
  CHECK(world.total("web.latency.buckets.28") == 1);
  CHECK(world.total("web.latency.buckets.29") == 0);
  CHECK(world.total("web.latency.buckets.30") == 0);
  CHECK(world.find("web.latency.buckets.27") == nullptr);
  CHECK(world.find("web.latency.buckets.31") == nullptr);

  world.workers[0].add(0.25);
  world.workers[0].add(0.4999);
  world.workers[1].add(0.5);
  world.workers[1].add(1.0);
  // Beyond the ends.
  world.workers[1].add(0.001);
  world.workers[1].add(1000);
  world.scan_workers();
  CHECK(world.total("web.latency.buckets.28") == 4);
  CHECK(world.total("web.latency.buckets.29") == 1);
  CHECK(world.total("web.latency.buckets.30") == 2);
  CHECK(world.total("web.latency.count") == 7);

  world.gone = {0, 1};
  world.workers.clear();
  world.scan_workers();
  CHECK(world.total("web.latency.buckets.28") == 4);
}

TEST_CASE("counts of powers of two follow the rules for their labels") {
  Rules rules;
  rules.buckets(kUsualBuckets);
  REQUIRE(rules.add({.pattern = "(.*)\\.buckets\\.(2.)", .name = "\\1.fast"}).has_value());
  REQUIRE(rules.add({.pattern = ".*\\.buckets\\.35", .ignore = true}).has_value());
  REQUIRE(rules.add({.pattern = ".*\\.buckets\\.30", .aggregate = Aggregate::kNone}).has_value());
  HistogramWorld world(std::move(rules));
  for (std::uint32_t i = 0; i < 2; ++i) world.workers[i] = {.pid = 10 + i};
  world.scan_workers();
  for (const double value : {0.001, 0.002, 0.9, 1.0, 40.0}) world.workers[0].add(value);
  world.workers[1].add(1.5);
  world.workers[1].add(1.5);
  world.scan_workers();
  // Those that have one name are one series.
  CHECK(world.total("web.latency.fast") == 3);
  CHECK(world.find("web.latency.buckets.35") == nullptr);
  CHECK(world.total("web.latency.buckets.30", 0) == 1);
  CHECK(world.total("web.latency.buckets.30", 1) == 2);
}

TEST_CASE("percentiles have names of which no two are alike") {
  const std::pair<const char*, const char*> kNames[] = {
      {"50", "p50"}, {"99.9", "p999"}, {"5", "p05"}, {"9.99", "p0999"}, {"99.90", "p999"}, {"0.1", "p001"}};
  for (const auto& [text, ending] : kNames) CHECK(parse_percentile(text)->ending == ending);
  for (const char* wrong : {"", "0", "100", "-1", "1e1", "99.", ".9", "nan", "50%", "0.0", "12.1234567"})
    CHECK_FALSE(parse_percentile(wrong).has_value());
}

TEST_CASE("workers that die and are replaced: percentiles are exact but for a bucket, and totals exact") {
  for (const auto& [name, next] : eleven()) {
    CAPTURE(name);
    Random random(7);
    HistogramWorld world;
    std::uint32_t pid = 1;
    for (FileKey key = 0; key < 100; ++key) world.workers[key] = {.pid = pid++};
    world.scan_workers();
    std::uint64_t total = 0;
    for (int scan = 0; scan < 8; ++scan) {
      std::vector<double> values;
      const auto add = [&](Worker& one, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i) {
          values.push_back(next(random));
          one.add(values.back());
        }
      };
      for (auto& [key, one] : world.workers) add(one, random() % 8 == 0 ? random() % 100 : 0);
      // Some count on until they are gone; others take their places.
      for (int dead = 0; dead < 5; ++dead) {
        const FileKey key = random() % 100;
        if (std::ranges::count(world.gone, key) > 0) continue;
        add(world.workers[key], random() % 20);
        world.put(key, world.workers[key].file());
        world.gone.push_back(key);
      }
      for (auto& [key, one] : world.workers) world.put(key, one.file());
      const auto gone = world.gone;
      REQUIRE(world.scan().empty());
      for (const FileKey key : gone) world.workers[key] = {.pid = pid++};
      total += values.size();
      CHECK(world.total("web.latency.count") == total);
      if (values.empty()) continue;
      std::sort(values.begin(), values.end());
      for (const auto& [ending, percent] :
           {std::pair{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p999", 99.9}})
        CHECK(close(*world.gauge("web.latency." + std::string(ending)), nearest_rank(values, percent)));
      CHECK(close(*world.gauge("web.latency.min"), values.front()));
      CHECK(close(*world.gauge("web.latency.max"), values.back()));
      const auto& interval = distribution(world.fold, "web.latency")->interval;
      CHECK(interval.count() == values.size());
      double sum = 0;
      for (const double value : values) sum += value;
      CHECK(close(interval.mean(), sum / static_cast<double>(values.size())));
    }
  }
}
