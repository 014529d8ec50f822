// Every class of field: what it writes is in the file, and behaves as the original's did.
#include "mmstats/fields.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "published.h"

using namespace mmstats;
using namespace std::chrono_literals;

namespace {

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Sets each of `values`, and finds it in the file as the original's field of that name has it.
template <class FieldClass, class T>
void check_number(std::string_view type, bool buffered, const std::vector<T>& values) {
  CAPTURE(type);
  const TemporaryFolder folder;
  Model model(published_in(folder));
  FieldClass zero(model, "zero");
  FieldClass initial(model, "initial", {}, values.back());
  FieldClass set(model, "set");
  FieldClass assigned(model, "assigned");
  for (const T value : values) {
    CAPTURE(value);
    set.set(value);
    assigned = value;
    CHECK(same_bits(set.value(), value));
    CHECK(same_bits(assigned.value(), value));
    const Published file(model);
    CHECK(same_bits(file.number<T>("zero"), T{}));
    CHECK(same_bits(file.number<T>("initial"), values.back()));
    CHECK(same_bits(file.number<T>("set"), value));
    CHECK(same_bits(file.number<T>("assigned"), value));
    for (const char* label : {"zero", "initial", "set", "assigned"}) {
      CHECK(file.type(label) == type);
      CHECK(file.field(label).buffered == buffered);
    }
  }
}

template <class T>
std::vector<T> whole_numbers() {
  using Limits = std::numeric_limits<T>;
  return {T{1}, T{42}, Limits::max(), Limits::min(), static_cast<T>(Limits::max() - 1)};
}

template <class T>
std::vector<T> fractions() {
  using Limits = std::numeric_limits<T>;
  return {T(0.1),
          T(-0.0),
          Limits::max(),
          Limits::lowest(),
          Limits::min(),
          Limits::denorm_min(),
          Limits::infinity(),
          -Limits::infinity(),
          Limits::quiet_NaN(),
          T(1.5)};
}

double mean(const std::deque<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Runs for a while that a clock can tell.
void spend(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
}

// Seconds between its making and now.
class Watch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace

TEST_CASE("numbers are in the file as they were set, with the original's types") {
  check_number<UInt64Field>("Q", true, whole_numbers<std::uint64_t>());
  check_number<UIntField>("I", true, whole_numbers<std::uint32_t>());
  check_number<IntField>("i", true, whole_numbers<std::int32_t>());
  check_number<UShortField>("H", true, whole_numbers<std::uint16_t>());
  check_number<ShortField>("h", true, whole_numbers<std::int16_t>());
  check_number<FloatField>("f", true, fractions<float>());
  check_number<DoubleField>("d", true, fractions<double>());
  check_number<ByteField>("b", false, whole_numbers<std::int8_t>());
  check_number<UByteField>("B", false, whole_numbers<std::uint8_t>());
  check_number<BoolField>("?", false, std::vector<bool>{true, false, true});
}

TEST_CASE("numbers of any C++ type get the code of their size and sign") {
  check_number<Gauge<long>>("q", true, whole_numbers<long>());
  check_number<Gauge<unsigned long long>>("Q", true, whole_numbers<unsigned long long>());
  check_number<Gauge<char>>(std::is_signed_v<char> ? "b" : "B", true, whole_numbers<char>());
  check_number<Gauge<char16_t>>("H", true, whole_numbers<char16_t>());
  check_number<Gauge<bool>>("?", true, std::vector<bool>{true, false, true});
  check_number<SharedGauge<std::int64_t>>("q", true, whole_numbers<std::int64_t>());
  check_number<SharedGauge<std::uint16_t>>("H", true, whole_numbers<std::uint16_t>());
  check_number<SharedGauge<std::int8_t>>("b", true, whole_numbers<std::int8_t>());
  check_number<SharedGauge<float>>("f", true, fractions<float>());
}

TEST_CASE_TEMPLATE("a counter counts", CounterClass, Counter, SharedCounter) {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  CounterClass counter(model, "hits");
  const auto published = [&] {
    const Published file(model);
    CHECK(file.type("hits") == "Q");
    CHECK(file.field("hits").buffered);
    CHECK(file.number<std::uint64_t>("hits") == counter.value());
    return counter.value();
  };
  counter.incr();
  CHECK(published() == 1);
  counter.incr(10);
  counter.inc();
  counter.inc(20);
  ++counter;
  counter += 7;
  CHECK(published() == 40);
  counter.incr(0);
  CHECK(published() == 40);
  counter.set_value(std::numeric_limits<std::uint64_t>::max());
  CHECK(published() == std::numeric_limits<std::uint64_t>::max());
  counter.incr(3);
  CHECK(published() == 2);
  CounterClass same = counter;
  same.incr(5);
  CHECK(published() == 7);
}

TEST_CASE("gauges add within their type") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  IntField depth(model, "depth", {}, 3);
  depth.add(-5);
  UShortField small(model, "small");
  small.add(65'535);
  small.add(2);
  FloatField level(model, "level");
  level.add(0.25F);
  level.add(0.5F);
  Gauge<bool> any(model, "any");
  any.add(true);
  any.add(true);
  const Published file(model);
  CHECK(file.value("depth") == -2);
  CHECK(file.value("small") == 1);
  CHECK(file.value("level") == 0.75);
  CHECK(file.value("any") == true);
}

TEST_CASE("facts are unbuffered, and what is called for one is called once") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  int calls = 0;
  const auto called = [&](auto value) {
    return [&calls, value] {
      ++calls;
      return value;
    };
  };
  StaticUIntField whole(model, "whole", 4'294'967'295U);
  StaticInt64Field negative(model, "negative", called(-5));
  StaticUInt64Field large(model, "large", called(~std::uint64_t{0}));
  StaticFloatField ratio(model, "ratio", 0.25);
  StaticDoubleField exact(model, "exact", called(0.1));
  StaticField<bool> yes(model, "yes", true);
  StaticTextField name(model, "name", "caf\u00e9", {}, 8);
  StaticTextField version(model, "version", [] { return std::string("1.2.3"); });
  StaticTextField empty(model, "empty", "");
  REQUIRE(model.open());
  const struct {
    const char* label;
    const char* type;
    nlohmann::json value;
  } rows[] = {{"whole", "I", 4'294'967'295U}, {"negative", "q", -5},        {"large", "Q", ~std::uint64_t{0}},
              {"ratio", "f", 0.25},           {"exact", "d", 0.1},          {"yes", "?", true},
              {"name", "8s", "caf\u00e9"},    {"version", "256s", "1.2.3"}, {"empty", "256s", ""}};
  const Published file(model);
  for (const auto& row : rows) {
    CAPTURE(row.label);
    CHECK(file.type(row.label) == row.type);
    CHECK_FALSE(file.field(row.label).buffered);
    CHECK(file.value(row.label) == row.value);
  }
  CHECK(whole.value() == 4'294'967'295U);
  CHECK(negative.value() == -5);
  CHECK(large.value() == ~std::uint64_t{0});
  CHECK(ratio.value() == 0.25F);
  CHECK(exact.value() == 0.1);
  CHECK(yes.value());
  std::thread([&] { CHECK(exact.value() == 0.1); }).join();
  CHECK(calls == 3);
}

TEST_CASE("texts are cut between characters, and hold UTF-8 only") {
  using namespace std::string_literals;
  const struct {
    std::size_t size;
    std::string text;
    std::string want;
  } rows[] = {
      {4, "", ""},
      {4, "abcd", "abcd"},
      {4, "abcde", "abcd"},
      {1, "\u00e9", ""},
      {4, "caf\u00e9", "caf"},
      {5, "caf\u00e9", "caf\u00e9"},
      {4, "\U0001F600x", "\U0001F600"},
      {3, "\U0001F600x", ""},
      {5, "ab\u20acd", "ab\u20ac"},
      {4, "ab\u20acd", "ab"},
      {8,
       "a\xff"
       "b",
       "a?b"},
      {8, "\xc3(", "?("},
      {8, "\xc0\x80", "??"},            // an overlong NUL
      {8, "\xed\xa0\x80", "???"},       // a surrogate
      {8, "\xf4\x90\x80\x80", "????"},  // above U+10FFFF
      {8, "ab\xe2\x82", "ab??"},        // cut by whoever wrote it
      {2, "\x80\x80\x80", ""},          // seems to be the middle of a character
      {8, "a\0b"s, "a"},                // a text ends at a NUL
  };
  const TemporaryFolder folder;
  Model model(published_in(folder));
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    const auto& [size, text, want] = rows[i];
    const auto label = std::to_string(i);
    StringField field(model, "set" + label, {}, size);
    field.set(text);
    CHECK(field.value() == want);
    StringField initial(model, "initial" + label, {}, size, text);
    CHECK(initial.value() == want);
    StaticTextField(model, "static" + label, text, {}, size);
  }
  const Published file(model);
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    CAPTURE(i);
    for (const char* way : {"set", "initial", "static"}) {
      const auto label = way + std::to_string(i);
      CHECK(file.value(label) == rows[i].want);
      CHECK(file.type(label) == std::to_string(rows[i].size) + "s");
      CHECK(file.field(label).buffered == (way != std::string("static")));
    }
  }
}

TEST_CASE("a text is written beside the one that readers see, and then published") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  StringField text(model, "text");
  std::string before;
  for (const std::string now : {"first", "second, which is longer", "third", "", "fifth"}) {
    const auto kept = text.value();
    const Published old(model);
    CHECK(old.value("text") == before);
    text = now;
    CHECK(text.value() == now);
    CHECK(kept == before);  // still there, until the text is set once more
    const Published file(model);
    CHECK(file.type("text") == "255s");
    CHECK(file.value("text") == now);
    const auto at = file.field("text").write_buffer_offset;
    CHECK(file.bytes()[at] == (old.bytes()[at] ^ std::byte{1}));
    before = now;
  }
}

TEST_CASE("texts of 65,535 bytes can be published, longer ones are told and kept private") {
  const TemporaryFolder folder;
  std::vector<Error> errors;
  auto options = published_in(folder);
  options.on_error = [&](const Error& error) { errors.push_back(error); };
  Model model(options);
  const std::string most(65'535, 'x');
  StringField largest(model, "largest", {}, most.size());
  largest.set(most);
  CHECK(Published(model).value("largest") == most);
  CHECK(errors.empty());
  StringField larger(model, "larger", {}, most.size() + 1);
  StringField none(model, "none", {}, 0);
  REQUIRE(errors.size() == 2);
  CHECK(errors[0].kind == ErrorKind::kInvalid);
  CHECK(errors[0].text().find("larger") != std::string::npos);
  larger = most + 'y';
  CHECK(larger.value() == most + 'y');
  none = "text";
  CHECK(none.value().empty());
  CHECK(Published(model).find("larger") == nullptr);
  StringField endless(model, "endless", {}, std::string::npos);
  CHECK(errors.size() == 3);
  endless = "text";
  CHECK(endless.value() == "text");
}

TEST_CASE("an average is of all values") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Average average(model, "average");
  CHECK(average.value() == 0);
  double sum = 0;
  for (int i = 1; i <= 1000; ++i) {
    average.add(i * 0.5);
    for (const double none : {kNan, kInfinite, -kInfinite}) average.add(none);
    sum += i * 0.5;
    CHECK(average.value() == sum / i);
  }
  const Published file(model);
  CHECK(file.type("average") == "d");
  CHECK(file.field("average").buffered);
  CHECK(file.value("average") == sum / 1000);
}

TEST_CASE("a moving average is of the last values, or of those so far") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::mt19937 random(1);
  std::uniform_real_distribution<double> any(-100, 100);
  for (const std::size_t size : {1, 2, 7, 100, 1000}) {
    CAPTURE(size);
    const auto label = "last" + std::to_string(size);
    MovingAverage average(model, label, {}, size);
    std::deque<double> values;
    CHECK(average.value() == 0);
    CHECK(average.last() == 0);
    for (int i = 0; i < 2500; ++i) {
      const double value = any(random);
      average.add(value);
      average.add(kNan);
      values.push_back(value);
      if (values.size() > size) values.pop_front();
      CHECK(average.value() == doctest::Approx(mean(values)).epsilon(1e-9));
      CHECK(average.last() == value);
    }
    const Published file(model);
    CHECK(file.type(label) == "d");
    CHECK(file.value(label) == average.value());
  }
}

