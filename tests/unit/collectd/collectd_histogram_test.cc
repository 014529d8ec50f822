// Histograms in collectd: what the configuration asks for, and what is sent.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collectd/config_text.h"
#include "collectd/stub_host.h"
#include "made_file.h"
#include "mmstats/parse.h"
#include "plugin_collectd/config.h"
#include "temporary_folder.h"

using mmstats::BucketRange;

namespace {

struct ReadBlock {
  std::vector<std::string> messages;
  mmstats::collectd::BlockConfig block;

  // Endings of the percentiles of a histogram.
  [[nodiscard]] std::string percentiles(std::string_view label) const {
    std::string all;
    for (const auto& one : block.rules.percentiles(rule(label))) all += one.ending + " ";
    return all;
  }
  [[nodiscard]] BucketRange buckets(std::string_view label) const { return block.rules.buckets(rule(label)); }

 private:
  [[nodiscard]] std::int32_t rule(std::string_view label) const {
    mmstats::Field field{};
    field.type = mmstats::parse_type("Q").value();
    return block.rules.bind(label, field, {}).rule;
  }
};

ReadBlock read_block(const std::string& text) {
  const std::vector<mmstats::collectd::ConfigItem> items{config_text::section(text)};
  auto config = mmstats::collectd::read_config(items, {"/default/*.mmstats"}, 127);
  REQUIRE(config.blocks.size() == 1);
  ReadBlock read{.messages = {}, .block = std::move(config.blocks[0])};
  for (const auto& message : config.messages) read.messages.push_back(message.text);
  return read;
}

constexpr std::size_t kPowers = 3;
using Counts = std::array<std::array<std::uint64_t, 2>, kPowers>;  // from 2^-2, two parts each

// A worker's histogram, and no more.
void publish_buckets(const TemporaryFolder& folder, const std::string& name, const Counts& counts) {
  MadeFile file;
  file.owner(static_cast<std::uint32_t>(getpid()), 100);
  for (std::size_t i = 0; i < kPowers; ++i)
    file.unbuffered("web.latency.buckets." + std::to_string(static_cast<int>(i) - 2), "2Q", counts[i]);
  file.text("sys.metadata", "web.latency\thistogram\tseconds\t\tlog-linear 2 -30 50\n", 100);
  const auto bytes = file.padded();
  // In place, as a worker writes.
  std::fstream into(folder / name, std::ios::in | std::ios::out | std::ios::binary);
  if (!into) return folder.write(name, bytes);
  into.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  CHECK(into.flush());
}

std::map<std::string, stub_host::Dispatched> values_by_name(const stub_host::Host& host) {
  std::map<std::string, stub_host::Dispatched> all;
  for (const auto& value : host.dispatched()) CHECK(all.emplace(value.identity, value).second);
  return all;
}

}  // namespace

TEST_CASE("percentiles are those of the block, or of the <Metric> that the histogram's label matches") {
  CHECK(read_block("").percentiles("web.latency") == "p50 p90 p99 p999 ");
  const auto read = read_block(R"conf(
    Percentiles 50 99.9 "75"
    <Metric "web[.]size">
      Percentiles "99.99" 5
    </Metric>
    <Metric "web[.]plain">
      Scale 2
    </Metric>)conf");
  CHECK(read.messages == std::vector<std::string>{});
  CHECK(read.percentiles("web.latency") == "p50 p999 p75 ");
  CHECK(read.percentiles("web.size") == "p9999 p05 ");
  CHECK(read.percentiles("web.plain") == "p50 p999 p75 ");
}

TEST_CASE("buckets are a range of powers of two") {
  struct Row {
    const char* text;
    BucketRange want;
  };
  constexpr Row kRows[] = {
      {"", {}},
      {"Buckets false", {}},
      {"Buckets true", {20, 36}},
      {"Buckets 0.001 60", {20, 36}},
      {"Buckets 0.25 1", {28, 30}},
      {"Buckets 0.26 1.01", {28, 31}},
      {"Buckets 1 1.5", {30, 31}},
      {"Buckets 9.31322574615478515625e-10 1125899906842624", {0, 80}},
  };
  for (const auto& row : kRows) {
    CAPTURE(std::string(row.text));
    const auto read = read_block(row.text);
    CHECK(read.messages == std::vector<std::string>{});
    CHECK(read.buckets("web.latency") == row.want);
  }
  const auto read = read_block(R"conf(
    Buckets true
    <Metric "web[.]size">
      Buckets 1024 65536
    </Metric>
    <Metric "web[.]none">
      Buckets false
    </Metric>
    <Metric "web[.]plain">
      Scale 2
    </Metric>)conf");
  CHECK(read.messages == std::vector<std::string>{});
  CHECK(read.buckets("web.size") == BucketRange{40, 46});
  CHECK(read.buckets("web.none").size() == 0);
  CHECK(read.buckets("web.plain") == mmstats::kUsualBuckets);
}

