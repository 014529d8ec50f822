// Families as readers find them: one line of metadata, a field for each combination, and what is removed.
#include "mmstats/family.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <new>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "child_process.h"
#include "format/dimensions.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "publish/families.h"
#include "publish/family_table.h"
#include "publish/models.h"
#include "published.h"

using namespace mmstats;

namespace {

// Labels of a family's fields that are not removed, and what they hold.
template <class Number = std::uint64_t>
std::map<std::string, Number> combinations(const Published& file, std::string_view family) {
  std::map<std::string, Number> found;
  for (const Field& field : file.fields()) {
    if (!field.label.starts_with(std::string(family) + '.') || is_removed(field)) continue;
    found[std::string(field.label.substr(family.size() + 1))] = file.number<Number>(field.label);
  }
  return found;
}
template <class Number = std::uint64_t>
std::map<std::string, Number> combinations(const Model& model, std::string_view family) {
  return combinations<Number>(Published(model), family);
}

using Counts = std::map<std::string, std::uint64_t>;

std::vector<std::string> lines_of(const Published& file) {
  std::vector<std::string> lines;
  std::string text = file.metadata();
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

struct Told {
  std::vector<std::string> errors;
  ModelOptions options(const TemporaryFolder& folder) {
    auto chosen = published_in(folder);
    chosen.on_error = [this](const Error& error) { errors.push_back(error.text()); };
    return chosen;
  }
};

detail::FamilyTable& table_of(Model& model, const std::string& label) {
  return *Models::impl_of(model).families.with_label(label)->table;
}

detail::FamilyTable::Clock::time_point later(std::chrono::seconds seconds) {
  return detail::FamilyTable::Clock::now() + seconds;
}

}  // namespace

TEST_CASE("a family is one line, and a field for each combination") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.label_prefix = "web";
  Model model(options);
  const Family<Counter> responses(model, "responses", {"method", "status"},
                                  {.unit = "responses", .help = "Responses sent"});
  responses.with("GET", 200).incr(3);
  responses.with(std::string("GET"), std::string_view("200")).incr();
  responses.with("POST", -1).incr();
  responses.with(true, std::uint8_t{7}).incr(2);
  responses.with("").incr(9);
  const Published file(model);
  CHECK(combinations(file, "web.responses") ==
        Counts{{"GET.200", 4}, {"POST.-1", 1}, {"true.7", 2}, {".", 9}});
  const auto lines = lines_of(file);
  CHECK(std::count(lines.begin(), lines.end(),
                   "web.responses\tcounter\tresponses\tResponses sent\t\tmethod status") == 1);
  CHECK(std::count_if(lines.begin(), lines.end(),
                      [](const auto& line) { return line.starts_with("web.responses"); }) == 1);
}

TEST_CASE("families of all classes of fields") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Family<SharedCounter>(model, "shared", {"a"}).with("x").incr(5);
  Family<Gauge<double>>(model, "gauge", {"a"}).with("x").set(0.5);
  Family<Gauge<std::int32_t>>(model, "small", {"a"}).with("x").set(-3);
  Family<BoolField>(model, "flag", {"a"}).with("x").set(true);
  Family<StringField>(model, "text", {"a"}, {}, std::size_t{16}).with("x").set("abc");
  Family<MovingAverage>(model, "mean", {"a"}, {}, std::size_t{2}).with("x").add(4);
  Family<MovingAverage>(model, "mean", {"a"}, {}, std::size_t{2}).with("x").add(6);
  Family<Histogram>(model, "latency", {"route"}, {.unit = "seconds", .help = "Time"}, 8U)
      .with("/a.b")
      .add(0.5);
  Family<WindowHistogram>(model, "window", {"route"}).with("x").add(0.5);
  for (const auto& path : model.paths()) {
    const Published file(path);
    if (path.ends_with("-shared.mmstats")) {
      CHECK(file.number<std::uint64_t>("shared.x") == 5);
      continue;
    }
    CHECK(file.number<double>("gauge.x") == 0.5);
    CHECK(file.number<std::int32_t>("small.x") == -3);
    CHECK(file.value("flag.x") == true);
    CHECK(file.value("text.x") == "abc");
    CHECK(file.number<double>("mean.x") == 5);
    CHECK(file.number<std::uint64_t>("latency./a%2Eb.count") == 1);
    CHECK(file.value("latency./a%2Eb.buckets.-1") == nlohmann::json{1, 0, 0, 0, 0, 0, 0, 0});
    const auto lines = lines_of(file);
    CHECK(std::count(lines.begin(), lines.end(),
                     "latency\thistogram\tseconds\tTime\tlog-linear 8 -30 50\troute") == 1);
    CHECK(std::count(lines.begin(), lines.end(), "flag\tstate\t\t\t\ta") == 1);
    // One for each family in this file, and sys.writer.
    CHECK(lines.size() == 8);
  }
  CHECK(model.paths().size() == 2);
}