TEST_CASE("a moving average has 100 values, at least 1, at most 65,536") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  MovingAverage usual(model, "usual");
  MovingAverage least(model, "least", {}, 0);
  MovingAverage most(model, "most", {}, 10'000'000);
  const auto last = [](int size) { return (100'000.0 - size + 99'999.0) / 2; };
  for (int i = 0; i < 100'000; ++i) {
    for (MovingAverage* average : {&usual, &least, &most}) average->add(i);
  }
  CHECK(usual.value() == doctest::Approx(last(100)));
  CHECK(least.value() == last(1));
  CHECK(most.value() == doctest::Approx(last(65'536)));
}

TEST_CASE("what was huge is forgotten a round later") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  MovingAverage average(model, "average", {}, 10);
  average.add(1e300);
  for (int i = 0; i < 20; ++i) average.add(1);
  CHECK(average.value() == 1);
}

TEST_CASE("a scope measures the time until it ends") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer", {.unit = "seconds"});
  const Watch outer;
  double least = 0;
  {
    const auto scope = timer.time();
    const Watch inner;
    CHECK_FALSE(scope.done());
    spend(2ms);
    const double so_far = inner.seconds();
    CHECK(scope.elapsed() >= so_far);
    CHECK(timer.value() == 0);
    least = inner.seconds();
  }
  CHECK(timer.last() >= least);
  CHECK(timer.last() <= outer.seconds());
  CHECK(timer.value() == timer.last());
  CHECK(Published(model).value("timer") == timer.last());
}

