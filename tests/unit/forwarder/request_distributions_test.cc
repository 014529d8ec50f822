// Distributions in Pinba, as a server shows them: plugin_pinba/mapping.md, "Histograms".
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/buckets.h"
#include "collect/distributions.h"
#include "collect/edit_described.h"
#include "pinba/pinba_server.h"
#include "plugin_pinba/forward/request_mapper.h"

namespace {

using mmstats::Distribution;
using mmstats::forward::kMostBucketEntries;
using Drawn = std::mt19937_64;

// A group with distributions, as its fold has them, and the server that it is sent to.
struct Sending {
  std::vector<mmstats::Series> series;
  std::vector<std::unique_ptr<Distribution>> distributions;
  mmstats::forward::RequestMapper mapper;
  PinbaReport report;

  explicit Sending(const std::string& toml = "") : mapper(mapping_of(toml)) {}

  static mmstats::forward::Mapping mapping_of(const std::string& toml) {
    auto config = mmstats::forward::read_config(toml, "test.toml", {"/nowhere/*"});
    if (!config) FAIL(config.error().front());
    auto& group = config->groups.front();
    return {.group = group.name,
            .hostname = "host",
            .tags = std::move(group.tags),
            .request = std::move(group.request),
            .metrics = std::move(group.metrics),
            .limits = {}};
  }

  void add_series(std::string name, mmstats::Kind kind) {
    mmstats::Series one;
    edit(one)->name = std::move(name);
    one.kind = kind;
    one.present = true;
    series.push_back(one);
  }
  // Its count, sum and p99 are the three series before it.
  Distribution& add(const std::string& name) {
    add_series(name + ".count", mmstats::Kind::kCounter);
    series.back().integral = true;
    add_series(name + ".sum", mmstats::Kind::kCounter);
    add_series(name + ".p99", mmstats::Kind::kGauge);
    for (auto one = series.end() - 3; one != series.end(); ++one)
      one->distribution = static_cast<std::int32_t>(distributions.size());
    distributions.push_back(std::make_unique<Distribution>());
    distributions.back()->sum = static_cast<std::int32_t>(series.size()) - 2;
    edit(*distributions.back())->name = name;
    distributions.back()->shown = true;
    return *distributions.back();
  }
  void count(std::size_t number, double value, std::uint64_t times = 1) {
    distributions[number]->total.add(value, times);
    count_without_bucket(number, value, times);
  }
  void count_without_bucket(std::size_t number, double value, std::uint64_t times) {
    series[3 * number].total += times;
    series[3 * number + 1].value += value * static_cast<double>(times);
  }
  // Returns how many requests there were.
  std::uint64_t scan() {
    const std::uint64_t before = report.requests;
    pinba::Encoder encoder({.drop_unused_texts = true});
    mapper.scan(series, distributions, std::chrono::system_clock::time_point(std::chrono::hours(1)),
                [&](const pinba::Request& request) {
                  for (const auto& datagram : encoder.encode(request)) {
                    CHECK(broken_rule(datagram) == "");
                    report.add(parsed(datagram));
                  }
                  CHECK_FALSE(encoder.changes().any());
                });
    return report.requests - before;
  }
  [[nodiscard]] PinbaReport::Row row(const std::string& metric) const {
    const auto found = report.rows.find({{"metric", metric}});
    return found == report.rows.end() ? PinbaReport::Row() : found->second;
  }
};

struct Drawing {
  const char* name;
  std::function<double(Drawn&)> next;
};

const std::vector<Drawing>& drawings() {
  static const std::vector<Drawing> all{
      {"constant", [](Drawn&) { return 0.042; }},
      {"uniform", [](Drawn& r) { return std::uniform_real_distribution(0.5, 60.0)(r); }},
      {"exponential", [](Drawn& r) { return 0.01 + std::exponential_distribution(5.0)(r) / 10; }},
      {"log-normal",
       [](Drawn& r) { return std::clamp(std::lognormal_distribution(-3.0, 0.7)(r), 0.01, 1.0); }},
      {"pareto", [](Drawn& r) { return 1 / std::uniform_real_distribution(0.02, 1.0)(r); }},
      {"bimodal", [](Drawn& r) { return r() % 10 == 0 ? 2.0 + static_cast<double>(r() % 100) / 100 : 0.25; }},
      {"two far apart", [](Drawn& r) { return r() % 1000 < 990 ? 1e-6 : 1e6; }},
      {"edges of buckets", [](Drawn& r) { return 1.0 + static_cast<double>(r() % 32) / 32; }},
      {"upper edges",
       [](Drawn& r) { return std::nextafter(1.0 + static_cast<double>(1 + r() % 32) / 32, 0.0); }},
  };
  return all;
}

}  // namespace