TEST_CASE("no two combinations have one label, and none is a field of the library") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a", "b"});
  const std::vector<std::string> values{"",
                                        "a",
                                        "a.b",
                                        "a%2Eb",
                                        "%",
                                        "%41",
                                        "A",
                                        "sys",
                                        "%73ys",
                                        "pid",
                                        "\n",
                                        "\t",
                                        std::string(1, '\0'),
                                        "é",
                                        ".",
                                        "..",
                                        "b",
                                        "a b",
                                        "/x/y",
                                        "buckets",
                                        "3"};
  std::uint64_t number = 0;
  for (const auto& a : values) {
    for (const auto& b : values) family.with(a, b).incr(++number);
  }
  const Published file(model);
  const auto found = combinations(file, "f");
  CHECK(found.size() == values.size() * values.size());
  number = 0;
  for (const auto& a : values) {
    for (const auto& b : values) {
      const auto label = escape_value(a) + '.' + escape_value(b);
      CHECK(std::count(label.begin(), label.end(), '.') == 1);
      CHECK(found.at(label) == ++number);
      const auto dot = label.find('.');
      CHECK(unescape_value(label.substr(0, dot)) == a);
      CHECK(unescape_value(label.substr(dot + 1)) == b);
    }
  }
  CHECK(file.find("f.%73ys.pid") != nullptr);
}

TEST_CASE("of values 255 bytes count, and what is not UTF-8 is a question mark") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"});
  family.with(std::string(255, 'x')).incr();
  family.with(std::string(300, 'x')).incr();
  family.with(std::string(254, 'y') + "é").incr();
  family.with("a\xFF").incr();
  family.with("a?").incr();
  CHECK(combinations(model, "f") ==
        Counts{{std::string(255, 'x'), 2}, {std::string(254, 'y'), 1}, {"a?", 2}});
}

TEST_CASE("what is asked for again is the same, whoever asks, in whatever thread") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) Family<SharedCounter>(model, "f", {"a"}).with(i % 50).incr();
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& path : model.paths()) {
    if (!path.ends_with("-shared.mmstats")) continue;
    const auto found = combinations(Published(path), "f");
    CHECK(found.size() == 50);
    CHECK(std::all_of(found.begin(), found.end(), [](const auto& one) { return one.second == 40; }));
  }
}

TEST_CASE("more combinations than may be count as other, which is told once") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Counter> family(model, "f", {"a", "b"}, {.max_series = 3});
  for (int i = 0; i < 10; ++i) family.with("x", i).incr();
  for (int i = 0; i < 10; ++i) family.with("x", i).incr();
  CHECK(combinations(model, "f") == Counts{{"x.0", 2}, {"x.1", 2}, {"x.2", 2}, {"other.other", 14}});
  REQUIRE(told.errors.size() == 1);
  CHECK(told.errors[0].find("family \"f\" has 3 combinations") != std::string::npos);
  // One goes, another one comes.
  family.remove("x", 1);
  family.with("x", 9).incr();
  family.with("x", 8).incr();
  CHECK(combinations(model, "f") == Counts{{"x.0", 2}, {"x.2", 2}, {"x.9", 1}, {"other.other", 15}});
  CHECK(told.errors.size() == 1);
}

