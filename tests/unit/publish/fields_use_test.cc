// What programs write with fields: what of it compiles and what it does, and what must not compile.
#include <doctest/doctest.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/model.h"
#include "published.h"

using namespace mmstats;

namespace {

struct Used : Model {
  explicit Used(ModelOptions options) : Model(std::move(options)) {}
  Counter hits{*this, "hits"};
  SharedCounter all{*this, "all"};
  Gauge<int> current{*this, "current"};
  Gauge<int> peak{*this, "peak"};
  Gauge<double> level{*this, "level"};
  Gauge<std::uint32_t> small{*this, "small"};
  SharedGauge<std::int64_t> shared{*this, "shared"};
  BoolField up{*this, "up"};
  BoolField ready{*this, "ready"};
  StringField state{*this, "state"};
  StringField last{*this, "last", {}, 10};
  Average average{*this, "average"};
  MovingAverage moving{*this, "moving"};
  WindowAverage window{*this, "window"};
  Histogram histogram{*this, "histogram"};
  MovingHistogram moving_histogram{*this, "mh"};
  WindowHistogram window_histogram{*this, "wh"};
};

struct DefaultModel : Model {
  DefaultModel() : Model({}) {}
};

template <class Field, class Amount>
concept Adds = requires(Field field, Amount amount) { field += amount; };
template <class Field, class Amount>
concept AddsByName = requires(Field field, Amount amount) { field.add(amount); };
template <class Field, class Amount>
concept Counts = requires(Field field, Amount amount) { field.incr(amount); };
template <class Field, class Amount>
concept CountsInOldVersions = requires(Field field, Amount amount) { field.inc(amount); };
template <class Field, class Value>
concept SetsValue = requires(Field field, Value value) { field.set_value(value); };

// Whole amounts of all kinds, and no fractions.
static_assert(Adds<Counter, int> && Adds<Counter, ssize_t> && Adds<Counter, std::size_t> &&
              Adds<Counter, bool> && Adds<Counter, char> && Adds<const SharedCounter, std::uint16_t>);
static_assert(Counts<Counter, int> && Counts<Counter, std::uint64_t> && CountsInOldVersions<Counter, long>);
static_assert(!Adds<Counter, double> && !Adds<Counter, float> && !Counts<Counter, double> &&
              !Counts<SharedCounter, float> && !CountsInOldVersions<Counter, double>);
static_assert(SetsValue<Counter, int> && !SetsValue<Counter, double>);
static_assert(Adds<Gauge<int>, int> && Adds<Gauge<double>, int> && Adds<Gauge<double>, float> &&
              Adds<Gauge<float>, double>);
static_assert(!Adds<Gauge<int>, double> && !AddsByName<Gauge<int>, double> && AddsByName<Gauge<double>, int>);
static_assert(AddsByName<Histogram, std::chrono::milliseconds> &&
              !AddsByName<Counter, std::chrono::milliseconds>);

// A handle is copied, and never made another field's by an assignment: that is one of values, or none.
template <class Field>
constexpr bool kIsHandle = std::is_copy_constructible_v<Field> && !std::is_move_assignable_v<Field>;
static_assert(kIsHandle<Counter> && kIsHandle<SharedCounter> && kIsHandle<Gauge<int>> &&
              kIsHandle<BoolField> && kIsHandle<StringField> && kIsHandle<Average> &&
              kIsHandle<MovingAverage> && kIsHandle<WindowAverage> && kIsHandle<Histogram> &&
              kIsHandle<WindowHistogram> && kIsHandle<StaticUInt64Field>);
static_assert(!std::is_copy_assignable_v<Counter> && !std::is_copy_assignable_v<Average> &&
              !std::is_copy_assignable_v<Histogram> && !std::is_copy_assignable_v<StaticUInt64Field>);
static_assert(std::is_copy_assignable_v<Gauge<int>> && std::is_copy_assignable_v<BoolField> &&
              std::is_copy_assignable_v<StringField>);
static_assert(!std::is_assignable_v<Gauge<int>&, const Gauge<double>&>);

}  // namespace

TEST_CASE("fields are used as numbers are") {
  const TemporaryFolder folder;
  Used used(published_in(folder));
  ++used.hits;
  used.hits++;
  used.hits += 1;
  used.hits += std::size_t{2};
  used.hits.incr();
  used.hits.incr(short{1});
  used.hits.inc();
  used.hits.inc(2);
  CHECK(used.hits.value() == 10);
  used.all++;
  used.all += 2;
  CHECK(used.all.value() == 3);
  used.current += 5;
  ++used.current;
  used.current++;
  --used.current;
  used.current--;
  used.current -= 2;
  used.current -= -1;
  CHECK(used.current.value() == 4);
  used.level += 1;
  used.level += 0.5;
  --used.level;
  CHECK(used.level.value() == 0.5);
  --used.small;
  CHECK(used.small.value() == UINT32_MAX);  // as of any such number
  used.small += 3;
  CHECK(used.small.value() == 2);
  --used.shared;
  used.shared -= 5;
  CHECK(used.shared.value() == -6);
  // Who may only read the struct may count.
  const Used& only_read = used;
  ++only_read.hits;
  only_read.current = 7;
  only_read.peak = only_read.current;
  only_read.state = "running";
  only_read.histogram.add(1);
  CHECK(used.hits.value() == 11);
  CHECK(used.peak.value() == 7);
  CHECK(used.state.value() == "running");
}