TEST_CASE("a server finds the percentiles of distributions within 2 %, over scans and workers") {
  Sending sending;
  Drawn random(7);
  std::vector<std::vector<double>> values(drawings().size());
  for (const auto& [name, next] : drawings()) sending.add(name);
  for (int scan = 0; scan < 3; ++scan) {
    for (std::size_t i = 0; i < drawings().size(); ++i) {
      for (int k = 0; k < 2000; ++k) {
        values[i].push_back(drawings()[i].next(random));
        sending.count(i, values[i].back());
      }
    }
    CHECK(sending.scan() > 0);
  }
  CHECK(sending.report.rows.size() == drawings().size());
  CHECK(sending.mapper.take_problems().empty());
  for (std::size_t i = 0; i < drawings().size(); ++i) {
    CAPTURE(drawings()[i].name);
    const auto row = sending.row(drawings()[i].name);
    CHECK(row.hits == values[i].size());
    CHECK(row.times.size() <= kMostBucketEntries);
    std::ranges::sort(values[i]);
    double sum = 0;
    for (const double value : values[i]) sum += value;
    CHECK(row.value == doctest::Approx(sum).epsilon(0.02));
    for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      CAPTURE(share);
      const auto rank =
          static_cast<std::size_t>(std::ceil(share * static_cast<double>(values[i].size()) - 1e-9));
      const double exact = values[i][std::max<std::size_t>(rank, 1) - 1];
      CHECK(std::abs(row.percentile(share) - exact) <= 0.02 * exact);
    }
  }
}

TEST_CASE("values of a distribution are sent once, and in its entries alone") {
  Sending sending;
  sending.add("latency");
  sending.count(0, 1.0, 1000);
  sending.mapper.start_from(sending.series, sending.distributions);
  CHECK(sending.scan() == 0);
  sending.count(0, 2.0, 3);
  sending.count(0, 64.0, 1);
  CHECK(sending.scan() == 1);
  CHECK(sending.scan() == 0);
  CHECK(sending.report.rows.size() == 1);
  const auto row = sending.row("latency");
  CHECK(row.hits == 4);
  CHECK(row.times.size() == 2);
  CHECK(row.percentile(0.5) == doctest::Approx(2.0).epsilon(0.02));
  CHECK(row.percentile(1) == doctest::Approx(64.0).epsilon(0.02));
  // Another mapping goes on.
  sending.count(0, 2.0, 1);
  sending.mapper.remap(Sending::mapping_of("[[group]]\nname = 'web'\ntags = { a = 'b' }"));
  CHECK(sending.scan() == 1);
  CHECK(sending.report.rows.at({{"metric", "latency"}, {"a", "b"}}).hits == 1);
}

TEST_CASE("a distribution that comes after its series takes them over") {
  Sending sending;
  sending.add("latency");
  auto later = std::move(sending.distributions);
  sending.distributions.clear();
  for (auto& one : sending.series) one.distribution = -1;
  sending.count_without_bucket(0, 0.25, 4);
  CHECK(sending.scan() == 1);
  CHECK(sending.row("latency").hits == 4);
  sending.distributions = std::move(later);
  for (auto& one : sending.series) one.distribution = 0;
  sending.count(0, 1.0, 2);
  // These have no buckets: they have the mean of all.
  sending.count_without_bucket(0, 2.5, 4);
  CHECK(sending.scan() == 1);
  const auto row = sending.row("latency");
  CHECK(row.hits == 10);
  CHECK(row.times.size() == 3);
  CHECK(row.percentile(1) == doctest::Approx(2.0));
  CHECK(sending.scan() == 0);
}