TEST_CASE("other is a combination like others if somebody asks for it") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"}, {.max_series = 2});
  family.with("other").incr();
  CHECK(combinations(model, "f") == Counts{{"other", 1}});
  family.with("x").incr();
  family.with("y").incr();
  CHECK(combinations(model, "f") == Counts{{"other", 1}, {"x", 1}, {"y", 1}});
}

TEST_CASE("a combination that is removed is gone in all files, and comes back with its value") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"});
  const Family<Histogram> times(model, "t", {"a"});
  const Counter kept = family.with("x");
  kept.incr(3);
  family.with("y").incr();
  times.with("x").add(1);
  std::atomic<int> step = 0;
  std::thread other([&] {
    family.with("x").incr(4);
    step = 1;
    step.notify_all();
    step.wait(1);
  });
  step.wait(0);
  const auto all = [&] {
    std::vector<Counts> files;
    for (const auto& path : model.paths()) files.push_back(combinations(Published(path), "f"));
    std::sort(files.begin(), files.end());
    return files;
  };
  CHECK(all() == std::vector<Counts>{{{"x", 3}, {"y", 1}}, {{"x", 4}, {"y", 0}}});
  family.remove("x");
  family.remove("z");
  times.remove("x");
  CHECK(all() == std::vector<Counts>{{{"y", 0}}, {{"y", 1}}});
  const auto removed = [&](const Published& file) {
    return std::count_if(file.fields().begin(), file.fields().end(), [](const Field& field) {
      return field.label.starts_with("t.x") && is_removed(field);
    });
  };
  // All but the buckets.
  for (const auto& path : model.paths()) CHECK(removed(Published(path)) == 8);
  // A handle that is kept stays good, and files of new threads do not show it either.
  kept.incr(2);
  step = 2;
  step.notify_all();
  other.join();
  std::thread([&] { family.with("y").incr(); }).join();
  CHECK(all() == std::vector<Counts>{{{"y", 1}}, {{"y", 1}}});
  family.with("x").incr();
  times.with("x").add(1);
  CHECK(all() == std::vector<Counts>{{{"x", 4}, {"y", 1}}, {{"x", 6}, {"y", 1}}});
  CHECK(kept.total() == 10);
  for (const auto& path : model.paths()) CHECK(removed(Published(path)) == 0);
}

TEST_CASE("what is not used for long expires, and comes back when a kept handle is written") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"}, {.expire_after = std::chrono::seconds{60}});
  auto& table = table_of(model, "f");
  const auto begin = detail::FamilyTable::Clock::now();
  const auto after = [&](int seconds) { return begin + std::chrono::seconds(seconds); };
  const Counter kept = family.with("kept");
  const Counter idle = family.with("idle");
  kept.incr();
  idle.incr();
  family.with("asked").incr();
  CHECK(table.expire(after(50)) == 0);
  kept.incr();
  static_cast<void>(family.with("asked"));
  CHECK(table.expire(after(100)) == 0);
  kept.incr();
  static_cast<void>(family.with("asked"));
  CHECK(table.expire(after(140)) == 1);
  CHECK(combinations(model, "f") == Counts{{"kept", 3}, {"asked", 1}});
  idle.incr();
  CHECK(table.expire(after(150)) == 0);
  CHECK(combinations(model, "f") == Counts{{"kept", 3}, {"asked", 1}, {"idle", 2}});
  CHECK(table.expire(after(1000)) == 3);
  CHECK(combinations(model, "f") == Counts{});
  CHECK(family.expire() == 0);
}

