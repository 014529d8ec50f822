// Requests as data: the dictionary, tags flattened as pynba does it, timers merged as php-pinba does it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pinba/request.h"

using pinba::Dictionary;
using pinba::Request;
using pinba::Tags;
using pinba::TimerMerge;
using Pairs = std::vector<std::pair<std::string, std::string>>;

namespace {

struct Point {
  int x;
  friend std::ostream& operator<<(std::ostream& out, const Point& point) { return out << "x" << point.x; }
};

// Timers as texts, in order.
std::vector<std::string> timers_of(const Request& request) {
  std::vector<std::string> all;
  std::size_t tag = 0;
  for (const auto& timer : request.timers) {
    std::string text = std::to_string(timer.hit_count) + " " + std::to_string(timer.value);
    for (std::uint32_t i = 0; i < timer.tag_count; ++i, ++tag) {
      const auto& ref = request.timer_tags.at(tag);
      text +=
          " " + std::string(request.dictionary[ref.name]) + "=" + std::string(request.dictionary[ref.value]);
    }
    all.push_back(text);
  }
  CHECK(tag == request.timer_tags.size());
  return all;
}

}  // namespace

TEST_CASE("numbers become the text that Python's str() gives") {
  const struct {
    double value;
    const char* text;
  } rows[] = {
      {0.5, "0.5"},      {1.0, "1.0"},        {-2.5, "-2.5"},
      {1e-5, "1e-05"},   {0.0001, "0.0001"},  {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},   {0.1, "0.1"},        {123456789.123, "123456789.123"},
      {1e22, "1e+22"},   {-0.0, "-0.0"},      {3.14e-9, "3.14e-09"},
      {INFINITY, "inf"}, {-INFINITY, "-inf"}, {NAN, "nan"},
  };
  for (const auto& row : rows) CHECK(Tags{{"n", row.value}}.pairs() == Pairs{{"n", row.text}});
  CHECK(Tags{{"n", 1}}.pairs() == Pairs{{"n", "1"}});
  CHECK(Tags{{"n", std::numeric_limits<std::int64_t>::max()}}.pairs() == Pairs{{"n", "9223372036854775807"}});
  CHECK(Tags{{"n", true}}.pairs() == Pairs{{"n", "True"}});
}

// The examples of pynba's own documentation, and the packet of it in the corpus.
TEST_CASE("tags are flattened as pynba flattens them") {
  using Map = std::map<std::string, std::string>;
  CHECK(Tags{{"foo", "bar"}}.pairs() == Pairs{{"foo", "bar"}});
  CHECK(Tags{{"foo", 12}}.pairs() == Pairs{{"foo", "12"}});
  CHECK(Tags{{"foo", std::vector<int>{12, 13}}}.pairs() == Pairs{{"foo", "12"}, {"foo", "13"}});
  CHECK(Tags{{"foo", std::map<std::string, std::vector<int>>{{"foo", {12}}}}}.pairs() ==
        Pairs{{"foo.foo", "12"}});
  CHECK(Tags{{"foo", [] { return std::vector<std::string>{"bar", "baz"}; }}}.pairs() ==
        Pairs{{"foo", "bar"}, {"foo", "baz"}});
  CHECK(Tags{{"foo", std::map<int, std::vector<int>>{{42, {12}}}}}.pairs() == Pairs{{"foo.42", "12"}});
  CHECK(
      Tags{{"foo", "bar"}, {"baz", std::vector<const char*>{"seq1", "seq2"}}, {"qux", Map{{"map1", "val1"}}}}
          .pairs() == Pairs{{"baz", "seq1"}, {"baz", "seq2"}, {"foo", "bar"}, {"qux.map1", "val1"}});
}