TEST_CASE("what a metric of its own is for is sent beside a distribution") {
  const std::string metrics =
      "[[group]]\nname = 'web'\n[[group.metric]]\nmatch = 'latency'\ntags = { path = 'x' }\n"
      "[[group.metric]]\nmatch = 'latency\\.p99'\n";
  Sending sending(metrics);
  edit(sending.add("latency"))->rule = 0;
  edit(sending.series[2])->rule = 1;
  sending.series[2].value = 7;
  sending.count(0, 1.0, 5);
  CHECK(sending.scan() == 1);
  CHECK(sending.report.rows.at({{"metric", "latency"}, {"path", "x"}}).hits == 5);
  CHECK(sending.row("latency.p99").value == 7);
  CHECK(sending.report.rows.size() == 2);

  // What is written for count and sum names the timer as before.
  Sending of_both(
      "[[group]]\nname = 'web'\n[[group.metric]]\nmatch = 'latency\\.(count|sum)'\ntags = { path = 'y' }\n");
  of_both.add("latency");
  edit(of_both.series[0])->rule = edit(of_both.series[1])->rule = 0;
  of_both.count(0, 1.0, 5);
  CHECK(of_both.scan() == 1);
  CHECK(of_both.report.rows.at({{"metric", "latency"}, {"path", "y"}}).hits == 5);

  // Nobody wants the buckets, only the count and the sum.
  Sending of_series;
  of_series.add("latency").shown = false;
  of_series.count(0, 1.0, 5);
  CHECK(of_series.scan() == 1);
  CHECK(of_series.row("latency").times.size() == 1);
}

TEST_CASE("of too many buckets the rarest share entries, and it is told once") {
  Sending sending;
  sending.add("wide");
  double sum = 0;
  for (std::uint32_t bucket = 320; bucket < 1320; ++bucket) {
    const std::uint64_t times = bucket >= 800 && bucket < 832 ? 1000 : 1;
    sending.count(0, mmstats::buckets::middle(bucket), times);
    sum += mmstats::buckets::middle(bucket) * static_cast<double>(times);
  }
  sending.scan();
  const auto row = sending.row("wide");
  CHECK(row.hits == 33'000 - 32);
  CHECK(row.times.size() <= kMostBucketEntries);
  CHECK(row.value == doctest::Approx(sum).epsilon(0.02));
  CHECK(row.percentile(0.5) == doctest::Approx(mmstats::buckets::middle(815)).epsilon(0.02));
  CHECK(sending.mapper.take_problems().size() == 1);
  for (std::uint32_t bucket = 320; bucket < 1320; ++bucket)
    sending.count(0, mmstats::buckets::middle(bucket));
  sending.scan();
  CHECK(sending.mapper.take_problems().empty());
}

TEST_CASE("more values than an entry holds wait, and what is no time is left out and told") {
  Sending sending;
  sending.add("huge");
  sending.count(0, 1.0, (std::uint64_t{1} << 32U) + 5);
  sending.scan();
  CHECK(sending.row("huge").hits == std::numeric_limits<std::int32_t>::max());
  sending.scan();
  sending.scan();
  CHECK(sending.row("huge").hits == 5);  // a server's 32 bits
  CHECK(sending.scan() == 0);

  Sending negative;
  negative.add("below").scale = -1;
  negative.count(0, 1.0, 3);
  CHECK(negative.scan() == 0);
  CHECK(negative.mapper.take_problems().size() == 1);
}

TEST_CASE("a distribution of a family has the family's label, and a tag for each dimension") {
  Sending sending;
  for (const std::string method : {"GET", "PUT"}) {
    auto& one = sending.add("latency." + method);
    edit(one)->family = "latency";
    edit(one)->dimensions = {{"method", method}};
    for (auto series = sending.series.end() - 3; series != sending.series.end(); ++series) {
      edit(*series)->family = one.family();
      edit(*series)->dimensions = one.dimensions();
    }
  }
  sending.count(0, 1.0, 3);
  sending.count(1, 64.0, 2);
  CHECK(sending.scan() == 1);
  CHECK(sending.report.rows.size() == 2);
  CHECK(sending.report.rows.at({{"metric", "latency"}, {"method", "GET"}}).hits == 3);
  CHECK(sending.report.rows.at({{"metric", "latency"}, {"method", "PUT"}}).percentile(0.5) ==
        doctest::Approx(64.0).epsilon(0.02));
}