TEST_CASE("a family that cannot be published is told, and its fields still work") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Counter> good(model, "f", {"a", "b"});
  struct Row {
    std::string label;
    std::initializer_list<std::string_view> dimensions;
    std::string_view says;
  };
  const Row rows[] = {
      {"", {"a"}, "empty"},
      {std::string(5000, 'x'), {"a"}, "4,096"},
      {"\xFF", {"a"}, "UTF-8"},
      {"a\tb", {"a"}, "tabs"},
      {"g", {}, "0 dimensions"},
      {"g", {"a", "a"}, "twice"},
      {"g",
       {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"},
       "17 dimensions"},
      {"g", {"a b"}, "letters, digits"},
      {"g", {"1a"}, "letters, digits"},
      {"g", {"le"}, "OpenMetrics"},
      {"g", {"__a"}, "underscores"},
      {"f", {"a"}, "other dimensions"},
      {"f", {"b", "a"}, "other dimensions"},
      {"f.x", {"b"}, "same label"},
  };
  for (const Row& row : rows) {
    told.errors.clear();
    const Family<Counter> bad(model, row.label, row.dimensions);
    REQUIRE(told.errors.size() == 1);
    CHECK_MESSAGE(told.errors[0].find(row.says) != std::string::npos, told.errors[0]);
    bad.with("x", "y").incr();
    CHECK(bad.with("x", "y").value() == 1);
    CHECK(told.errors.size() == 1);
  }
  told.errors.clear();
  const Family<Gauge<double>> other_class(model, "f", {"a", "b"});
  CHECK(told.errors.size() == 1);
  other_class.with("x", "y").set(3);
  good.with("x", "y").incr();
  CHECK(combinations(model, "f") == Counts{{"x.y", 1}});
  CHECK(Published(model).find("g") == nullptr);
}

TEST_CASE("a field that is there already stays one of its own") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Counter plain(model, "f.x", {.help = "Alone"});
  plain.incr();
  const Gauge<double> other(model, "f.y");
  const Family<Counter> family(model, "f", {"a"}, {.help = "Together"});
  family.with("x").incr();
  family.with("z").incr();
  CHECK(told.errors.empty());
  family.with("y").incr(5);
  CHECK(told.errors.size() == 1);
  family.remove("x");
  const Published file(model);
  CHECK(file.number<std::uint64_t>("f.other") == 5);
  CHECK(file.number<std::uint64_t>("f.x") == 2);
  CHECK(!is_removed(file.field("f.x")));
  CHECK(file.number<double>("f.y") == 0);
  CHECK(file.number<std::uint64_t>("f.z") == 1);
  CHECK(file.metadata().find("f.x\tcounter\t\tAlone") != std::string::npos);
  CHECK(file.metadata().find("f\tcounter\t\tTogether\t\ta") != std::string::npos);
}