TEST_CASE("tags take what the standard library has, nested, and what can be printed") {
  const std::map<std::string, std::map<std::string, std::set<int>>> deep{{"b", {{"c", {2, 1}}}},
                                                                         {"a", {{"d", {}}}}};
  CHECK(Tags{{"n", deep}}.pairs() == Pairs{{"n.b.c", "1"}, {"n.b.c", "2"}});
  CHECK(Tags{{"n", std::list<std::vector<int>>{{2}, {1, 2}}}}.pairs() == Pairs{{"n", "1"}, {"n", "2"}});
  CHECK(Tags{{"n", Point{7}}}.pairs() == Pairs{{"n", "x7"}});
  CHECK(Tags{{"n", 'c'}, {"s", std::string("text")}, {"v", std::string_view("view")}}.pairs() ==
        Pairs{{"n", "c"}, {"s", "text"}, {"v", "view"}});
  CHECK(Tags{{"n", [] { return [] { return 5; }; }}}.pairs() == Pairs{{"n", "5"}});
}

TEST_CASE("tags are written in braces as in Python") {
  // The example of pynba's documentation, as it stands there.
  CHECK(Tags{{"foo", "bar"}, {"baz", {"seq1", "seq2"}}, {"qux", {{"map1", "val1"}}}}.pairs() ==
        Pairs{{"baz", "seq1"}, {"baz", "seq2"}, {"foo", "bar"}, {"qux.map1", "val1"}});
  CHECK(Tags{{"n", {1, 0.5, true, "x"}}}.pairs() ==
        Pairs{{"n", "0.5"}, {"n", "1"}, {"n", "True"}, {"n", "x"}});
  CHECK(Tags{{"n", {{"a", {1, 2}}, {"b", {{"c", 3}}}}}}.pairs() ==
        Pairs{{"n.a", "1"}, {"n.a", "2"}, {"n.b.c", "3"}});
  CHECK(Tags{{"n", {{42, "x"}, {true, std::vector<int>{5, 6}}}}}.pairs() ==
        Pairs{{"n.42", "x"}, {"n.True", "5"}, {"n.True", "6"}});
  CHECK(Tags{{"n", {{1, 2, 3}, {4, 5}}}}.pairs() ==
        Pairs{{"n", "1"}, {"n", "2"}, {"n", "3"}, {"n", "4"}, {"n", "5"}});
  CHECK(Tags{{"n", {"one"}}}.pairs() == Pairs{{"n", "one"}});
  CHECK(Tags{{"n", {}}}.pairs().empty());
}

TEST_CASE("tags take what may be nothing, enumerators and paths") {
  enum class Colour : std::uint8_t { kRed = 3 };
  enum Plain { kFive = 5 };
  CHECK(Tags{{"n", Colour::kRed}, {"p", kFive}}.pairs() == Pairs{{"n", "3"}, {"p", "5"}});
  CHECK(Tags{{"n", std::optional<int>(4)}}.pairs() == Pairs{{"n", "4"}});
  CHECK(Tags{{"n", std::optional<std::string>()}}.pairs() == Pairs{{"n", ""}});
  CHECK(Tags{{"n", std::optional(std::vector{1, 2})}}.pairs() == Pairs{{"n", "1"}, {"n", "2"}});
  const int number = 7;
  const int* none = nullptr;
  CHECK(Tags{{"n", &number}, {"o", none}, {"u", std::make_unique<int>(8)}}.pairs() ==
        Pairs{{"n", "7"}, {"o", ""}, {"u", "8"}});
  const char* missing = ::getenv("MMSTATS_NO_SUCH_VARIABLE");
  char* missing_too = nullptr;
  CHECK(Tags{{"n", missing}, {"o", missing_too}, {"s", {missing, "x"}}}.pairs() ==
        Pairs{{"n", ""}, {"o", ""}, {"s", ""}, {"s", "x"}});
  CHECK(Tags().add("n", missing).pairs() == Pairs{{"n", ""}});
  CHECK(Tags{{"n", std::vector<const char*>{missing}}}.pairs() == Pairs{{"n", ""}});
  CHECK(Tags{{"n", std::function<int()>()}}.pairs() == Pairs{{"n", ""}});
  const std::filesystem::path path = "/srv/app/x y";
  CHECK(Tags{{"n", path}}.pairs() == Pairs{{"n", "/srv/app/x y"}});
  CHECK(Tags{{"n", std::map<std::filesystem::path, std::filesystem::path>{{path, "b"}}}}.pairs() ==
        Pairs{{"n./srv/app/x y", "b"}});
}