TEST_CASE("a scope that was stopped counts once") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer");
  double stopped = 0;
  {
    auto scope = timer.time();
    spend(1ms);
    stopped = scope.stop();
    CHECK(scope.done());
    CHECK(stopped >= 1e-3);
    spend(1ms);
    CHECK(scope.elapsed() == stopped);
    CHECK(scope.stop() == stopped);
  }
  // A second value would have made it the mean of two.
  CHECK(timer.last() == stopped);
  CHECK(timer.value() == stopped);
  timer.add(0);
  CHECK(timer.value() == stopped / 2);
}

TEST_CASE("a scope that was cancelled, or left by an exception") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer");
  SUBCASE("is not counted if it was cancelled") {
    {
      auto scope = timer.time();
      spend(1ms);
      scope.cancel();
      CHECK(scope.done());
      CHECK(scope.stop() == 0);
    }
    CHECK(timer.value() == 0);
  }
  SUBCASE("is counted if an exception ended it") {
    const auto fail = [&] {
      const auto scope = timer.time();
      spend(1ms);
      throw std::runtime_error("on purpose");
    };
    CHECK_THROWS_AS(fail(), std::runtime_error);
    CHECK(timer.last() >= 1e-3);
  }
}

TEST_CASE("scopes may be nested and concurrent") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer");
  const Watch before;
  auto first = timer.time();
  auto second = timer.time();
  const double between = before.seconds();  // the two began within that
  double inner = 0;
  {
    const auto nested = timer.time();
    spend(1ms);
    inner = nested.elapsed();
  }
  CHECK(timer.last() >= inner);
  const double nested = timer.last();
  // Not in the order in which they began, as with coroutines.
  const double one = first.stop();
  CHECK(timer.last() == one);
  spend(1ms);
  const double two = second.stop();
  CHECK(timer.last() == two);
  CHECK(one >= nested);
  CHECK(two >= one + 1e-3 - between);
  CHECK(timer.value() == doctest::Approx((nested + one + two) / 3));
}

