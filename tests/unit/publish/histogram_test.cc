// Histograms against an exact reference: all values kept, sorted, and the nearest rank taken.
#include "mmstats/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "format/bucket_field.h"
#include "mmstats/metadata.h"
#include "published.h"

using namespace mmstats;
using namespace std::chrono_literals;

namespace {

// What histogram.h promises.
constexpr double kError = 1.0 / 64;
constexpr double kLowest = 0x1p-30;
constexpr double kHighest = 0x1p50;

using Random = std::mt19937_64;

struct Values {
  const char* name;
  std::function<double(Random&)> next;
};

// A distribution of the standard library that begins anew for each test.
template <class Distribution>
std::function<double(Random&)> from(Distribution distribution) {
  return [distribution](Random& random) mutable { return static_cast<double>(distribution(random)); };
}

std::vector<Values> all_values() {
  return {
      {"constant", [](Random&) { return 0.042; }},
      {"uniform", from(std::uniform_real_distribution(0.0, 1000.0))},
      {"exponential", from(std::exponential_distribution(20.0))},
      {"log-normal", from(std::lognormal_distribution(-3.0, 2.0))},
      {"heavy tails",
       [](Random& random) { return std::pow(std::uniform_real_distribution(1e-9, 1.0)(random), -1.5); }},
      {"bimodal",
       [](Random& random) {
         const bool slow = random() % 10 == 0;
         return std::abs(std::normal_distribution(slow ? 2.0 : 0.001, slow ? 0.1 : 0.0001)(random));
       }},
      {"two values, far apart", [](Random& random) { return random() % 1000 < 500 ? 1e-9 : 1e15; }},
      {"integers", from(std::uniform_int_distribution(1, 50))},
      {"powers of two", [](Random& random) { return std::ldexp(1.0, static_cast<int>(random() % 80) - 30); }},
      {"growing", [i = 0](Random&) mutable { return 1e-6 * ++i; }},
      {"falling", [i = 0](Random&) mutable { return 1e6 / ++i; }},
      {"waves", [i = 0](Random&) mutable { return std::exp(5 * std::sin(0.01 * ++i)); }},
      {"negative, zero and huge",
       [](Random& random) {
         constexpr double kOdd[] = {-1e300, -1, -0.0, 0, 5e-324, 1e-12, 1, 1e15, 1e16, 1e300};
         return kOdd[random() % std::size(kOdd)];
       }},
      {"negative", from(std::uniform_real_distribution(-5.0, -1.0))},
  };
}

// As histograms see a value: what is smaller than they can tell apart counts as the smallest.
double bounded(double value) { return std::clamp(value, kLowest, kHighest); }

bool near(double got, double exact) { return std::abs(got - exact) <= kError * std::abs(exact); }

// The least value that at least `per_mille` of 1,000 are not above.
double nearest_rank(const std::vector<double>& sorted, std::size_t per_mille) {
  return sorted[(sorted.size() * per_mille + 999) / 1000 - 1];
}

// Compares percentiles with those of `values`. min and max of Histogram are exact, and bound its percentiles.
template <class AnyHistogram>
void check_percentiles(const AnyHistogram& histogram, std::vector<double> values, bool exact_bounds) {
  std::sort(values.begin(), values.end());
  const double min = values.front();
  const double max = values.back();
  if (exact_bounds) {
    CHECK(histogram.min() == min);
    CHECK(histogram.max() == max);
  } else {
    CHECK(near(histogram.min(), bounded(min)));
    CHECK(near(histogram.max(), bounded(max)));
  }
  const struct {
    std::size_t per_mille;
    double got;
  } rows[] = {
      {500, histogram.p50()}, {900, histogram.p90()}, {990, histogram.p99()}, {999, histogram.p999()}};
  for (const auto& [per_mille, got] : rows) {
    CAPTURE(per_mille);
    const double want = bounded(nearest_rank(values, per_mille));
    const double error = kError * want;
    CAPTURE(got);
    CAPTURE(want);
    CAPTURE(values.size());
    const double nearest = exact_bounds ? std::clamp(want, min, max) : want;
    CHECK(std::abs(got - nearest) <= error);
    CHECK(histogram.min() <= got);
    CHECK(got <= histogram.max());
  }
}

// The eight fields say what its functions say, and its buckets say that there were as many values; nothing
// else is of the histogram.
template <class AnyHistogram>
void check_fields(const Model& model, const std::string& label, const AnyHistogram& histogram) {
  static_cast<void>(histogram.p50());  // which the file lags behind
  const Published file(model);
  const struct {
    const char* suffix;
    double value;
  } rows[] = {{".sum", histogram.sum()},  {".min", histogram.min()}, {".max", histogram.max()},
              {".p50", histogram.p50()},  {".p90", histogram.p90()}, {".p99", histogram.p99()},
              {".p999", histogram.p999()}};
  CHECK(file.value(label + ".count") == histogram.count());
  CHECK(file.type(label + ".count") == "Q");
  for (const auto& [suffix, value] : rows) {
    CHECK(file.value(label + suffix) == value);
    CHECK(file.type(label + suffix) == "d");
    CHECK(file.field(label + suffix).buffered);
  }
  int others = 0;
  std::uint64_t in_buckets = 0;
  for (const Field& field : file.fields()) {
    if (!field.label.starts_with(label)) continue;
    if (!bucket_field(field)) {
      ++others;
      continue;
    }
    for (const std::uint64_t counted : file.value(field.label)) in_buckets += counted;
  }
  CHECK(others == 8);
  CHECK(in_buckets == histogram.count());
}

// Looks often at first, and then now and then.
bool worth_a_look(int i) { return i < 200 || i % 97 == 0; }

}  // namespace