TEST_CASE("tags that are set replace those of their names") {
  Tags tags{{"a", {1, 2}}, {"b", 3}};
  CHECK(tags.set({{"a", 4}, {"c", 5}}).pairs() == Pairs{{"a", "4"}, {"b", "3"}, {"c", "5"}});
  Request request;
  request.add_tags({{"a", {1, 2}}, {"b", 3}});
  request.add_tags({{"a", 1}, {"b", 4}});
  const auto tags_of = [&] {
    Pairs pairs;
    for (const auto& tag : request.tags) {
      pairs.emplace_back(request.dictionary[tag.name], request.dictionary[tag.value]);
    }
    return pairs;
  };
  CHECK(tags_of() == Pairs{{"a", "1"}, {"a", "2"}, {"b", "3"}, {"b", "4"}});
  request.set_tags({{"a", 7}, {"c", 1}});
  CHECK(tags_of() == Pairs{{"b", "3"}, {"b", "4"}, {"a", "7"}, {"c", "1"}});
}

TEST_CASE("tags are sorted and each pair is there once") {
  Tags tags{{"b", 2}, {"a", "x"}, {"b", 2}, {"b", 10}};
  CHECK(tags.pairs() == Pairs{{"a", "x"}, {"b", "10"}, {"b", "2"}});
  tags.add("a", "x").add("a", "a").add(Tags{{"c", 1}, {"b", 2}});
  CHECK(tags.pairs() == Pairs{{"a", "a"}, {"a", "x"}, {"b", "10"}, {"b", "2"}, {"c", "1"}});
}