TEST_CASE("a scope that is moved goes on in its new place") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer");
  Timer other(model, "other");
  SUBCASE("made from another one") {
    auto from = timer.time();
    spend(1ms);
    {
      const auto scope = std::move(from);
      CHECK(from.done());  // NOLINT(bugprone-use-after-move): that is what is tested
      CHECK_FALSE(scope.done());
    }
    const double counted = timer.last();
    CHECK(counted >= 1e-3);
    CHECK(from.stop() == 0);
    CHECK(timer.value() == counted);
  }
  SUBCASE("assigned to one that runs, which ends") {
    auto from = timer.time();
    spend(1ms);
    auto into = other.time();
    into = std::move(from);
    CHECK(other.last() > 0);
    CHECK(other.last() < into.elapsed());
    CHECK(timer.last() == 0);
    CHECK(into.stop() >= 1e-3);
    CHECK(timer.last() >= 1e-3);
  }
  SUBCASE("assigned to itself") {
    auto scope = timer.time();
    auto& same = scope;
    scope = std::move(same);
    CHECK_FALSE(scope.done());
    CHECK(timer.last() == 0);
  }
  SUBCASE("a stopped one stays stopped") {
    auto from = timer.time();
    const double elapsed = from.stop();
    timer.add(100);
    const auto scope = std::move(from);
    CHECK(scope.done());
    CHECK(scope.elapsed() == elapsed);
    CHECK(timer.last() == 100);
  }
}