TEST_CASE("a file without room takes no more combinations, and loses no count") {
  const TemporaryFolder folder;
  Told told;
  auto options = told.options(folder);
  options.max_file_bytes = std::size_t{64} << 10U;
  Model model(options);
  const Family<Counter> family(model, "f", {"a"}, {.max_series = 100'000});
  for (int i = 0; i < 5000; ++i) family.with("value " + std::to_string(i)).incr();
  const auto found = combinations(model, "f");
  CHECK(found.size() > 500);
  CHECK(found.size() < 2000);
  std::uint64_t sum = 0;
  for (const auto& [label, count] : found) sum += count;
  CHECK(sum == 5000);
  CHECK(found.at("other") == 5000 - (found.size() - 1));
  REQUIRE(told.errors.size() == 1);
  CHECK(told.errors[0].find("max_file_bytes") != std::string::npos);
  // Other fields have a part of the file.
  Counter(model, "late").incr();
  CHECK(Published(model).number<std::uint64_t>("late") == 1);
}

TEST_CASE("histograms without room are counted as other as a whole") {
  const TemporaryFolder folder;
  Told told;
  auto options = told.options(folder);
  options.max_file_bytes = std::size_t{128} << 10U;
  Model model(options);
  const Family<Histogram> family(model, "f", {"a"});
  for (int i = 0; i < 20; ++i) family.with(i).add(1);
  const Published file(model);
  std::uint64_t sum = 0;
  for (const Field& field : file.fields()) {
    if (!field.label.ends_with(".count") || is_removed(field)) continue;
    sum += file.number<std::uint64_t>(field.label);
    const std::string stem(field.label.substr(0, field.label.size() - 6));
    CHECK(file.find(stem + ".buckets.0") != nullptr);
  }
  CHECK(sum == 20);
}

TEST_CASE("what is removed stays so when threads end and in the child of a fork") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Gauge<double>> gauges(model, "g", {"a"});
  const Family<Histogram> times(model, "t", {"a"});
  const Family<Counter> counters(model, "c", {"a"});
  std::thread([&] {
    gauges.with("x").set(3);
    times.with("x").add(3);
    counters.with("x").incr(3);
    gauges.remove("x");
    times.remove("x");
    counters.remove("x");
  }).join();
  const auto shown = [&] {
    gauges.expire();
    times.expire();
    counters.expire();
    std::size_t shown = 0;
    for (const auto& path : model.paths()) {
      const Published file(path);
      shown += combinations<double>(file, "g").size() + combinations(file, "c").size();
      shown += file.find("t.x.max") != nullptr && !is_removed(file.field("t.x.max")) ? 1U : 0U;
    }
    return shown;
  };
  CHECK(shown() == 0);
  ChildProcess child([&] {
    must(model.open().has_value());
    must(shown() == 0);
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("removal is for all classes of fields, and expires what nobody writes") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const FamilyAbout about{.expire_after = std::chrono::seconds{1}};
  const auto check = [&](const auto& family, std::string_view label, const auto& write) {
    CAPTURE(label);
    write(family.with("x"));
    const auto field = std::string(label) + ".x";
    const auto hidden = [&] {
      const auto paths = model.paths();
      return std::all_of(paths.begin(), paths.end(), [&](const std::string& path) {
        const Published file(path);
        return file.find(field) == nullptr || is_removed(file.field(field));
      });
    };
    family.remove("x");
    family.expire();
    CHECK(hidden());
    write(family.with("x"));
    CHECK(!hidden());
    auto& table = table_of(model, std::string(label));
    CHECK(table.expire(later(std::chrono::seconds{10})) == 0);
    CHECK(table.expire(later(std::chrono::seconds{20})) == 1);
    CHECK(hidden());
    CHECK(table.expire(later(std::chrono::seconds{30})) == 0);
    CHECK(hidden());
  };
  check(Family<Counter>(model, "c", {"a"}, about), "c", [](const Counter& one) { one.incr(); });
  check(Family<SharedCounter>(model, "sc", {"a"}, about), "sc", [](const auto& one) { one.incr(); });
  check(Family<Gauge<double>>(model, "d", {"a"}, about), "d", [](const auto& one) { one.set(3); });
  check(Family<Gauge<float>>(model, "f", {"a"}, about), "f", [](const auto& one) { one.set(3); });
  check(Family<Gauge<std::int32_t>>(model, "i", {"a"}, about), "i", [](const auto& one) { one.set(3); });
  check(Family<Gauge<std::uint16_t>>(model, "s", {"a"}, about), "s", [](const auto& one) { one.set(3); });
  check(Family<SharedGauge<std::uint16_t>>(model, "ss", {"a"}, about), "ss",
        [](const auto& one) { one.set(3); });
  check(Family<BoolField>(model, "b", {"a"}, about), "b", [](const auto& one) { one.set(true); });
  check(Family<UByteField>(model, "u", {"a"}, about), "u", [](const auto& one) { one.set(3); });
  check(Family<StringField>(model, "t", {"a"}, about), "t", [](const auto& one) { one.set("text"); });
}

TEST_CASE("a family hides no field of another one, and a histogram's scheme stays said") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.on_error = [](const Error&) {};
  Model model(options);
  const Family<Counter> one(model, "a", {"x"});
  const Family<Counter> other(model, "a.v", {"y"});
  other.with("count").incr(3);
  other.with("p50").incr(4);
  one.with("v").incr();
  one.remove("v");
  CHECK(combinations(model, "a.v") == Counts{{"count", 3}, {"p50", 4}});
  // A single field has the label of the first combination's .count.
  Counter(model, "lat.GET.count").incr(5);
  const Family<Histogram> times(model, "lat", {"m"}, {.unit = "seconds"});
  times.with("GET").add(1);
  times.with("PUT").add(1);
  const auto lines = lines_of(Published(model));
  CHECK(std::find(lines.begin(), lines.end(), "lat\thistogram\tseconds\t\tlog-linear 32 -30 50\tm") !=
        lines.end());
  // A field that was there before the family stays, and takes no place of another one.
  const Counter single(model, "b.x");
  const Family<Counter> full(model, "b", {"y"}, {.max_series = 1});
  full.with("x").incr();
  full.remove("x");
  full.with("z").incr();
  CHECK(combinations(model, "b") == Counts{{"x", 1}, {"other", 1}});
}

TEST_CASE("what kept handles count in a family that is full is there when it has room") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"}, {.max_series = 1});
  const Counter kept = family.with("x");
  family.remove("x");
  family.with("y").incr();
  kept.incr(100);
  family.expire();
  CHECK(combinations(model, "f") == Counts{{"y", 1}});
  family.remove("y");
  family.expire();
  CHECK(combinations(model, "f") == Counts{{"x", 100}});
}

TEST_CASE("a signal's handler that comes amid the library gets what there is") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Counter> family(model, "f", {"a"});
  family.with("shown").incr();
  family.with("removed").incr();
  family.remove("removed");
  {
    const Models::Hold interrupted;
    family.with("shown").incr();
    family.with("removed").incr();
    CHECK_THROWS_AS(family.with("new").incr(), std::bad_alloc);
    family.remove("shown");
    CHECK(family.expire() == 0);
    CHECK_THROWS_AS(Models::Hold(), std::bad_alloc);
  }
  family.with("other").incr();
  {
    const Models::Hold interrupted;
    family.with("new").incr();
  }
  family.expire();
  CHECK(combinations(model, "f") == Counts{{"shown", 2}, {"removed", 2}, {"other", 2}});
  CHECK(told.errors.empty());
}