TEST_CASE("a histogram is of all values") {
  const TemporaryFolder folder;
  for (const Values& from : all_values()) {
    CAPTURE(from.name);
    Model model(published_in(folder));
    Histogram histogram(model, "all");
    Random random(1);
    std::vector<double> values;
    for (int i = 0; i < 5000; ++i) {
      values.push_back(from.next(random));
      histogram.add(values.back());
      for (const double none : {kNan, kInfinite, -kInfinite}) histogram.add(none);
      if (worth_a_look(i)) check_percentiles(histogram, values, true);
    }
    CHECK(histogram.count() == values.size());
    CHECK(histogram.sum() == std::accumulate(values.begin(), values.end(), 0.0));
    check_fields(model, "all", histogram);
  }
}

TEST_CASE("a moving histogram is of the last values, or of those so far") {
  const TemporaryFolder folder;
  for (const Values& from : all_values()) {
    CAPTURE(from.name);
    for (const std::size_t size : {1, 2, 10, 999, 1000, 1001}) {
      CAPTURE(size);
      Model model(published_in(folder));
      MovingHistogram histogram(model, "last", {}, size);
      Random random(size);
      std::deque<double> values;
      double sum = 0;
      std::uint64_t count = 0;
      for (int i = 0; i < 3000; ++i) {
        const double value = from.next(random);
        sum += value;
        ++count;
        values.push_back(value);
        if (values.size() > size) values.pop_front();
        histogram.add(value);
        histogram.add(kNan);
        if (worth_a_look(i)) check_percentiles(histogram, {values.begin(), values.end()}, false);
      }
      CHECK(histogram.count() == count);  // since the beginning, as a counter must
      CHECK(histogram.sum() == sum);
      check_fields(model, "last", histogram);
    }
  }
}