TEST_CASE("a scope that is stopped in another thread is that thread's value") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Timer timer(model, "timer");
  auto scope = timer.time();
  spend(1ms);
  double there = 0;
  std::thread([scope = std::move(scope), &there, &timer, &model]() mutable {
    const double elapsed = scope.stop();
    there = timer.last();
    CHECK(there == elapsed);
    CHECK(Published(model).value("timer") == there);
  }).join();
  CHECK(there >= 1e-3);
}

TEST_CASE("every class of values can be timed") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Average average(model, "average");
  WindowAverage window(model, "window");
  {
    const auto one = average.time();
    const auto two = window.time();
    spend(1ms);
  }
  CHECK(average.value() >= 1e-3);
  CHECK(window.value() >= 1e-3);
}

TEST_CASE("a window's mean is of the values of the last seconds") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::mt19937 random(2);
  std::uniform_real_distribution<double> any(0, 10);
  for (const int seconds : {1, 2, 10, 60, 3600}) {
    CAPTURE(seconds);
    const auto label = "window" + std::to_string(seconds);
    WindowAverage window(model, label, {}, static_cast<std::size_t>(seconds));
    CHECK(window.value() == 0);
    struct Value {
      std::int64_t second;
      double value;
    };
    std::deque<Value> values;
    WindowAverage::Clock::time_point now(5ms);
    for (int i = 0; i < 3000; ++i) {
      // Mostly many values in a second; now and then a gap of up to two windows, or of years.
      switch (std::uniform_int_distribution(0, 199)(random)) {
        case 0:
          now += std::chrono::seconds(std::uniform_int_distribution(0, 2 * seconds)(random));
          break;
        case 1:
          now += std::chrono::hours(std::uniform_int_distribution(0, 100'000)(random));
          break;
        default:
          now += std::chrono::milliseconds(std::uniform_int_distribution(0, 300)(random));
      }
      const double value = any(random);
      window.add(value, now);
      window.add(kInfinite, now + 1h);
      const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
      values.push_back({second, value});
      while (values.front().second <= second - seconds) values.pop_front();
      double sum = 0;
      for (const Value& in : values) sum += in.value;
      CHECK(window.value() == doctest::Approx(sum / static_cast<double>(values.size())).epsilon(1e-9));
    }
    CHECK(Published(model).value(label) == window.value());
  }
}

TEST_CASE("a window has 60 seconds, at least 1, at most 3,600") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  WindowAverage usual(model, "usual");
  WindowAverage least(model, "least", {}, 0);
  WindowAverage most(model, "most", {}, 1'000'000);
  const WindowAverage::Clock::time_point begin(1000h);
  for (int second = 0; second < 10'000; ++second) {
    for (WindowAverage* window : {&usual, &least, &most}) {
      window->add(second, begin + std::chrono::seconds(second));
    }
  }
  CHECK(usual.value() == 9999 - 59 / 2.0);
  CHECK(least.value() == 9999);
  CHECK(most.value() == 9999 - 3599 / 2.0);
  // By the clock that all machines have.
  least.add(5);
  CHECK(least.value() >= 5);
}