TEST_CASE("what is not UTF-8 is one combination, also when it is full or removed") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Counter> family(model, "f", {"a"}, {.max_series = 1});
  family.with("caf\xE9").incr();
  family.with("x").incr();
  family.with("caf\xE9").incr();
  CHECK(combinations(model, "f") == Counts{{"caf?", 2}, {"other", 1}});
  family.remove("caf\xE9");
  CHECK(combinations(model, "f") == Counts{{"other", 1}});
}

TEST_CASE("a family of histograms meets no field of others") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Histogram> times(model, "lat", {"a"});
  // lat.x.count and lat.x.buckets.5
  Family<Counter>(model, "lat.x", {"b"}).with("count").incr(1'000'000);
  Family<Counter>(model, "lat", {"a", "b", "c"}).with("x", "buckets", "5").incr();
  CHECK(told.errors.size() == 2);
  times.with("x").add(1);
  // And a single one is no combination of counters, whatever its label.
  const Family<Counter> counters(model, "http", {"a"});
  counters.with("latency").incr(7);
  const Histogram single(model, "http.latency", {.unit = "seconds", .help = "Alone"});
  single.add(1);
  const Published file(model);
  CHECK(file.number<std::uint64_t>("lat.x.count") == 1);
  CHECK(file.number<std::uint64_t>("http.latency") == 7);
  CHECK(file.metadata().find("http.latency\thistogram\tseconds\tAlone") != std::string::npos);
  CHECK(told.errors.size() == 2);
}

TEST_CASE("values that come and go take a bounded part of a file") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<Counter> family(model, "f", {"a"}, {.max_series = 10});
  for (int i = 0; i < 5000; ++i) {
    family.with(i).incr();
    family.remove(i);
  }
  const Published file(model);
  const auto places = std::count_if(file.fields().begin(), file.fields().end(),
                                    [](const Field& field) { return field.label.starts_with("f."); });
  CHECK(places == 101);
  CHECK(combinations(file, "f") == Counts{{"other", 4900}});
  REQUIRE(told.errors.size() == 1);
  CHECK(told.errors[0].find("has had 100 combinations") != std::string::npos);
}

