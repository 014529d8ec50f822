// The past that mmash keeps: against a model that forgets nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/buckets.h"
#include "tools/mmash/past.h"

using namespace mmash;
using mmstats::BucketCounts;

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
using Counts = std::vector<Past::Count>;

// Distributions that only grow, as those of the fold.
struct Totals {
  std::vector<std::unique_ptr<BucketCounts>> all;

  std::vector<const BucketCounts*> seen() const {
    std::vector<const BucketCounts*> pointers;
    for (const auto& one : all) pointers.push_back(one.get());
    return pointers;
  }
};

Counts counts_of(const BucketCounts& total) {
  Counts counts;
  for (const auto& power : total.powers()) {
    for (std::uint32_t part = 0; part < mmstats::buckets::kMostParts; ++part) {
      if (power.parts[part] > 0)
        counts.push_back({(power.number << mmstats::buckets::kMostBits) + part, power.parts[part]});
    }
  }
  return counts;
}

Counts difference(const Counts& now, const Counts& before) {
  std::map<std::uint32_t, std::uint64_t> counts;
  for (const auto& [bucket, values] : now) counts[bucket] += values;
  for (const auto& [bucket, values] : before) counts[bucket] -= values;
  Counts left;
  for (const auto& [bucket, values] : counts)
    if (values > 0) left.push_back({bucket, values});
  return left;
}

// What a tick was, and what came before it.
struct Known {
  double time = 0;
  std::vector<double> values;
  std::vector<std::optional<Counts>> gained;
};

bool same(double a, double b) { return std::isnan(a) ? std::isnan(b) : a == b; }

void check_same(const Past& past, const std::map<std::uint64_t, Known>& model) {
  Counts counts;
  for (auto tick = past.begin(); tick < past.end(); ++tick) {
    const Known& want = model.at(tick);
    CHECK(past.time(tick) == want.time);
    for (std::size_t i = 0; i < want.values.size() + 2; ++i)
      CHECK(same(past.value(tick, i), i < want.values.size() ? want.values[i] : kNone));
    for (std::size_t i = 0; i < want.gained.size() + 2; ++i) {
      const bool known = past.gained(tick, i, counts);
      const bool wanted = i < want.gained.size() && want.gained[i].has_value();
      CHECK(known == wanted);
      if (known && wanted) CHECK(counts == *want.gained[i]);
    }
  }
}

}  // namespace

TEST_CASE("random histories are what a model remembers of them") {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t number) { return random() % number; };
    const Past::Limits limits{.seconds = 40, .bytes = 4000 + below(30'000)};
    Past past(limits);
    std::map<std::uint64_t, Known> model;
    Totals totals;
    std::vector<double> values;
    std::vector<std::optional<Counts>> last;  // of each distribution since the clock went on
    double time = 1000;
    std::uint64_t begun = 0;  // the tick with which all began
    for (int step = 0; step < 120; ++step) {
      // A tick, the same one again, a sleep, or a clock that is set back.
      const auto what = below(40);
      const bool again = what == 0 && step > 0;
      const bool back = what == 1;
      if (back)
        time -= 100 + below(1000);
      else if (!again)
        time += what == 2 ? 30 : 1;
      for (auto& value : values) value = below(5) == 0 ? kNone : below(1000) / 8.0;
      if (below(4) == 0) values.push_back(below(2) == 0 ? kNone : 1);  // one comes late
      if (below(8) == 0) totals.all.push_back(std::make_unique<BucketCounts>());
      for (auto& one : totals.all) {
        if (!one) continue;
        for (auto number = below(4); number > 0; --number)
          one->add(std::exp2(below(60)) / 3e9, 1 + below(1U << below(30)));
        if (below(60) == 0) one.reset();  // it makes room
      }
      const auto number = past.end();
      past.tick(time, values, totals.seen());
      CHECK(past.memory() <= limits.bytes);
      if (again) {
        CHECK(past.end() == number);
        continue;
      }
      CHECK(past.end() == number + 1);
      if (back) {
        begun = number;
        last.clear();
      }
      CHECK(past.begin() >= begun);
      Known known{.time = time, .values = values, .gained = {}};
      last.resize(totals.all.size());
      known.gained.resize(totals.all.size());
      for (std::size_t i = 0; i < totals.all.size(); ++i) {
        if (!totals.all[i]) {
          last[i].reset();
          for (auto& [tick, old] : model)
            if (i < old.gained.size()) old.gained[i].reset();
          continue;
        }
        const auto now = counts_of(*totals.all[i]);
        if (last[i]) known.gained[i] = difference(now, *last[i]);
        last[i] = now;
        Counts told;
        CHECK(past.totals(i, told));
        CHECK(told == now);
      }
      model[number] = known;
      CHECK(past.left_out() == 0);
      check_same(past, model);
      // All that is young enough is there, unless memory ended.
      if (past.dropped() == 0 && past.begin() > begun)
        CHECK(model.at(past.begin() - 1).time < time - limits.seconds);
      if (past.begin() < past.end()) CHECK(past.time(past.begin()) >= time - limits.seconds);
    }
  }
}