TEST_CASE("to assign one field to another is to assign its value") {
  const TemporaryFolder folder;
  Used used(published_in(folder));
  used.current = 5;
  used.peak = used.current;
  used.current = 3;
  CHECK(used.peak.value() == 5);
  CHECK(used.current.value() == 3);
  used.up = true;
  used.ready = used.up;
  used.up = false;
  CHECK(used.ready.value());
  used.state = "a state that is long";
  used.last = used.state;
  used.state = "next";
  CHECK(used.last.value() == "a state th");
  used.last = *&used.last;
  CHECK(used.last.value() == "a state th");
  // The copy of a struct has the same fields.
  struct Part {
    Counter counter;
    Gauge<int> gauge;
  };
  const Part part{used.hits, used.current};
  const Part copy = part;
  ++copy.counter;
  copy.gauge = 8;
  CHECK(used.hits.value() == 1);
  CHECK(used.current.value() == 8);
  ++used.all;
  for (const auto& path : used.paths()) {
    const Published file(path);
    if (file.find("hits") == nullptr) continue;
    CHECK(file.value("peak") == 5);
    CHECK(file.value("current") == 8);
    CHECK(file.value("last") == "a state th");
  }
}

TEST_CASE("durations are added in seconds") {
  using namespace std::chrono_literals;
  const TemporaryFolder folder;
  Used used(published_in(folder));
  used.average.add(5ms);
  used.moving.add(2s);
  used.window.add(1min);
  used.histogram.add(250us);
  used.moving_histogram.add(std::chrono::duration<double>(1.5));
  used.window_histogram.add(1h);
  CHECK(used.average.value() == doctest::Approx(0.005));
  CHECK(used.moving.value() == 2);
  CHECK(used.window.value() == 60);
  CHECK(used.histogram.sum() == doctest::Approx(0.00025));
  CHECK(used.moving_histogram.sum() == 1.5);
  CHECK(used.window_histogram.sum() == 3600);
}

TEST_CASE("fields are kept in arrays") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter plain[2] = {{model, "0"}, {model, "1", {.help = "One"}}};
  std::array<Counter, 3> array{{{model, "2"}, {model, "3"}, {model, "4"}}};
  std::array<Gauge<int>, 2> made{Gauge<int>(model, "5"), Gauge<int>(model, "6")};
  std::vector<Counter> grows;
  for (int i = 7; i < 20; ++i) grows.emplace_back(model, std::to_string(i));
  for (Counter& counter : plain) ++counter;
  for (const Counter& counter : array) ++counter;
  for (auto& gauge : made) ++gauge;
  for (auto& counter : grows) ++counter;
  const Published file(model);
  for (int i = 0; i < 20; ++i) CHECK(file.value(std::to_string(i)) == 1);
}

TEST_CASE("a Model is made with the options that nobody chose") {
  Model empty({});
  Model none{};
  DefaultModel derived;
  CHECK(empty.paths().empty());
  CHECK(derived.paths().empty());
}

TEST_CASE("amounts that are negative or no number add nothing, which is told once") {
  const TemporaryFolder folder;
  std::vector<std::string> told;
  auto options = published_in(folder);
  options.on_error = [&](const Error& error) { told.push_back(error.text()); };
  {
    Used used(options);
    used.hits += 5;
    used.hits += ssize_t{-1};
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("\"hits\"") != std::string::npos);
    used.hits.incr(-1);
    used.hits += static_cast<std::size_t>(ssize_t{-1});
    used.hits += short{-1};
    used.all += -1;
    CHECK(used.hits.value() == 5);
    CHECK(used.all.value() == 0);
    used.level = 2;
    used.level += kNan;
    used.level.add(kInfinite);
    used.level -= kNan;
    used.level -= 0.5;
    CHECK(used.level.value() == 1.5);
    CHECK(told.size() == 1);
    Gauge<double> seconds(used, "seconds", {.kind = Kind::kCounter});
    Gauge<std::int64_t> bytes(used, "bytes", {.kind = Kind::kCounter});
    seconds += 0.5;
    seconds += -1;
    seconds -= 0.25;
    bytes += 5;
    bytes += -1;
    --bytes;
    CHECK(seconds.value() == 0.5);
    CHECK(bytes.value() == 5);
    CHECK(told.size() == 1);
  }
  Used other(options);
  other.level += kNan;
  CHECK(told.size() == 2);
  CHECK(other.level.value() == 0);
}

TEST_CASE("a total is the process's, of threads that run and of those that have ended") {
  const TemporaryFolder folder;
  Used used(published_in(folder));
  CHECK(used.hits.total() == 0);
  used.hits += 2;
  used.small = UINT32_MAX;
  used.current = -3;
  used.level = 0.5;
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      used.hits += 10;
      used.all += 10;
      used.small = UINT32_MAX;
      used.current = -3;
      used.level = 0.5;
      CHECK(used.small.total() == 2 * std::uint64_t{UINT32_MAX});
      CHECK(used.current.total() == -6);
      CHECK(used.level.total() == 1);
    }).join();
  }
  CHECK(used.hits.value() == 2);
  CHECK(used.hits.total() == 32);
  CHECK(used.all.total() == 30);
  // What is of the moment ends with its thread.
  CHECK(used.small.total() == UINT32_MAX);
  CHECK(used.current.total() == -3);
  CHECK(used.level.total() == 0.5);
  used.remove();
  used.hits += 1;
  CHECK(used.hits.total() == 33);
}