TEST_CASE("a wrong list of percentiles or range of buckets is told, and leaves what was in force") {
  struct Row {
    std::string_view mistake;
    std::string_view message;
  };
  constexpr Row kRows[] = {
      {"Percentiles", "Percentiles is left out: it takes 1 to 20 numbers above 0 and below 100"},
      {"Percentiles 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21", "it takes 1 to 20 numbers"},
      {"Percentiles 50 100", "Percentiles 50 100 is left out: percentile \"100\""},
      {"Percentiles 0", "percentile \"0\""},
      {"Percentiles true", "percentile \"\""},
      {"Percentiles \"p99\"", "percentile \"p99\""},
      {"Percentiles nan", "percentile \"nan\""},
      {"Percentiles 99 \"99.0\"", "99.0 is there twice"},
      {"Buckets", "Buckets is left out: it takes true, false, or two numbers"},
      {"Buckets 1", "Buckets 1 is left out"},
      {"Buckets \"true\"", "Buckets \"true\" is left out"},
      {"Buckets 1 1", "of which the second is the larger"},
      {"Buckets 2 1", "of which the second is the larger"},
      {"Buckets 0 1", "from 2^-30 to 2^50"},
      {"Buckets 1 1e300", "from 2^-30 to 2^50"},
      {"Buckets nan 1", "two numbers"},
      {"Buckets 1 nan", "two numbers"},
      {"Buckets 1 2 3", "two numbers"},
      {"Buckets true false", "two numbers"},
  };
  for (const auto& row : kRows) {
    const std::string mistake(row.mistake);
    CAPTURE(mistake);
    for (const auto& text :
         {"Percentiles 95\nBuckets 1 2\n" + mistake,
          "<Metric \"web[.]latency\">\nPercentiles 95\nBuckets 1 2\n" + mistake + "\n</Metric>"}) {
      const auto read = read_block(text);
      REQUIRE(read.messages.size() == 1);
      CAPTURE(read.messages[0]);
      CHECK(read.messages[0].find(row.message) != std::string::npos);
      CHECK(read.percentiles("web.latency") == "p95 ");
      CHECK(read.buckets("web.latency") == BucketRange{30, 31});
    }
  }
}

TEST_CASE("a histogram is sent as counts, and as percentiles of the interval while there are values") {
  const TemporaryFolder folder;
  // 1.25 stands for the first half of 1 to 2.
  publish_buckets(folder, "a.mmstats", {});
  publish_buckets(folder, "b.mmstats", {});
  stub_host::Host host;
  host.config(config_text::section("<Files \"web\">\nPath \"" + folder.path() +
                                   "/*.mmstats\"\nPercentiles 50 99\nBuckets 0.25 2\n</Files>\n"));
  REQUIRE(host.init() == 0);
  REQUIRE(host.read("mmstats/web") == 0);
  const std::string name = "mmstats-web/";
  auto sent = values_by_name(host);
  CHECK(sent.size() == 4);
  for (const char* one : {"derive-web.latency.count", "derive-web.latency.buckets.28",
                          "derive-web.latency.buckets.29", "derive-web.latency.buckets.30"}) {
    REQUIRE(sent.contains(name + one));
    CHECK(sent.at(name + one).derive == 0);
  }

  publish_buckets(folder, "a.mmstats", {{{98, 0}, {0, 0}, {0, 0}}});
  publish_buckets(folder, "b.mmstats", {{{0, 0}, {0, 0}, {2, 0}}});
  REQUIRE(host.read("mmstats/web") == 0);
  sent = values_by_name(host);
  CHECK(sent.size() == 8);
  CHECK(sent.at(name + "gauge-web.latency.p50").number == doctest::Approx(0.3125).epsilon(0.02));
  CHECK(sent.at(name + "gauge-web.latency.p99").number == doctest::Approx(1.25).epsilon(0.02));
  CHECK(sent.at(name + "gauge-web.latency.max").number == doctest::Approx(1.25).epsilon(0.02));
  CHECK(sent.contains(name + "gauge-web.latency.min"));
  CHECK(sent.at(name + "derive-web.latency.count").derive == 100);
  CHECK(sent.at(name + "derive-web.latency.buckets.28").derive == 98);
  CHECK(sent.at(name + "derive-web.latency.buckets.29").derive == 0);
  CHECK(sent.at(name + "derive-web.latency.buckets.30").derive == 2);

  REQUIRE(host.read("mmstats/web") == 0);
  sent = values_by_name(host);
  CHECK(sent.size() == 4);
  CHECK(sent.at(name + "derive-web.latency.count").derive == 100);
  CHECK(host.log().size() == 1);
}

TEST_CASE("a scan of histograms allocates nothing once it has seen their values") {
  const TemporaryFolder folder;
  const auto publish_all = [&](std::uint64_t number) {
    for (int i = 0; i < 20; ++i)
      publish_buckets(folder, std::to_string(i) + ".mmstats", {{{number, number}, {number, 0}, {0, number}}});
  };
  publish_all(1);
  stub_host::Host host;
  host.config(config_text::section("<Files \"sum\">\nPath \"" + folder.path() +
                                   "/*.mmstats\"\nBuckets true\n</Files>\n<Files \"apart\">\nPath \"" +
                                   folder.path() +
                                   "/*.mmstats\"\nBuckets true\nAggregate \"none\"\n</Files>"));
  REQUIRE(host.init() == 0);
  host.keep_dispatched(false);
  const std::array<std::string, 2> readers{"mmstats/sum", "mmstats/apart"};
  for (std::uint64_t number = 2; number < 20; ++number) {
    publish_all(number);
    const auto before = stub_host::allocations();
    for (const auto& reader : readers) CHECK(host.read(reader) == 0);
    const auto allocated = stub_host::allocations() - before;
    if (number == 2) CHECK(allocated > 0);  // what is counted is what the module does
    if (number >= 10) CHECK(allocated == 0);
  }
  host.keep_dispatched(true);
  CHECK(host.read("mmstats/sum") == 0);
  CHECK(values_by_name(host).at("mmstats-sum/derive-web.latency.buckets.28").derive == 20 * 2 * 19);
}