TEST_CASE("what is kept is an hour of 5,000 series in the memory that is told") {
  Past past({});
  const std::vector<double> values(5000, 1.5);
  for (int tick = 0; tick < 1000; ++tick) past.tick(tick * 5.0, values, {});
  CHECK(past.seconds() == 3600);
  CHECK(past.dropped() == 0);
  CHECK(past.memory() < 30'000'000);
}

TEST_CASE("where memory ends, all series are kept for a shorter time") {
  Past past({.seconds = 3600, .bytes = 100'000});
  const std::vector<double> values(100, 1.5);
  for (int tick = 0; tick < 720; ++tick) past.tick(tick * 5.0, values, {});
  CHECK(past.memory() <= 100'000);
  CHECK(past.end() == 720);
  const auto ticks = past.end() - past.begin();
  CHECK(ticks > 100);  // 100,000 bytes are 125 such rows
  CHECK(ticks < 125);
  CHECK(past.dropped() == 720 - ticks);
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(past.value(past.begin(), i) == 1.5);
  // A row that does not fit at all is no reason to end.
  const std::vector<double> many(20'000, 2);
  past.tick(4000, many, {});
  CHECK(past.begin() == past.end());
  past.tick(4005, values, {});
  CHECK(past.end() - past.begin() == 1);
}

TEST_CASE("distributions that are too many leave half of the memory to ticks") {
  Totals totals;
  for (int i = 0; i < 200; ++i) {
    totals.all.push_back(std::make_unique<BucketCounts>());
    for (int value = 1; value < 100; ++value) totals.all.back()->add(value * 1e-4, 1000);
  }
  Past past({.seconds = 100, .bytes = 40'000});
  const std::vector<double> values(10, 1);
  for (int tick = 0; tick < 5; ++tick) past.tick(tick, values, totals.seen());
  CHECK(past.left_out() > 0);
  CHECK(past.left_out() < 200);
  CHECK(past.memory() <= 40'000);
  CHECK(past.end() - past.begin() == 5);
  Counts counts;
  CHECK(past.gained(past.end() - 1, 0, counts));
  CHECK(counts.empty());
  CHECK(!past.gained(past.end() - 1, 199, counts));
  CHECK(!past.totals(199, counts));
}

TEST_CASE("what a distribution had when it was seen first came at no time that is known") {
  Totals totals;
  totals.all.push_back(std::make_unique<BucketCounts>());
  totals.all[0]->add(1.0, 5);
  Past past({});
  Counts counts;
  past.tick(1, {}, totals.seen());
  CHECK(!past.gained(0, 0, counts));
  totals.all[0]->add(1.0, 2);
  totals.all[0]->add(4.0, 1U << 20U);
  past.tick(2, {}, totals.seen());
  CHECK(past.gained(1, 0, counts));
  CHECK(counts == Counts{{30 * 32, 2}, {32 * 32, 1U << 20U}});
  past.tick(3, {}, totals.seen());
  CHECK(past.gained(2, 0, counts));
  CHECK(counts.empty());
  // Another one has its place, with fewer values.
  totals.all[0] = std::make_unique<BucketCounts>();
  totals.all[0]->add(1.0, 1);
  past.tick(4, {}, totals.seen());
  CHECK(!past.gained(3, 0, counts));
  // With more of them, in other buckets.
  totals.all[0] = std::make_unique<BucketCounts>();
  totals.all[0]->add(8.0, 9);
  past.tick(5, {}, totals.seen());
  CHECK(!past.gained(4, 0, counts));
}