TEST_CASE("a window's histogram is of the values of the last seconds, to a twelfth of them") {
  const TemporaryFolder folder;
  for (const Values& from : all_values()) {
    CAPTURE(from.name);
    for (const int seconds : {1, 60, 3600}) {
      CAPTURE(seconds);
      Model model(published_in(folder));
      WindowHistogram histogram(model, "window", {}, static_cast<std::size_t>(seconds));
      Random random(static_cast<std::uint64_t>(seconds));
      const auto slice = std::chrono::nanoseconds(std::chrono::seconds(seconds)) / 12;
      struct Value {
        std::int64_t slice;
        double value;
      };
      std::deque<Value> values;
      double sum = 0;
      WindowHistogram::Clock::time_point now(7ms);
      for (int i = 0; i < 3000; ++i) {
        // Mostly many values in a slice; now and then a gap of up to two windows, or of years.
        const auto some = std::uniform_real_distribution(0.0, 1.0)(random);
        switch (random() % 200) {
          case 0:
            now += std::chrono::nanoseconds(
                static_cast<std::int64_t>(24 * some * static_cast<double>(slice.count())));
            break;
          case 1:
            now += std::chrono::hours(static_cast<int>(some * 100'000));
            break;
          default:
            now += std::chrono::nanoseconds(
                static_cast<std::int64_t>(0.05 * some * static_cast<double>(slice.count())));
        }
        const auto current = now.time_since_epoch() / slice;
        values.push_back({current, from.next(random)});
        while (values.front().slice <= current - 12) values.pop_front();
        sum += values.back().value;
        histogram.add(values.back().value, now);
        histogram.add(kInfinite, now + 1h);
        if (!worth_a_look(i)) continue;
        std::vector<double> in;
        for (const Value& value : values) in.push_back(value.value);
        check_percentiles(histogram, in, false);
      }
      CHECK(histogram.count() == 3000);
      CHECK(histogram.sum() == sum);
      check_fields(model, "window", histogram);
    }
  }
}

TEST_CASE("in every power of two, the error is within 1/64") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  MovingHistogram histogram(model, "one", {}, 1);
  double worst = 0;
  for (int exponent = -30; exponent < 50; ++exponent) {
    CAPTURE(exponent);
    for (int part = 0; part < 128; ++part) {
      const double value = std::ldexp(1 + part / 128.0, exponent);
      for (const double around : {std::nextafter(value, 0), value, std::nextafter(value, kInfinite)}) {
        histogram.add(around);
        const double want = bounded(around);
        worst = std::max(worst, std::abs(histogram.p50() - want) / want);
        for (const double got : {histogram.min(), histogram.max(), histogram.p90(), histogram.p999()}) {
          CHECK(got == histogram.p50());
        }
      }
    }
    CHECK(worst <= kError);
  }
}

TEST_CASE("what is too small or too large counts as the smallest or the largest") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  MovingHistogram histogram(model, "one", {}, 1);
  const struct {
    double value;
    double want;
  } rows[] = {{-1e300, kLowest},
              {-1, kLowest},
              {-0.0, kLowest},
              {0, kLowest},
              {5e-324, kLowest},
              {1e-10, kLowest},
              {kLowest, kLowest},
              {kHighest, kHighest},
              {1e16, kHighest},
              {1e300, kHighest},
              {std::numeric_limits<double>::max(), kHighest}};
  for (const auto& [value, want] : rows) {
    CAPTURE(value);
    histogram.add(value);
    for (const double got : {histogram.min(), histogram.max(), histogram.p50(), histogram.p999()}) {
      CHECK(near(got, want));
    }
  }
}

TEST_CASE("values that come and go in any order leave the percentiles right") {
  const TemporaryFolder folder;
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    CAPTURE(round);
    Model model(published_in(folder));
    const auto size = static_cast<std::size_t>(std::uniform_int_distribution(1, 3000)(random));
    MovingHistogram moving(model, "moving", {}, size);
    WindowHistogram window(model, "window", {}, 12);  // slices of a second
    std::deque<double> last;
    std::deque<std::pair<std::int64_t, double>> recent;
    std::int64_t second = 1000;
    double centre = 1;
    double width = 0;
    for (int i = 0; i < 2000; ++i) {
      // Long runs of equal values, and sudden changes of place and width: percentiles that have to jump.
      if (random() % 100 == 0) centre = std::exp2(std::uniform_real_distribution(-25.0, 45.0)(random));
      if (random() % 100 == 0)
        width = random() % 3 == 0 ? 0 : std::uniform_real_distribution(0.0, 20.0)(random);
      if (random() % 50 == 0) second += static_cast<std::int64_t>(random() % 5);
      const double value = centre * std::exp2(std::uniform_real_distribution(-width, width)(random));
      last.push_back(value);
      if (last.size() > size) last.pop_front();
      recent.emplace_back(second, value);
      while (recent.front().first <= second - 12) recent.pop_front();
      moving.add(value);
      window.add(value, WindowHistogram::Clock::time_point(std::chrono::seconds(second)));
      if (i % 37 != 0) continue;
      check_percentiles(moving, {last.begin(), last.end()}, false);
      std::vector<double> in;
      for (const auto& [when, what] : recent) in.push_back(what);
      check_percentiles(window, in, false);
    }
  }
}

TEST_CASE("a slice that takes most of many values with it moves the percentiles at once") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  WindowHistogram window(model, "window", {}, 12);  // slices of a second
  const auto add = [&](int second, double value, int times) {
    for (int i = 0; i < times; ++i) {
      window.add(value, WindowHistogram::Clock::time_point(std::chrono::seconds(second)));
    }
  };
  add(100, 1, 100'000);
  add(106, 0.5, 1);
  add(106, 100, 60'000);
  CHECK(near(window.p50(), 1));
  add(112, 100, 1);
  CHECK(near(window.min(), 0.5));
  CHECK(near(window.p50(), 100));
  CHECK(near(window.p999(), 100));
}

TEST_CASE("a histogram without values has counted none, and has no percentiles") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram all(model, "all");
  MovingHistogram last(model, "last");
  WindowHistogram window(model, "window");
  all.add(kNan);
  last.add(kInfinite);
  window.add(-kInfinite);
  const Published file(model);
  for (const char* label : {"all", "last", "window"}) {
    for (const char* suffix : {".count", ".sum"}) CHECK(file.value(std::string(label) + suffix) == 0);
    for (const char* suffix : {".min", ".max", ".p50", ".p90", ".p99", ".p999"})
      CHECK(file.value(std::string(label) + suffix) == "nan");
  }
}