TEST_CASE("threads that ask for new combinations at once get no more than may be") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.on_error = [](const Error&) {};
  Model model(options);
  const Family<SharedCounter> family(model, "f", {"a"}, {.max_series = 3});
  std::atomic<bool> begun = false;
  std::vector<std::thread> threads;
  threads.reserve(32);
  for (int thread = 0; thread < 32; ++thread) {
    threads.emplace_back([&, thread] {
      begun.wait(false);
      family.with(thread).incr();
    });
  }
  begun = true;
  begun.notify_all();
  for (auto& thread : threads) thread.join();
  for (const auto& path : model.paths()) {
    if (!path.ends_with("-shared.mmstats")) continue;
    const auto found = combinations(Published(path), "f");
    CHECK(found.size() == 4);
    CHECK(found.contains("other"));
  }
}

TEST_CASE("a family that is refused is told once, however often it is made") {
  const TemporaryFolder folder;
  Told told;
  Model model(told.options(folder));
  const Family<StringField> texts(model, "t", {"a"}, {}, std::size_t{8});
  const Family<Gauge<double>> gauges(model, "g", {"a"});
  for (int i = 0; i < 1000; ++i) {
    Family<StringField>(model, "t", {"a"}, {}, std::size_t{200}).with("x").set("lost");
    Family<Gauge<double>>(model, "g", {"a"}, {.kind = Kind::kCounter}).with("x").set(1);
    Family<Counter>(model, "g", {"a", "b"}).with("x", "y").incr();
    Family<StringField>(model, "t", {"a"}, {}, std::size_t{8});
  }
  CHECK(told.errors.size() == 3);
  // All of them are in one Model more.
  CHECK(Models::impl_of(model).families.nowhere != nullptr);
  texts.with("x").set("kept");
  CHECK(Published(model).value("t.x") == "kept");
}

TEST_CASE("texts and times at their bounds") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::string help(8191, 'x');
  const Family<Counter> family(model, "f", {"a"},
                               {.help = help + "é", .expire_after = std::chrono::seconds::max()});
  const char* const nothing = nullptr;
  family.with(nothing).incr();
  family.with("").incr();
  CHECK(family.expire() == 0);
  CHECK(combinations(model, "f") == Counts{{"", 2}});
  const auto lines = lines_of(Published(model));
  CHECK(std::find(lines.begin(), lines.end(), "f\tcounter\t\t" + help + "\t\ta") != lines.end());
}

TEST_CASE("the child of a fork has families of its own") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const Family<Counter> family(model, "f", {"a"});
  family.with("x").incr(3);
  family.with("gone").incr();
  family.remove("gone");
  ChildProcess child([&] {
    family.with("x").incr();
    family.with("y").incr();
    must(combinations(model, "f") == Counts{{"x", 1}, {"y", 1}});
  });
  CHECK(child.wait() == 0);
  CHECK(combinations(model, "f") == Counts{{"x", 3}});
}

namespace {

// What a family is to do, told plainly.
class Wanted {
 public:
  static constexpr std::size_t kMost = 4;
  static constexpr int kExpireAfter = 100;

  // Where with(value) leads.
  std::string with(const std::string& value) {
    const auto known = find(value);
    if (known != all_.end() && known->shown) return known->asked = true, value;
    if (shown() == kMost) {
      if (known != all_.end()) known->asked = true;
      all_.front().show(now_);
      return "other";
    }
    One& one = known != all_.end() ? *known : all_.emplace_back(One{.value = value, .changed = 0});
    one.show(now_);
    return value;
  }
  void incr(const std::string& value, std::uint64_t amount) {
    counts_[value] += amount;
    if (const auto known = find(value); known != all_.end()) known->changed += amount;
  }
  void remove(const std::string& value) {
    if (const auto known = find(value); known != all_.end()) known->hide();
  }
  std::size_t expire(int seconds) {
    now_ += seconds;
    std::size_t removed = 0;
    for (One& one : all_) {
      if (!one.shown) continue;
      const bool written = std::exchange(one.changed, 0) > 0;
      if (std::exchange(one.asked, false) || written) {
        one.used = now_;
      } else if (now_ - one.used >= kExpireAfter) {
        one.hide();
        ++removed;
      }
    }
    for (One& one : all_) {
      if (one.shown || one.changed == 0 || (shown() == kMost && &one != all_.data())) continue;
      one.changed = 0;
      one.shown = true;
      one.used = now_;
    }
    return removed;
  }
  [[nodiscard]] Counts counts() const {
    Counts found;
    for (const One& one : all_) {
      if (one.shown) found[one.value] = counts_.contains(one.value) ? counts_.at(one.value) : 0;
    }
    return found;
  }

