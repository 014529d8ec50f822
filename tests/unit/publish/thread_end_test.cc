// What a thread that ends leaves behind: its counters, and nothing of the moment.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "publish/folded_files.h"
#include "published.h"

using namespace mmstats;

namespace {

struct Passing : Model {
  explicit Passing(ModelOptions options) : Model(std::move(options)) {}
  Counter count{*this, "count"};
  Gauge<double> spent{*this, "spent", {.kind = Kind::kCounter}};
  UInt64Field busy{*this, "busy"};
  ShortField small{*this, "small", {}, -7};
  DoubleField level{*this, "level", {}, 0.5};
  DoubleField since{*this, "since", {.kind = Kind::kTimestamp}};
  BoolField open_door{*this, "open", {}, true};
  UByteField byte{*this, "byte"};
  StringField text{*this, "text", {}, 20, "idle"};
  StringField short_text{*this, "short", {}, 8, "none"};
  StaticField<std::int32_t> fact{*this, "fact", 42};
  Average mean{*this, "mean"};
  MovingAverage moving{*this, "moving"};
  WindowAverage window{*this, "window"};
  Histogram sizes{*this, "sizes"};
  MovingHistogram last_sizes{*this, "last_sizes"};
  WindowHistogram new_sizes{*this, "new_sizes"};
  StringField odd{*this, "odd", {}, 3};  // set an odd number of times: the other buffer is published

  void write() {
    ++count;
    spent += 0.25;
    busy = 100;
    small = 3;
    level = 2.5;
    since = 1000;
    open_door = false;
    byte = 9;
    text = "at work";
    short_text = "busy";
    text = "still at work";
    odd = "abc";
    mean.add(3);
    moving.add(4);
    window.add(5);
    sizes.add(6);
    last_sizes.add(7);
    new_sizes.add(8);
  }

  void check_fresh() const {
    CHECK(busy.value() == 0);
    CHECK(small.value() == -7);
    CHECK(level.value() == 0.5);
    CHECK(since.value() == 0);
    CHECK(open_door.value());
    CHECK(byte.value() == 0);
    CHECK(text.value() == "idle");
    CHECK(short_text.value() == "none");
    CHECK(odd.value().empty());
    CHECK(fact.value() == 42);
    CHECK(mean.value() == 0);
    CHECK(moving.value() == 0);
    CHECK(moving.last() == 0);
    CHECK(window.value() == 0);
    for (const auto* histogram : {static_cast<const detail::Distribution*>(&sizes),
                                  static_cast<const detail::Distribution*>(&last_sizes),
                                  static_cast<const detail::Distribution*>(&new_sizes)}) {
      CHECK(histogram->min() == 0);
      CHECK(histogram->max() == 0);
      CHECK(histogram->p50() == 0);
      CHECK(histogram->p999() == 0);
    }
  }
};

}  // namespace

TEST_CASE("gauges of threads that have ended do not count") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  UInt64Field busy(model, "busy");
  DoubleField level(model, "level", {}, 4);
  Counter done(model, "done");
  busy = 1;
  level = 2;
  ++done;
  // All have a file at the same time.
  constexpr int kPool = 8;
  std::atomic<int> ready = 0;
  std::vector<std::thread> pool;
  for (int i = 0; i < kPool; ++i) {
    pool.emplace_back([&] {
      busy = 100;
      level = 100;
      ++done;
      ++ready;
      while (ready < kPool) std::this_thread::yield();
    });
  }
  for (auto& thread : pool) thread.join();
  REQUIRE(model.paths().size() == kPool + 1);
  auto series = folded(model.paths());
  CHECK(series.at("busy").value == 1);
  CHECK(series.at("level").value == 2);
  CHECK(series.at("done").total == 9);
  CHECK(busy.total() == 1);
  CHECK(level.total() == 2);
  CHECK(done.total() == 9);
  // Those who only look at values see none that is left over.
  for (const auto& path : model.paths()) {
    const Published file(path);
    const bool mine = file.value("sys.tid") == ::gettid();
    CHECK((mine || file.value("sys.tid") == 0));
    CHECK(file.value("busy") == (mine ? 1 : 0));
    CHECK(file.value("level") == (mine ? 2 : 4));
  }
  // What the next one sets counts at once.
  std::thread([&] {
    busy = 10;
    CHECK(busy.total() == 11);
    CHECK(folded(model.paths()).at("busy").value == 11);
    CHECK(folded(model.paths()).at("level").value == 3);
  }).join();
  CHECK(folded(model.paths()).at("busy").value == 1);
}

TEST_CASE("a thread begins with the counters of the one before it, and nothing else that it had") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  SUBCASE("in a file") {}
  SUBCASE("in private memory") { options.path = folder / "missing"; }
  options.on_error = [](const Error&) {};
  Passing passing(options);
  for (std::uint64_t i = 0; i < 5; ++i) {
    std::thread([&] {
      CHECK(passing.count.value() == i);
      CHECK(passing.spent.value() == 0.25 * static_cast<double>(i));
      for (const auto* histogram : {static_cast<const detail::Distribution*>(&passing.sizes),
                                    static_cast<const detail::Distribution*>(&passing.last_sizes),
                                    static_cast<const detail::Distribution*>(&passing.new_sizes)}) {
        CHECK(histogram->count() == i);
      }
      passing.check_fresh();
      passing.write();
      CHECK(passing.text.value() == "still at work");
      CHECK(passing.mean.value() == 3);
      CHECK(passing.sizes.p50() == doctest::Approx(6).epsilon(0.02));
    }).join();
  }
  CHECK(passing.count.total() == 5);
  CHECK(passing.busy.total() == 0);
}

TEST_CASE("a field that has no room in a file, and what a class keeps for a thread, begin anew, too") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.on_error = [](const Error&) {};
  Model model(options);
  Counter(model, "twice");
  const Counter count(model, "");  // cannot be published
  const DoubleField level(model, "twice");
  const auto memory = model.add_memory(40'000);
  for (std::uint64_t i = 0; i < 3; ++i) {
    std::thread([&] {
      CHECK(count.value() == i);
      CHECK(level.value() == 0);
      const auto* const bytes = memory.in_thread();
      CHECK(std::all_of(bytes, bytes + 40'000, [](std::byte byte) { return byte == std::byte{0}; }));
      count.incr();
      level.set(2.5);
      std::memset(memory.in_thread(), 0xEE, 40'000);
    }).join();
  }
  CHECK(count.total() == 3);
  CHECK(level.total() == 0);
}