TEST_CASE("a dictionary holds each text once, as on the wire") {
  Dictionary dictionary;
  CHECK(dictionary.add("a") == 0);
  CHECK(dictionary.add("bc") == 1);
  CHECK(dictionary.add("a") == 0);
  CHECK(dictionary.wire() ==
        "\x7a\x01"
        "a\x7a\x02"
        "bc");
  // Lengths from which a varint has two bytes, and three.
  for (const std::size_t length : {127U, 128U, 16383U, 16384U}) {
    const std::string text(length, 'x');
    const auto index = dictionary.add(text);
    CHECK(dictionary[index] == text);
    CHECK(dictionary.add(text) == index);
  }
  // More than it has room for at first.
  for (int i = 0; i < 10'000; ++i) dictionary.add(std::to_string(i));
  CHECK(dictionary.size() == 10'006);
  for (int i = 0; i < 10'000; ++i) CHECK(dictionary[dictionary.add(std::to_string(i))] == std::to_string(i));
  CHECK(dictionary.size() == 10'006);
  dictionary.clear();
  CHECK(dictionary.size() == 0);
  CHECK(dictionary.wire().empty());
  CHECK(dictionary.add("bc") == 0);
}

TEST_CASE("texts that servers cannot take are made readable") {
  using namespace std::string_literals;
  // What is UTF-8 and what is not: as Python's bytes.decode() judges.
  const struct {
    std::string text, want;
  } rows[] = {
      {"plain"s, "plain"s},
      {"a line\nof \x7f"s, "a line\nof \x7f"s},
      {"ends\0here"s, "ends\\x00here"s},
      {"12345678\0"s, "12345678\\x00"s},
      {"caf\xC3\xA9 and more"s, "caf\xC3\xA9 and more"s},
      {"caf\xE9"s, "caf\\xE9"s},
      {"\xF0\x9F\x98\x80"s, "\xF0\x9F\x98\x80"s},
      {"\xC0\x80"s, "\\xC0\\x80"s},
      {"\xED\xA0\x80"s, "\\xED\\xA0\\x80"s},
      {"\xF4\x90\x80\x80"s, "\\xF4\\x90\\x80\\x80"s},
      {"\xE2\x82"s, "\\xE2\\x82"s},
      {"\xFF\xFE"s, "\\xFF\\xFE"s},
      {"\xFF, and eight bytes that are plain"s, "\\xFF, and eight bytes that are plain"s},
      {"plain text \xFF within plain text"s, "plain text \\xFF within plain text"s},
  };
  for (const auto& row : rows) {
    CAPTURE(row.want);
    CHECK(pinba::escaped(row.text) == row.want);
    CHECK(pinba::is_clean(row.text) == (row.text == row.want));
    Dictionary dictionary;
    CHECK(dictionary[dictionary.add(row.text)] == row.want);
    CHECK(dictionary.add(row.want) == 0);
    CHECK(dictionary.escaped_count() == (row.text == row.want ? 0 : 1));
  }
  Dictionary dictionary;
  CHECK(dictionary[dictionary.add("")] == "<empty>");
  CHECK(dictionary.filled_count() == 1);
}

TEST_CASE("timers with equal tags are one, with their hits and seconds added up") {
  Request request;
  TimerMerge merge;
  merge.add(request, Tags{{"group", "mysql"}, {"op", "insert"}}, 1, 0.25, 0.5, 0.125);
  merge.add(request, Tags{{"group", "memcache"}, {"op", "get"}}, 1, 0.25);
  merge.add(request, Tags{{"op", "insert"}, {"group", "mysql"}}, 2, 0.5, 0.5, 0.5);
  merge.add(request, Tags{{"op", "insert"}}, 1, 1);
  merge.add(request, Tags{{"op", "none"}}, 0, 1);
  CHECK(timers_of(request) == std::vector<std::string>{"3 0.750000 group=mysql op=insert",
                                                       "1 0.250000 group=memcache op=get",
                                                       "1 1.000000 op=insert"});
  CHECK(request.timers[0].ru_utime == 1);
  CHECK(request.timers[0].ru_stime == 0.625);

  // As the extension does it, whatever the order of the tags.
  const auto a = request.intern("a", "1");
  const auto b = request.intern("b", "2");
  merge.add(request, std::vector{a, b}, 1, 0.5);
  merge.add(request, std::vector{b, a}, 1, 0.5);
  CHECK(timers_of(request).back() == "2 1.000000 a=1 b=2");
}

namespace {

// As Pinba2 has them: an entry of n hits and v seconds is n times v / n.
double percentile(const Request& request, double share) {
  std::vector<std::pair<double, std::uint64_t>> times;
  std::uint64_t all = 0;
  for (const auto& timer : request.timers) {
    times.emplace_back(timer.value / timer.hit_count, timer.hit_count);
    all += timer.hit_count;
  }
  std::ranges::sort(times);
  double left = share * static_cast<double>(all);
  for (const auto& [time, hits] : times) {
    left -= static_cast<double>(hits);
    if (left <= 0) return time;
  }
  return times.back().first;
}

}  // namespace

TEST_CASE("a server finds the percentiles of equal timers, few or many") {
  const Tags tags{{"op", "get"}};
  {
    Request request;
    TimerMerge merge(pinba::EqualTimers::kByValue);
    for (int i = 0; i < 98; ++i) merge.add(request, tags, 1, 0.001);
    for (int i = 0; i < 2; ++i) merge.add(request, tags, 1, 1);
    CHECK(percentile(request, 0.5) == doctest::Approx(0.001));
    CHECK(percentile(request, 0.99) == doctest::Approx(1));
    CHECK(request.timers.size() == TimerMerge::kApart + 2);
  }
  // Few are as they are.
  {
    Request request;
    TimerMerge merge(pinba::EqualTimers::kByValue);
    for (std::uint32_t i = 0; i < TimerMerge::kApart; ++i) merge.add(request, tags, 1, 1 + i / 1000.0);
    CHECK(request.timers.size() == TimerMerge::kApart);
    merge.add(request, Tags{{"op", "set"}}, 1, 1);
    CHECK(request.timers.size() == TimerMerge::kApart + 1);
    for (int i = 0; i < 100; ++i) merge.add(request, tags, 1, 1);
    CHECK(request.timers.size() == TimerMerge::kApart + 2);
  }
  // From 1 ms to 1 s, any.
  {
    Request request;
    TimerMerge merge(pinba::EqualTimers::kByValue);
    for (int round = 0; round < 2; ++round) {
      request.clear();
      merge.clear();
      std::vector<double> times;
      double sum = 0;
      for (int i = 0; i < 10'000; ++i) times.push_back(std::pow(10.0, -3 + 3 * ((i * 7919) % 10'000) / 1e4));
      for (const double time : times) {
        merge.add(request, tags, 1, time);
        sum += time;
      }
      std::ranges::sort(times);
      CHECK(request.timers.size() <= TimerMerge::kMostEntries);
      for (const double share : {0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999}) {
        CAPTURE(share);
        CHECK(percentile(request, share) ==
              doctest::Approx(times[static_cast<std::size_t>(share * 10'000)]).epsilon(0.04));
      }
      double got = 0;
      std::uint64_t hits = 0;
      for (const auto& timer : request.timers) {
        got += timer.value;
        hits += timer.hit_count;
      }
      CHECK(hits == 10'000);
      CHECK(got == doctest::Approx(sum));
    }
  }
}

TEST_CASE("equal timers of any times have no more than two hundred entries, and none is lost") {
  Request request;
  TimerMerge merge(pinba::EqualTimers::kByValue);
  std::uint64_t want = 0;
  for (int i = 0; i < 5000; ++i) {
    // Up and down, from 10^-30 to 10^30, and what is no time.
    const double time = i % 100 == 0 ? 0 : std::pow(10.0, (i * 17) % 61 - 30 + i / 5000.0);
    merge.add(request, Tags{{"a", 1}}, 1 + i % 3, time);
    want += 1 + i % 3;
  }
  CHECK(request.timers.size() == TimerMerge::kMostEntries);
  std::uint64_t hits = 0;
  for (const auto& timer : request.timers) hits += timer.hit_count;
  CHECK(hits == want);
  // What comes then goes to the nearest.
  const auto before = request.timers;
  merge.add(request, Tags{{"a", 1}}, 1, 1e35);
  std::size_t largest = 0;
  for (std::size_t i = TimerMerge::kApart; i < before.size(); ++i) {
    if (before[i].value / before[i].hit_count > before[largest].value / before[largest].hit_count)
      largest = i;
  }
  CHECK(request.timers[largest].hit_count == before[largest].hit_count + 1);
}

TEST_CASE("ten thousand sets of tags are kept apart") {
  Request request;
  TimerMerge merge;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 10'000; ++i) merge.add(request, Tags{{"n", i}, {"m", i % 7}}, 1, 1);
  }
  REQUIRE(request.timers.size() == 10'000);
  for (const auto& timer : request.timers) CHECK(timer.hit_count == 2);
  request.clear();
  merge.clear();
  merge.add(request, Tags{{"n", 5}}, 1, 1);
  CHECK(timers_of(request) == std::vector<std::string>{"1 1.000000 n=5"});
}

TEST_CASE("more hits than an entry holds become several entries, and none is lost") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  Request request;
  TimerMerge merge;
  merge.add(request, Tags{{"n", 1}}, kMost - 1, 2);
  merge.add(request, Tags{{"n", 1}}, 3, 4);
  merge.add(request, Tags{{"n", 1}}, 2 * kMost + 5, 8);
  merge.add(request, Tags{{"n", 1}}, 1, 16);
  std::uint64_t hits = 0;
  double value = 0;
  for (const auto& timer : request.timers) {
    hits += timer.hit_count;
    value += timer.value;
    CHECK(timer.hit_count > 0);
  }
  CHECK(hits == 3 * kMost + 8);
  CHECK(value == 30);
  CHECK(request.timer_tags.size() == request.timers.size());
}