TEST_CASE("a clock that goes back loses no value") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  WindowAverage window(model, "window", {}, 2);
  const WindowAverage::Clock::time_point now(100s);
  window.add(1, now);
  window.add(3, now - 50s);
  window.add(5, WindowAverage::Clock::time_point(-10s));
  CHECK(window.value() == 3);
  window.add(7, now + 2s);
  CHECK(window.value() == 7);
}

TEST_CASE("shared fields are exact when many threads write them") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  SharedCounter counter(model, "counter");
  SharedGauge<std::int64_t> level(model, "level");
  SharedGauge<std::uint16_t> small(model, "small");
  SharedGauge<double> sum(model, "sum");
  SharedGauge<float> halves(model, "halves");
  constexpr int kThreads = 8;
  constexpr int kTimes = 20'000;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([=]() mutable {
      for (int i = 0; i < kTimes; ++i) {
        ++counter;
        level.add(thread % 2 == 0 ? 3 : -2);
        small.add(1);
        sum.add(0.25);
        halves.add(0.5F);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter.value() == kThreads * kTimes);
  const Published file(model);
  CHECK(file.value("counter") == kThreads * kTimes);
  CHECK(file.value("level") == kThreads / 2 * kTimes);
  CHECK(file.value("small") == kThreads * kTimes % 65'536);
  CHECK(file.value("sum") == kThreads * kTimes / 4.0);
  CHECK(file.value("halves") == kThreads * kTimes / 2.0);
}

TEST_CASE("each thread has values of its own") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  Model model(options);
  Counter counter(model, "counter");
  DoubleField gauge(model, "gauge", {}, 0.5);
  StringField text(model, "text");
  Average average(model, "average");
  constexpr int kThreads = 8;
  std::vector<std::thread> threads;
  std::atomic<int> ready = 0;
  std::atomic<bool> were_read = false;
  for (int thread = 1; thread <= kThreads; ++thread) {
    threads.emplace_back([=, &ready, &were_read]() mutable {
      CHECK(gauge.value() == 0.5);
      for (int i = 0; i < 1000 * thread; ++i) ++counter;
      gauge = thread;
      text = "thread " + std::to_string(thread);
      average.add(thread);
      average.add(thread);
      // All at the same time, or one would take over the file of another.
      ++ready;
      while (ready < kThreads) std::this_thread::yield();
      CHECK(counter.value() == 1000 * static_cast<std::uint64_t>(thread));
      CHECK(text.value() == "thread " + std::to_string(thread));
      while (!were_read) std::this_thread::yield();
    });
  }
  while (ready < kThreads) std::this_thread::yield();
  const auto paths = model.paths();
  CHECK(paths.size() == kThreads);
  std::uint64_t counted = 0;
  for (const auto& path : paths) {
    const Published file(path);
    const auto thread = file.number<std::uint64_t>("counter") / 1000;
    counted += thread * 1000;
    CHECK(file.value("gauge") == static_cast<double>(thread));
    CHECK(file.value("average") == static_cast<double>(thread));
    CHECK(file.value("text") == "thread " + std::to_string(thread));
  }
  were_read = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(counted == 1000 * kThreads * (kThreads + 1) / 2);
}

TEST_CASE("an independent reader reads all of these files alike") { CHECK(SecondReader::get().agrees()); }