 private:
  struct One {
    std::string value;
    bool shown = false;
    bool asked = false;
    int used = 0;
    std::uint64_t changed = 0;  // since expire() looked, or it was hidden

    void show(int now) {
      shown = asked = true;
      used = now;
    }
    void hide() {
      if (!shown) return;
      shown = asked = false;
      changed = 0;
    }
  };
  std::vector<One>::iterator find(const std::string& value) {
    return std::find_if(all_.begin(), all_.end(), [&](const One& one) { return one.value == value; });
  }
  [[nodiscard]] std::size_t shown() const {
    return static_cast<std::size_t>(
        std::count_if(all_.begin() + 1, all_.end(), [](const One& one) { return one.shown; }));
  }

  std::vector<One> all_{{.value = "other", .changed = 0}};  // in the order in which they came
  Counts counts_;
  int now_ = 0;
};

}  // namespace

TEST_CASE("any history of a family ends as it is told to") {
  const TemporaryFolder folder;
  for (unsigned seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
    auto options = published_in(folder);
    options.on_error = [](const Error&) {};
    Model model(options);
    const Family<Counter> family(model, "f", {"a"},
                                 {.max_series = Wanted::kMost, .expire_after = std::chrono::hours{1000}});
    auto& table = table_of(model, "f");
    Wanted wanted;
    std::map<std::string, Counter> kept;
    // The table's hours are a hundred of the model's seconds.
    auto now = detail::FamilyTable::Clock::now();
    for (int step = 0; step < 60; ++step) {
      const std::string value(1, static_cast<char>('a' + pick(8)));
      switch (pick(5)) {
        case 0:
        case 1:
        case 2: {
          const Counter counter = family.with(value);
          const std::string leads_to = wanted.with(value);
          kept.emplace(leads_to, counter);
          if (pick(1) == 0) break;
          counter.incr(3);
          wanted.incr(leads_to, 3);
          break;
        }
        case 3:
          if (const auto handle = kept.find(value); handle != kept.end()) {
            handle->second.incr(2);
            wanted.incr(value, 2);
          }
          break;
        case 4:
          family.remove(value);
          wanted.remove(value);
          break;
        default: {
          const int seconds = pick(60);
          now += std::chrono::hours{10 * seconds};
          CHECK(table.expire(now) == wanted.expire(seconds));
        }
      }
    }
    static_cast<void>(model.open());
    const auto text = [](const Counts& counts) {
      std::string all;
      for (const auto& [value, count] : counts) all += value + '=' + std::to_string(count) + ' ';
      return all;
    };
    REQUIRE(text(combinations(model, "f")) == text(wanted.counts()));
  }
}

TEST_CASE("threads that ask, count, remove and expire lose nothing") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.on_error = [](const Error&) {};
  Model model(options);
  constexpr int kThreads = 4;
  constexpr int kSteps = 2000;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      const Family<Counter> family(model, "f", {"a"},
                                   {.max_series = 20, .expire_after = std::chrono::seconds{1}});
      std::mt19937 random(static_cast<unsigned>(thread));
      for (int step = 0; step < kSteps; ++step) {
        const auto value = random() % 40;
        family.with(value).incr();
        if (step % 50 == 0) family.remove(random() % 40);
        if (step % 100 == 0) family.expire();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t sum = 0;
  std::set<std::string> shown;
  for (const auto& path : model.paths()) {
    const Published file(path);
    for (const Field& field : file.fields()) {
      if (!field.label.starts_with("f.")) continue;
      sum += file.number<std::uint64_t>(field.label);
      if (!is_removed(field)) shown.emplace(field.label);
    }
  }
  CHECK(sum == std::uint64_t{kThreads} * kSteps);
  CHECK(shown.size() <= 21);
}