TEST_CASE("what was said of a histogram is said of its values, and what is counted has no unit") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "all", {.unit = "seconds", .help = "Answers"});
  histogram.add(1);
  const std::string metadata = Published(model).metadata();
  const auto count = find_metadata(metadata, "all.count");
  CHECK(count.kind == Kind::kCounter);
  CHECK(count.unit.empty());
  CHECK(count.help == "Answers");
  const auto sum = find_metadata(metadata, "all.sum");
  CHECK(sum.kind == Kind::kCounter);
  CHECK(sum.unit == "seconds");
  for (const char* label : {"all.min", "all.max", "all.p50", "all.p90", "all.p99", "all.p999"}) {
    const auto said = find_metadata(metadata, label);
    CHECK(said.kind == Kind::kGauge);
    CHECK(said.unit == "seconds");
    CHECK(said.help == "Answers");
  }
}

TEST_CASE("sizes beyond what is possible become what is") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  MovingHistogram usual(model, "usual");
  MovingHistogram least(model, "least", {}, 0);
  MovingHistogram most(model, "most", {}, 10'000'000);
  for (int i = 1; i <= 100'000; ++i) {
    for (MovingHistogram* histogram : {&usual, &least, &most}) histogram->add(i);
  }
  CHECK(near(usual.min(), 100'000 - 999));
  CHECK(near(least.min(), 100'000));
  CHECK(near(most.min(), 100'000 - 65'535));

  WindowHistogram minute(model, "minute");
  WindowHistogram second(model, "second", {}, 0);
  WindowHistogram hour(model, "hour", {}, 1'000'000);
  const WindowHistogram::Clock::time_point begin(1000h);
  for (int i = 1; i <= 10'000; ++i) {
    for (WindowHistogram* histogram : {&minute, &second, &hour})
      histogram->add(i, begin + std::chrono::seconds(i));
  }
  CHECK(minute.min() == doctest::Approx(10'000 - 57.5).epsilon(kError));
  CHECK(near(second.min(), 10'000));
  CHECK(hour.min() == doctest::Approx(10'000 - 3450).epsilon(0.05));
}

TEST_CASE("histograms can be timed, by the clock of all") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram all(model, "all", {.unit = "seconds"});
  MovingHistogram last(model, "last");
  WindowHistogram window(model, "window");
  const auto before = std::chrono::steady_clock::now();
  {
    const auto one = all.time();
    const auto two = last.time();
    const auto three = window.time();
    const auto all_run = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() < all_run + 1ms) continue;
  }
  const double longest = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  for (const detail::Distribution* histogram :
       {static_cast<detail::Distribution*>(&all), static_cast<detail::Distribution*>(&last),
        static_cast<detail::Distribution*>(&window)}) {
    CHECK(histogram->count() == 1);
    CHECK(histogram->sum() > 0.0009);
    CHECK(histogram->sum() <= longest);
    CHECK(near(histogram->p50(), histogram->sum()));
  }
}

TEST_CASE("each thread has a histogram of its own") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "all");
  histogram.add(1);
  std::thread([&] {
    CHECK(histogram.count() == 0);
    for (int i = 0; i < 1000; ++i) histogram.add(100);
    CHECK(histogram.min() == 100);
  }).join();
  CHECK(histogram.max() == 1);
  CHECK(histogram.count() == 1);
  // The next thread counts on where that one ended; what it had of the moment ended with it.
  std::thread([&] {
    histogram.add(50);
    CHECK(histogram.min() == 50);
    CHECK(histogram.max() == 50);
    CHECK(histogram.count() == 1001);
  }).join();
  const auto paths = model.paths();
  REQUIRE(paths.size() == 2);
  CHECK(Published(paths[0]).value("all.count").get<int>() +
            Published(paths[1]).value("all.count").get<int>() ==
        1002);
}

TEST_CASE("an independent reader reads all of these files alike") { CHECK(SecondReader::get().agrees()); }
