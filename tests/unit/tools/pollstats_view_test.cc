#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <clocale>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/buckets.h"
#include "collect/distributions.h"
#include "collect/edit_described.h"
#include "made_file.h"
#include "temporary_folder.h"
#include "tools/pollstats/distribution_spans.h"
#include "tools/pollstats/live_view.h"
#include "tools/pollstats/processes.h"
#include "tools/pollstats/samples.h"
#include "tools/pollstats/series_processes.h"
#include "tools/pollstats/text_cells.h"
#include "tools/shared/command_name.h"
#include "unused_pid.h"

using namespace pollstats;
using namespace std::chrono_literals;
using mmstats::Kind;
using mmstats::Series;

namespace {

using Wish = LiveView::Wish;

Key key(Key::Name name) { return {name, 0}; }
Key key(char32_t character) { return {Key::Name::kCharacter, character}; }

// A view of series, without a terminal.
struct Shown {
  std::vector<Series> series;
  std::vector<std::unique_ptr<mmstats::Distribution>> distributions;
  Samples samples{kHistory};
  std::chrono::steady_clock::time_point now{100s};
  Facts facts;
  LiveView view;

  explicit Shown(std::size_t prefix = 0, bool unicode = true) : view(prefix, unicode, 1s) {
    facts.time = 1700000000;
    facts.clock = "12:34:56";
    facts.files = 3;
    std::setlocale(LC_CTYPE, unicode ? "C.UTF-8" : "C");
  }

  void add(const std::string& name, Kind kind, double value) {
    Series made;
    edit(made)->name = name;
    made.kind = kind;
    made.present = true;
    series.push_back(made);
    set(series.size() - 1, value);
  }
  void set(std::size_t index, double value) {
    series[index].value = value;
    if (series[index].kind != Kind::kCounter) return;
    series[index].integral = true;
    series[index].total = static_cast<std::uint64_t>(value);
  }
  // Counts values of a histogram, of which a worker publishes the count and the least.
  void add_histogram(const std::string& name, const std::vector<double>& values) {
    add(name + ".min", Kind::kGauge, 1);
    add(name + ".count", Kind::kCounter, static_cast<double>(values.size()));
    add(name + ".p99", Kind::kGauge, 1);
    auto made = std::make_unique<mmstats::Distribution>();
    edit(*made)->name = name;
    edit(*made)->unit = "seconds";
    edit(*made)->help = "Time";
    made->shown = true;
    for (const double value : values) made->interval.add(value);
    for (auto one = series.end() - 3; one != series.end(); ++one)
      one->distribution = static_cast<std::int32_t>(distributions.size());
    distributions.push_back(std::move(made));
  }
  void look() {
    now += 1s;
    samples.take(series, now);
    view.take(series, distributions, samples, facts);
  }
  void type(std::string_view ascii) {
    for (const char c : ascii) view.press(key(static_cast<char32_t>(c)));
  }
  std::vector<std::string> lines(std::size_t width = 80, std::size_t height = 24) {
    std::vector<std::string> out;
    for (const auto& line : view.compose(width, height).lines) {
      std::string text;
      for (const Span& span : line) text += span.text;
      out.push_back(text);
    }
    return out;
  }
  // First words of the rows.
  std::vector<std::string> labels(std::size_t width = 80, std::size_t height = 24) {
    auto all = lines(width, height);
    std::vector<std::string> out;
    for (std::size_t i = 2; i + 2 < all.size(); ++i) {
      if (!all[i].empty()) out.push_back(all[i].substr(0, all[i].find(' ')));
    }
    return out;
  }
  std::string selected() {
    for (const auto& line : view.compose(80, 24).lines) {
      if (!line.empty() && line[0].style == Style::kSelected)
        return line[0].text.substr(0, line[0].text.find(' '));
    }
    return {};
  }
};

struct FewSeries : Shown {
  FewSeries() {
    add("web.requests", Kind::kCounter, 1000);
    add("web.errors", Kind::kCounter, 50);
    add("db.pool", Kind::kGauge, 8);
    add("db.queries", Kind::kCounter, 4000);
    look();
    set(0, 1100);
    set(1, 50);
    set(2, 6);
    set(3, 4010);
    look();
  }
};

struct ManySeries : Shown {
  ManySeries() {
    for (int i = 0; i < 100; ++i) add("s" + std::to_string(100 + i), Kind::kGauge, i);
    look();
  }
};

using Labels = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(FewSeries, "a row has label, value, rate, change and curve") {
  const auto all = lines(100, 12);
  REQUIRE(all.size() == 12);
  CHECK(all[0] == "pollstats  4 series  3 files  every 1 s" + std::string(53, ' ') + "12:34:56");
  CHECK(all[1].starts_with("LABEL▲"));
  CHECK(all[2].starts_with("db.pool                    6                      -2 ▅"));
  CHECK(all[5].starts_with("web.requests           1,100         100         100 ▅"));
  CHECK(all[10] == "db.pool  gauge");
  CHECK(all[11] ==
        "q Quit  ? Help  / Filter  n v r c Sort  Enter By process  p Processes  Space Pause  - + Delay");
}

TEST_CASE_FIXTURE(FewSeries, "series are sorted by name, value, rate or change, and backwards") {
  CHECK(labels() == Labels{"db.pool", "db.queries", "web.errors", "web.requests"});
  type("n");
  CHECK(labels() == Labels{"web.requests", "web.errors", "db.queries", "db.pool"});
  type("v");
  CHECK(labels() == Labels{"db.queries", "web.requests", "web.errors", "db.pool"});
  type("v");
  CHECK(labels() == Labels{"db.pool", "web.errors", "web.requests", "db.queries"});
  type("r");
  CHECK(labels() == Labels{"web.requests", "db.queries", "web.errors", "db.pool"});
  type("r");  // what has no rate stays last
  CHECK(labels() == Labels{"web.errors", "db.queries", "web.requests", "db.pool"});
  type("c");
  CHECK(labels() == Labels{"web.requests", "db.queries", "web.errors", "db.pool"});
  CHECK(lines()[1].find("CHANGE▼") != std::string::npos);
}

TEST_CASE_FIXTURE(Shown, "numbers in names are sorted as numbers") {
  for (const char* name : {"w10", "w9", "w1"}) add(name, Kind::kGauge, 1);
  look();
  CHECK(labels() == Labels{"w1", "w9", "w10"});
}

TEST_CASE_FIXTURE(FewSeries, "typing narrows the series down") {
  type("/");
  type("DB");
  CHECK(labels() == Labels{"db.pool", "db.queries"});
  CHECK(lines().back().starts_with("Filter: DB"));
  CHECK(view.compose(80, 24).cursor->cell == 10);
  type(" q");  // all words
  CHECK(labels() == Labels{"db.queries"});
  view.press(key(Key::Name::kBackspace));
  view.press(key(Key::Name::kBackspace));
  CHECK(labels() == Labels{"db.pool", "db.queries"});
  view.press(key(Key::Name::kEnter));
  CHECK(lines().back().starts_with("q Quit"));
  CHECK(lines()[0].find("/DB") != std::string::npos);
  CHECK(labels() == Labels{"db.pool", "db.queries"});
  view.press(key(Key::Name::kEscape));
  CHECK(labels().size() == 4);
}

TEST_CASE_FIXTURE(FewSeries, "a filter may be a pattern, and need not be complete") {
  type("/");
  type("b.*r");
  CHECK(labels() == Labels{"db.queries", "web.errors", "web.requests"});
  view.press(key(char32_t{0x15}));  // Ctrl-U
  CHECK(labels().size() == 4);
  type("[");
  CHECK(labels() == Labels{"No"});
  CHECK(lines()[2] == "No series passes the filter; Esc clears it.");
  type("wd]b.e");
  CHECK(labels() == Labels{"No"});
}

TEST_CASE_FIXTURE(Shown, "a filter may have any letters") {
  add("web.naïve", Kind::kGauge, 1);
  add("web.other", Kind::kGauge, 1);
  look();
  type("/");
  view.press(key(U'ï'));
  CHECK(labels() == Labels{"web.naïve"});
  view.press(key(Key::Name::kBackspace));
  CHECK(labels().size() == 2);
}

TEST_CASE_FIXTURE(FewSeries, "new series pass the filter or not as old ones do") {
  type("/");
  type("db");
  add("db.late", Kind::kGauge, 1);
  add("web.late", Kind::kGauge, 1);
  look();
  CHECK(labels() == Labels{"db.late", "db.pool", "db.queries"});
}

TEST_CASE_FIXTURE(FewSeries, "series that nobody has at the moment are not shown") {
  series[2].present = false;
  look();
  CHECK(labels() == Labels{"db.queries", "web.errors", "web.requests"});
}

TEST_CASE_FIXTURE(ManySeries, "keys move the cursor, and the rows follow it") {
  lines(80, 14);  // ten rows
  struct Row {
    Key pressed;
    std::string first, selected;
  };
  const auto pressed = [](Key::Name name) { return key(name); };
  const std::vector<Row> rows{
      {pressed(Key::Name::kDown), "s100", "s101"},
      {key(U'j'), "s100", "s102"},
      {pressed(Key::Name::kUp), "s100", "s101"},
      {key(U'k'), "s100", "s100"},
      {pressed(Key::Name::kUp), "s100", "s100"},
      {pressed(Key::Name::kPageDown), "s110", "s110"},
      {pressed(Key::Name::kDown), "s110", "s111"},
      {pressed(Key::Name::kPageUp), "s100", "s101"},
      {pressed(Key::Name::kEnd), "s190", "s199"},
      {pressed(Key::Name::kPageDown), "s190", "s199"},
      {pressed(Key::Name::kHome), "s100", "s100"},
      {key(U'G'), "s190", "s199"},
      {key(U'g'), "s100", "s100"},
      {key(char32_t{6}), "s110", "s110"},
      {key(char32_t{2}), "s100", "s100"},
  };
  for (const Row& row : rows) {
    CHECK(view.press(row.pressed) == Wish::kNothing);
    const auto all = lines(80, 14);
    CHECK(all[2].starts_with(row.first));
    CHECK(all[12].starts_with(row.selected));  // the line about it
  }
}

TEST_CASE_FIXTURE(ManySeries, "the cursor stays on a row when there are fewer") {
  lines(80, 14);
  view.press(key(Key::Name::kEnd));
  type("/");
  type("s10");
  CHECK(labels(80, 14).size() == 10);
  CHECK(selected() == "s100");
}

TEST_CASE_FIXTURE(FewSeries, "keys that main has to answer") {
  CHECK(view.press(key(U'q')) == Wish::kLeave);
  CHECK(view.press(key(char32_t{3})) == Wish::kLeave);
  CHECK(view.press(key(char32_t{4})) == Wish::kLeave);
  CHECK(view.press(key(char32_t{26})) == Wish::kSuspend);
  CHECK(view.press(key(char32_t{12})) == Wish::kRepaint);
  CHECK(view.press(key(Key::Name::kGone)) == Wish::kLeave);
  type("/");
  CHECK(view.press(key(U'q')) == Wish::kNothing);  // it is a letter now
  CHECK(view.press(key(char32_t{3})) == Wish::kLeave);
}

TEST_CASE_FIXTURE(FewSeries, "it can be paused, and the delay changed in steps") {
  type(" ");
  CHECK(view.paused());
  CHECK(lines()[0].ends_with("PAUSED"));
  type(" ");
  CHECK_FALSE(view.paused());
  type("+");
  CHECK(view.delay() == 2s);
  type("---");
  CHECK(view.delay() == 200ms);
  CHECK(lines()[0].find("every 0.2 s") != std::string::npos);
  type("-----");
  CHECK(view.delay() == 100ms);
  type("++++++++++++++");
  CHECK(view.delay() == 60s);
}

TEST_CASE_FIXTURE(FewSeries, "no line is wider than the screen, and there are as many as it has") {
  add("web.日本語." + std::string(300, 'x'), Kind::kCounter, 1e15);
  add("日本語日本語日本語日本語", Kind::kTimestamp, 1700000000 - 90);
  add(std::string(65535, '\x1b'), Kind::kGauge, -1e300);
  edit(series.back())->help = std::string(1000, 'h');
  facts.failed = 12;
  facts.dead = 7;
  facts.complaint = "/run/mmstats/x: is damaged \x1b[2J " + std::string(200, 'y');
  look();
  view.take({Process{{{17, {}}, 1e9, mmstats::OwnerState::kAlive, 3}, "web\x1b"},
             Process{{{0, "/p"}, 0, {}, 1}, "p"}});
  for (const char* keys : {"", "/filter", "\x1bp"}) {
    for (const char* at = keys; *at != '\0'; ++at) {
      view.press(*at == '\x1b' ? key(Key::Name::kEscape) : key(static_cast<char32_t>(*at)));
    }
    for (const std::size_t width : {1U, 2U, 5U, 13U, 14U, 20U, 39U, 40U, 60U, 80U, 132U, 500U}) {
      for (const std::size_t height : {1U, 2U, 3U, 4U, 5U, 8U, 24U, 100U}) {
        const auto all = lines(width, height);
        CAPTURE(width);
        CAPTURE(height);
        CHECK(all.size() == height);
        for (const auto& line : all) {
          CHECK(cells(line) <= width);
          CHECK(line.find('\x1b') == std::string::npos);
        }
      }
    }
  }
}

TEST_CASE_FIXTURE(FewSeries, "a small screen has the rows, what is now, and the most important keys") {
  CHECK(lines(20, 5) == Labels{"pollstats   12:34:56", "LABEL▲           NOW", "db.pool            6",
                               "db.queries      10/s", "q Quit  ? Help"});
  CHECK(lines(20, 1) == Labels{"db.pool            6"});
}

TEST_CASE_FIXTURE(FewSeries, "a wide screen has whole labels and the longest curve") {
  add(std::string(120, 'x'), Kind::kGauge, 1);
  look();
  const auto all = lines(250, 24);
  CHECK(all[1].find("HISTORY") == 122 + 36 + 1);
  CHECK(all[6].starts_with(std::string(120, 'x') + "  "));
}

TEST_CASE_FIXTURE(FewSeries, "what went wrong is told until a key is pressed") {
  facts.failed = 1;
  facts.complaint = "/x: is damaged";
  look();
  CHECK(lines()[0].find("1 problem") != std::string::npos);
  CHECK(lines()[22] == "/x: is damaged");
  type("k");
  CHECK(lines()[22] == "db.pool  gauge");
}

TEST_CASE_FIXTURE(Shown, "the line below tells what a file says of the series") {
  add("web.bytes", Kind::kCounter, 1);
  edit(series[0])->unit = "bytes";
  edit(series[0])->help = "Size of\x1b all answers";
  look();
  CHECK(lines()[22] == "web.bytes  counter, bytes: Size of\\x1B all answers");
}

TEST_CASE_FIXTURE(Shown, "the line below names a family and its dimensions") {
  add("web.hits.GET.\x1b%2E\"x", Kind::kCounter, 1);
  edit(series[0])->family = "web.hits";
  edit(series[0])->dimensions = {{"method", "GET"}, {"status", "\x1b.\"x"}};
  add_histogram("web.time.PUT", {1.5});
  edit(*distributions[0])->family = "web.time";
  edit(*distributions[0])->dimensions = {{"method", "PUT"}};
  look();
  CHECK(lines()[22] == R"(web.hits{method="GET",status="\\x1B.\"x"}  counter)");
  type("j");
  CHECK(lines(120)[22].starts_with(R"(web.time{method="PUT"}  mean 1.5)"));
}

TEST_CASE_FIXTURE(Shown, "a key groups families by one dimension after another") {
  add("plain", Kind::kCounter, 1);
  look();
  CHECK(lines()[23] == "q Quit  ? Help  / Filter  n v r c Sort  Enter By process  p Processes");
  CHECK(view.press(key(U'b')) == Wish::kNothing);
  CHECK(lines()[22] == "No series here has dimensions.");
  add("web.hits.GET.404", Kind::kCounter, 1);
  edit(series.back())->family = "web.hits";
  edit(series.back())->dimensions = {{"method", "GET"}, {"status", "404"}};
  look();
  CHECK(lines()[23] == "q Quit  ? Help  / Filter  n v r c Sort  Enter By process  p Processes  b Group");
  const std::vector<std::pair<std::optional<By>, std::string>> steps{{By{"method"}, "  by method  "},
                                                                     {By{"status"}, "  by status  "},
                                                                     {By{}, "  all together  "},
                                                                     {{}, "pollstats  2 series"}};
  for (const auto& [by, title] : steps) {
    CHECK(view.press(key(U'b')) == Wish::kChoose);
    CHECK(view.by() == by);
    CHECK(lines()[0].find(title) != std::string::npos);
  }
  // What the command line asked for comes again.
  LiveView asked(0, true, 1s, {.by = By{"status", "method"}, .where = {{"status", "4*"}}, .labels = {}});
  asked.take(series, distributions, samples, facts);
  CHECK(asked.compose(80, 24).lines[0][2].text == "by status,method");
  CHECK(asked.compose(80, 24).lines[0][4].text == "where status=4*");
  asked.begin_anew();
  asked.take({}, {}, samples, facts);
  CHECK(asked.compose(80, 24).lines[2][0].text == "No series has status=4*.");
  asked.take(series, distributions, samples, facts);
  std::vector<std::optional<By>> seen;
  for (int i = 0; i < 5; ++i) {
    asked.press(key(U'b'));
    seen.push_back(asked.by());
  }
  CHECK(seen == std::vector<std::optional<By>>{By{"method"}, By{"status"}, By{}, {}, By{"status", "method"}});
}

TEST_CASE_FIXTURE(Shown, "series that share a name are shown with their dimensions") {
  add("web.q.x", Kind::kCounter, 1);
  for (const char* dimension : {"a", "b"}) {
    add("web.q.x", Kind::kCounter, 1);
    edit(series.back())->family = "web.q";
    edit(series.back())->dimensions = {{dimension, "x"}};
  }
  add("web.other", Kind::kCounter, 1);
  look();
  CHECK(labels() == Labels{"web.other", "web.q.x", R"(web.q{a="x"})", R"(web.q{b="x"})"});
}

TEST_CASE("a dimension of --where that no file has is named where there is no row") {
  LiveView view(0, true, 1s, {.by = {}, .where = {{"staus", "*"}}, .labels = {}});
  Facts facts;
  facts.files = 1;
  facts.unknown = "no file has the dimension staus";
  view.take({}, {}, Samples{4}, facts);
  CHECK(view.compose(80, 24).lines[2][0].text == "No series has staus=*: no file has the dimension staus.");
}

TEST_CASE("a prefix that is longer than what is left of a label takes nothing away") {
  Shown shown(std::string_view("web.hits.GET.").size());
  shown.add("web.hits.404", Kind::kCounter, 1);
  edit(shown.series[0])->family = "web.hits";
  edit(shown.series[0])->dimensions = {{"status", "404"}};
  shown.add("web.hits", Kind::kCounter, 1);
  edit(shown.series[1])->family = "web.hits";
  shown.look();
  CHECK(shown.labels() == Labels{"web.hits", "web.hits.404"});
}

TEST_CASE_FIXTURE(Shown, "a histogram is one row, of what came since the last scan") {
  // Of each power of two from 1 to 8 more than of the one before, and one far above.
  std::vector<double> values{300};
  for (int power = 0; power < 4; ++power) values.insert(values.end(), 1U << (2 * power), 1.5 * (1 << power));
  add("web.hits", Kind::kCounter, 7);
  add_histogram("web.latency", values);
  add("web.latency.sum", Kind::kGauge, 3);
  add("web.p99", Kind::kGauge, 3);  // which is none of a histogram
  look();
  set(2, 1086);
  look();
  CHECK(labels() == Labels{"web.hits", "web.latency", "web.latency.sum", "web.p99"});
  const auto row = lines()[3];
  CHECK(row.starts_with("web.latency            1,086       1,000 p50 12.1 s  p99 5m 0s   "));
  CHECK(row.ends_with(" ▁▁▃█ ▁         "));
  CHECK(lines(104)[3].find(" p50 12.1 s  p90 12.1 s  p99 5m 0s   max 5m 0s   ▁▁▃█ ▁ ") != std::string::npos);
  // Less room: of the numbers the most important ones.
  CHECK(lines(60)[3].ends_with(" p99 5m 0s   ▁▁▃█ ▁ "));
  CHECK(lines(36)[3].find("1,000/s") != std::string::npos);
  type("j");
  CHECK(lines(120)[22] ==
        "web.latency  mean 13.8 s min 1.52 s p50 12.1 s p90 12.1 s p99 5m 0s p999 5m 0s max 5m 0s; "
        "histogram, seconds: "
        "Time");
  for (std::size_t width = 1; width < 150; ++width) {
    const auto all = lines(width);
    CHECK(std::ranges::all_of(all, [&](const std::string& line) { return cells(line) <= width; }));
  }

  // It is sorted by its count, and found by each label that it stands for.
  type("v");
  CHECK(labels().front() == "web.latency");
  type("/latency.c");
  CHECK(labels() == Labels{"web.latency"});
  view.press(key(Key::Name::kEscape));
  type("/*y.p99");
  CHECK(labels() == Labels{"web.latency"});
  view.press(key(Key::Name::kEscape));

  // Nothing in this interval: no numbers, as nobody knows any.
  distributions[0]->interval.clear();
  look();
  CHECK(lines()[2].find("p50") == std::string::npos);
  CHECK(lines()[2].starts_with("web.latency            1,086           0 "));
}

TEST_CASE_FIXTURE(Shown,
                  "a histogram may come after series with its labels, or have nothing but its buckets") {
  add("web.latency.count", Kind::kCounter, 1);
  look();
  CHECK(labels() == Labels{"web.latency.count"});
  add_histogram("db.latency", {1});
  look();
  CHECK(labels() == Labels{"db.latency", "web.latency.count"});
  // Somebody wants no more than series of it.
  distributions[0]->shown = false;
  view.begin_anew();
  look();
  CHECK(labels() == Labels{"db.latency.count", "db.latency.min", "db.latency.p99", "web.latency.count"});
}

TEST_CASE("powers of two share cells where there are few") {
  mmstats::BucketCounts counts;
  for (const int power : {3, 4, 5, 9})
    counts.add(std::ldexp(1.0, power + mmstats::buckets::kLowestExponent), static_cast<std::uint64_t>(power));
  CHECK(powers_in_use(counts, 5) == std::vector<double>{3, 4, 5, 0, 9});
  CHECK(powers_in_use(counts, 4) == std::vector<double>{7, 5, 9});
  CHECK(powers_in_use(counts, 1) == std::vector<double>{21});
  CHECK(powers_in_use(counts, 0).empty());
}

TEST_CASE_FIXTURE(Shown, "a moment is shown as the time since then") {
  add("at", Kind::kTimestamp, 1700000000 - 3700);
  add("then", Kind::kTimestamp, 1700000000 + 61);
  look();
  CHECK(lines()[2].starts_with("at                 1h 1m ago"));
  CHECK(lines()[3].starts_with("then                in 1m 1s"));
}

TEST_CASE("a terminal without Unicode gets none") {
  Shown shown(0, false);
  shown.add("web.日本", Kind::kGauge, 1);
  shown.add("x" + std::string(100, 'y'), Kind::kGauge, 2);
  shown.look();
  shown.look();
  for (const std::size_t width : {20U, 80U, 200U}) {
    for (const auto& line : shown.lines(width)) {
      CHECK(std::ranges::all_of(line, [](char c) { return c >= ' ' && c < 0x7F; }));
    }
  }
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

TEST_CASE("a prefix is left out") {
  Shown shown(4);
  shown.add("web.hits", Kind::kGauge, 1);
  shown.look();
  CHECK(shown.labels() == Labels{"hits"});
}

TEST_CASE_FIXTURE(FewSeries, "processes are marked and chosen") {
  const std::vector<Process> three{{{{1, {}}, 1700000000 - 61, mmstats::OwnerState::kAlive, 1}, "db"},
                                   {{{2, {}}, 1700000000 - 3700, mmstats::OwnerState::kDead, 4}, "web"},
                                   {{{0, "/x"}, 0, mmstats::OwnerState::kUnknown, 1}, "x"}};
  type("p");
  CHECK(view.shows_processes());
  view.take(three);
  auto all = lines();
  CHECK(all[0].starts_with("pollstats  3 processes"));
  CHECK(all[2].starts_with("[ ]         1 alive      1m 1s      1 db"));
  CHECK(all[3].starts_with("[ ]         2 dead       1h 1m      4 web"));
  CHECK(all[4].starts_with("[ ]         - unknown        -      1 x"));
  CHECK(all[23] == "Enter Watch these  Space Mark  a All  Esc Back  ? Help");

  SUBCASE("the one under the cursor, if none is marked") {
    view.press(key(Key::Name::kDown));
    CHECK(view.press(key(Key::Name::kEnter)) == Wish::kChoose);
    CHECK(view.chosen() == std::set<ProcessId>{{2, {}}});
    CHECK_FALSE(view.shows_processes());
    CHECK(lines()[0].find("1 process ") != std::string::npos);
  }
  SUBCASE("those that are marked") {
    type(" ");
    view.press(key(Key::Name::kEnd));
    type(" ");
    CHECK(lines()[2].starts_with("[x]"));
    CHECK(lines()[3].starts_with("[ ]"));
    CHECK(view.press(key(Key::Name::kEnter)) == Wish::kChoose);
    CHECK(view.chosen() == std::set<ProcessId>{{1, {}}, {0, "/x"}});
    type("p");
    CHECK(lines()[2].starts_with("[x]"));
    CHECK(view.press(key(U'a')) == Wish::kChoose);
    CHECK(view.chosen().empty());
  }
  SUBCASE("none, if it is left") {
    type(" ");
    CHECK(view.press(key(Key::Name::kEscape)) == Wish::kNothing);
    CHECK(view.chosen().empty());
    CHECK_FALSE(view.shows_processes());
  }
  SUBCASE("and the cursor stays with its process when others come") {
    view.press(key(Key::Name::kDown));
    auto four = three;
    four.insert(four.begin(), {{{9, {}}, 0, mmstats::OwnerState::kAlive, 1}, "a"});
    view.take(four);
    view.press(key(Key::Name::kEnter));
    CHECK(view.chosen() == std::set<ProcessId>{{2, {}}});
  }
}

TEST_CASE_FIXTURE(Shown, "numbers have their unit, and those that do not move are dim") {
  const auto make = [&](const char* name, Kind kind, double value, const char* unit) {
    add(name, kind, value);
    edit(series.back())->unit = unit;
  };
  make("a.sent", Kind::kCounter, 51'300'000, "bytes");
  make("b.memory", Kind::kGauge, 2'000, "bytes");
  make("c.time", Kind::kGauge, 0.0591, "seconds");
  make("d.busy", Kind::kGauge, 42, "percent");
  make("e.work", Kind::kCounter, 7300, "seconds");
  make("f.cups", Kind::kGauge, 12'345, "cups");
  look();
  set(0, 52'300'000);
  set(1, 1'250);
  set(4, 7302);
  look();
  const auto all = lines(100);
  CHECK(all[2].starts_with("a.sent               52.3 MB     1.00 MB     1.00 MB ▅"));
  CHECK(all[3].starts_with("b.memory             1.25 kB                  -750 B ▅"));
  CHECK(all[4].starts_with("c.time               59.1 ms                     0 s ▅"));
  CHECK(all[5].starts_with("d.busy                   42%                      0% ▅"));
  CHECK(all[6].starts_with("e.work                 2h 1m           2      2.00 s ▅"));
  CHECK(all[7].starts_with("f.cups                12,345                       0 ▅"));
  const auto narrow = lines(30);
  CHECK(narrow[2] == "a.sent               1.00 MB/s");
  CHECK(narrow[3] == "b.memory               1.25 kB");
  const Screen screen = view.compose(100, 24);
  for (const Span& span : screen.lines[4])
    if (span.text.ends_with("0 s")) CHECK(span.style == Style::kDim);
}

TEST_CASE_FIXTURE(FewSeries, "keys ask for help, which any key closes") {
  for (const Key& asks : {key(U'?'), key(U'h'), key(Key::Name::kHelp)}) {
    CHECK(view.press(asks) == Wish::kNothing);
    const auto all = lines();
    REQUIRE(all.size() == 24);
    CHECK(all[0] == "pollstats  Help");
    CHECK(all[23] == "Any key closes the help");
    CHECK(std::ranges::all_of(all, [](const std::string& line) { return cells(line) <= 80; }));
    // It is not cut where a terminal is as wide as most.
    const Screen wide = view.compose(200, 24);
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::string text;
      for (const Span& span : wide.lines[i]) text += span.text;
      CHECK(text.substr(0, text.find_last_not_of(' ') + 1) ==
            all[i].substr(0, all[i].find_last_not_of(' ') + 1));
    }
    // Also one that would leave.
    CHECK(view.press(key(U'q')) == Wish::kNothing);
    CHECK(lines()[1].starts_with("LABEL"));
  }
  // All keys of the last line are in it.
  type("?");
  const auto help = lines(200, 60);
  for (const char* named : {"q ", "/ ", "n v r c", "Enter", "p ", "b ", "Space", "-  +", "Mouse"})
    CHECK(std::ranges::any_of(
        help, [&](const std::string& line) { return line.starts_with(std::string("  ") + named); }));
  type("x");
  // While a filter is typed, they are letters.
  type("/h?");
  CHECK(lines().back().starts_with("Filter: h?"));
  view.press(key(Key::Name::kHelp));
  CHECK(lines()[0] == "pollstats  Help");
  CHECK(view.press(key(char32_t{3})) == Wish::kLeave);
}

TEST_CASE_FIXTURE(FewSeries, "the processes of a series are shown, the worst first") {
  const auto counted = [](std::uint64_t pid, const char* command, mmstats::OwnerState state,
                          std::uint64_t total, std::optional<double> rate) {
    ProcessRow row{{{{pid, {}}, 1700000000 - 61, state, 1}, command}};
    row.sample = {.kind = Kind::kCounter,
                  .present = true,
                  .whole = true,
                  .total = total,
                  .added = 0,
                  .value = static_cast<double>(total),
                  .change = {},
                  .rate = rate};
    row.past = {1, 2, 3};
    return row;
  };
  const std::vector<ProcessRow> rows{counted(1, "db", mmstats::OwnerState::kAlive, 30, 1.5),
                                     counted(2, "web", mmstats::OwnerState::kDead, 50, {}),
                                     counted(3, "web", mmstats::OwnerState::kAlive, 20, 7)};
  view.press(key(Key::Name::kDown));
  view.press(key(Key::Name::kEnter));
  REQUIRE(view.processes_of());
  CHECK(view.processes_of()->series == 3);  // db.queries
  view.take(rows);
  auto all = lines();
  CHECK(all[0].starts_with("pollstats  db.queries  3 processes "));
  CHECK(all[0].ends_with("12:34:56"));
  CHECK(all[1].starts_with("          PID STATE        AGE COMMAND      VALUE   RATE/s▼ HISTORY"));
  CHECK(all[2].starts_with("[ ]         3 alive      1m 1s web             20         7 ▃▆█"));
  CHECK(all[3].starts_with("[ ]         1 alive      1m 1s db              30      1.50 ▃▆█"));
  CHECK(all[4].starts_with("[ ]         2 dead       1m 1s web             50           ▃▆█"));
  CHECK(all[22] == "db.queries  counter");
  CHECK(all[23] == "Esc Back  ? Help  w n v r Sort  Space Mark  Enter Watch these  a All");
  CHECK(lines(40)[2].starts_with("[ ]         3 web"));
  CHECK(lines(40)[2].ends_with("       7/s"));

  SUBCASE("sorted as series are") {
    type("v");
    CHECK(lines()[2].starts_with("[ ]         2"));
    type("v");
    CHECK(lines()[2].starts_with("[ ]         3"));
    type("n");
    CHECK(lines()[2].starts_with("[ ]         1"));
    CHECK(lines()[1].find("COMMAND▲") != std::string::npos);
    type("w");
    CHECK(lines()[2].starts_with("[ ]         3"));
  }
  SUBCASE("what is no number is last, whatever comes between") {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    for (const std::size_t number : {3U, 20U}) {
      std::vector<ProcessRow> many;
      for (std::size_t i = 1; i <= number; ++i) {
        const auto rate = i % 2 == 0 ? kNan : static_cast<double>(i);
        many.push_back(counted(i, "web", mmstats::OwnerState::kAlive, i, rate));
        if (i % 4 == 0) many.back().sample.value = kNan;
      }
      view.take(many);
      const auto shown = lines();
      for (std::size_t i = 1; i <= (number + 1) / 2; ++i) {
        const std::size_t pid = number - (number % 2 == 0 ? 1 : 0) - 2 * (i - 1);
        CHECK(shown[i + 1].substr(3, 10) == fmt::format("{:>10}", pid));
      }
      CHECK(shown[number + 1].substr(3, 10) == fmt::format("{:>10}", number == 3 ? 2 : 20));
    }
  }
  SUBCASE("the cursor, once moved, stays with its process") {
    view.press(key(Key::Name::kDown));
    view.take({counted(1, "db", mmstats::OwnerState::kAlive, 30, 9), rows[1], rows[2]});
    CHECK(lines()[2].starts_with("[ ]         1"));
    CHECK(selected() == "[");
    CHECK(view.press(key(Key::Name::kEnter)) == Wish::kChoose);
    CHECK(view.chosen() == std::set<ProcessId>{{1, {}}});
  }
  SUBCASE("and left, back to the series, wherever it is then") {
    type(" ");
    view.press(key(Key::Name::kEscape));
    CHECK_FALSE(view.shows_processes());
    CHECK(view.chosen().empty());
    CHECK(selected() == "db.queries");
    view.press(key(Key::Name::kEnter));
    view.begin_anew();
    CHECK_FALSE(view.shows_processes());
  }
  SUBCASE("in every size") {
    for (const std::size_t width : {1U, 5U, 13U, 14U, 24U, 40U, 63U, 64U, 80U, 200U}) {
      for (const std::size_t height : {1U, 2U, 4U, 5U, 8U, 24U}) {
        const auto sized = lines(width, height);
        CHECK(sized.size() == height);
        CHECK(std::ranges::all_of(sized, [&](const std::string& line) { return cells(line) <= width; }));
      }
    }
  }
}

TEST_CASE_FIXTURE(Shown, "the processes of a histogram are sorted by their p99") {
  add_histogram("web.latency", {1});
  look();
  look();
  view.press(key(Key::Name::kEnter));
  REQUIRE(view.processes_of());
  CHECK(view.processes_of()->distribution == 0U);
  const auto timed = [](std::uint64_t pid, double seconds) {
    ProcessRow row{{{{pid, {}}, 0, mmstats::OwnerState::kAlive, 1}, "web"}};
    row.sample = {.kind = Kind::kCounter,
                  .present = true,
                  .whole = true,
                  .total = 9,
                  .added = 0,
                  .value = 9,
                  .change = {},
                  .rate = {}};
    auto made = std::make_shared<mmstats::Distribution>();
    edit(*made)->unit = "seconds";
    if (seconds > 0) made->interval.add(seconds);
    row.distribution = made;
    return row;
  };
  view.take({timed(1, 0.5), timed(2, 0), timed(3, 2)});
  CHECK(lines()[1].find("PERCENTILES▼") != std::string::npos);
  CHECK(lines()[2].starts_with("[ ]         3 "));
  CHECK(lines()[2].find(" p99 2.03 s ") != std::string::npos);
  CHECK(lines()[3].starts_with("[ ]         1 "));
  CHECK(lines()[4].starts_with("[ ]         2 "));
}

TEST_CASE_FIXTURE(ManySeries, "a mouse sorts, selects and scrolls") {
  lines(80, 14);  // ten rows
  const auto click = [&](std::size_t line, std::size_t cell) {
    CHECK(view.press({Key::Name::kClick, 0, line, cell}) == Wish::kNothing);
    return lines(80, 14);
  };
  CHECK(click(5, 3)[12].starts_with("s103"));
  CHECK(click(11, 79)[12].starts_with("s109"));
  // Lines that are no rows.
  CHECK(click(0, 0)[12].starts_with("s109"));
  CHECK(click(13, 0)[12].starts_with("s109"));
  // Each head from its left to its right end, with the blank before it.
  const std::string head = lines(80, 14)[1];
  CHECK(click(1, 0)[2].starts_with("s199"));  // LABEL, by which it was sorted: backwards
  const std::size_t value = 16;
  CHECK(click(1, value)[1].find("VALUE▼") != std::string::npos);
  CHECK(click(1, value + 11)[1].find("VALUE▲") != std::string::npos);
  CHECK(click(1, value + 12)[1].find("RATE/s▼") != std::string::npos);
  CHECK(click(1, 79)[1].find("RATE/s▼") != std::string::npos);  // the curve
  type("n");
  view.press({Key::Name::kWheelDown});
  CHECK(lines(80, 14)[2].starts_with("s103"));
  CHECK(lines(80, 14)[12].starts_with("s103"));  // the cursor stays where rows are seen
  for (int i = 0; i < 50; ++i) view.press({Key::Name::kWheelDown});
  CHECK(lines(80, 14)[2].starts_with("s190"));
  view.press({Key::Name::kWheelUp});
  CHECK(lines(80, 14)[2].starts_with("s187"));
  CHECK(lines(80, 14)[12].starts_with("s190"));
  // It may be the terminal's.
  CHECK(view.press(key(U'm')) == Wish::kMouse);
  CHECK_FALSE(view.uses_mouse());
  CHECK(view.press(key(U'm')) == Wish::kMouse);
  CHECK(view.uses_mouse());
}

TEST_CASE("what each process has of a series is known without another look at files") {
  TemporaryFolder folder;
  const auto pid = static_cast<std::uint32_t>(::getpid());
  const auto file = [](std::uint32_t owner, std::uint64_t hits, double level) {
    return MadeFile().buffered("hits", "Q", hits).buffered("level", "d", level).owner(owner, 4e9).padded();
  };
  const auto mine = "web-" + std::to_string(pid) + "-1.mmstats";
  folder.write(mine, file(pid, 100, 1.5));
  folder.write("web-" + std::to_string(pid) + "-2.mmstats", file(pid, 7, 2.5));
  folder.write("other-" + std::to_string(kUnusedPid) + ".mmstats", file(kUnusedPid, 30, 8));
  folder.write("third.mmstats", MadeFile().buffered("else", "Q", std::uint64_t{1}).padded());
  mmstats::Watch watch({.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}}, mmstats::Rules());
  SeriesProcesses processes(4);
  std::chrono::steady_clock::time_point now{100s};
  const auto scan = [&] {
    now += 2s;
    watch.scan(std::chrono::system_clock::now(), now);
    return processes.take(watch, now);
  };
  const auto index_of = [&](std::string_view name) {
    const auto all = watch.series();
    const auto found = std::ranges::find(all, name, &Series::name);
    REQUIRE(found != all.end());
    return static_cast<std::uint32_t>(found - all.begin());
  };
  watch.scan(std::chrono::system_clock::now(), now);
  processes.begin({index_of("hits")});
  auto rows = scan();
  REQUIRE(rows.size() == 2);
  std::ranges::sort(rows, {}, [](const ProcessRow& row) { return row.process.command; });
  CHECK(rows[0].process.command == "other");
  CHECK(rows[0].sample.total == 30);
  CHECK(rows[1].process.command == "web");
  CHECK(rows[1].process.id.pid == pid);
  CHECK(rows[1].process.files == 2);
  CHECK(rows[1].sample.total == 107);
  CHECK_FALSE(rows[1].sample.rate);

  const auto one = [&](const std::vector<ProcessRow>& all) {
    return *std::ranges::find(all, "web", [](const ProcessRow& row) { return row.process.command; });
  };
  folder.write(mine, file(pid, 110, 1.5));
  rows = scan();
  CHECK(one(rows).sample.total == 117);
  CHECK(one(rows).sample.rate == 5.0);
  CHECK(one(rows).past == std::vector<float>{5});
  // The same scan again: it is no second one.
  CHECK(one(processes.take(watch, now)).sample.rate == 5.0);
  // A counter that begins again takes nothing away.
  folder.write(mine, file(pid, 4, 1.5));
  rows = scan();
  CHECK(one(rows).sample.rate >= 0.0);
  CHECK(one(rows).sample.rate <= 10.0);

  processes.begin({index_of("level")});
  rows = scan();
  CHECK(one(rows).sample.value == 2.0);  // fractions are averaged
  const auto dead =
      *std::ranges::find(rows, "other", [](const ProcessRow& row) { return row.process.command; });
  CHECK_FALSE(dead.sample.present);
}

TEST_CASE("processes that have gone are not remembered for ever") {
  TemporaryFolder folder;
  const auto write = [&](std::uint32_t owner) {
    auto name = "web-" + std::to_string(owner) + ".mmstats";
    folder.write(name, MadeFile().buffered("hits", "Q", std::uint64_t{5}).owner(owner, 4e9).padded());
    return name;
  };
  write(kUnusedPid);
  mmstats::Watch watch({.globs = {folder / "*.mmstats"}, .discovery = {}, .fold = {}}, mmstats::Rules());
  SeriesProcesses processes(4, "/proc", 3);
  processes.begin({0});
  std::chrono::steady_clock::time_point now{100s};
  std::string last;
  for (std::uint32_t i = 1; i <= 20; ++i) {
    if (!last.empty()) std::filesystem::remove(folder / last);
    last = write(kUnusedPid + i);
    now += 2s;
    watch.scan(std::chrono::system_clock::now(), now);
    CHECK(processes.take(watch, now).size() == 2);
    CHECK(processes.remembered() <= 2 + 3 + 1);
  }
}

TEST_CASE("values since then are those of each bucket") {
  mmstats::BucketCounts before;
  before.add(1.5, 3);
  before.add(100, 1);
  mmstats::BucketCounts now;
  now.add(1.5, 5);
  now.add(100, 1);
  now.add(0.01, 2);
  const auto added = added_since(before, now);
  CHECK(added.count() == 4);
  CHECK(added.percentile(100) < 2);
  // It began again: what is there now, but for what is the same.
  CHECK(added_since(now, before).count() == 3);
}

TEST_CASE_FIXTURE(FewSeries, "after another choice all begins anew") {
  view.begin_anew();
  CHECK(lines()[2].empty());
  series = {series[2]};
  samples = Samples(kHistory);
  look();
  CHECK(labels() == Labels{"db.pool"});
}

TEST_CASE("a file's name says what program wrote it, if it holds the pid") {
  CHECK(mmstats::command_of("/run/mmstats/web-17-18.mmstats", 17) == "web");
  CHECK(mmstats::command_of("/run/mmstats/web-17.mmstats", 17) == "web");
  CHECK(mmstats::command_of("web-front-17-17.mmstats", 17) == "web-front");
  CHECK(mmstats::command_of("web-170-17-18.mmstats", 17) == "web-170");
  CHECK(mmstats::command_of("web-170.mmstats", 17).empty());
  CHECK(mmstats::command_of("17.mmstats", 17).empty());
  CHECK(mmstats::command_of("/run-17/web.mmstats", 17).empty());
  CHECK(mmstats::command_of("/run/mmstats/-17-18.mmstats", 17).empty());
  CHECK(mmstats::command_of("web-17-18.mmstats", 0).empty());
  CHECK(mmstats::stem_of("/run/mmstats/web-17-18.mmstats") == "web-17-18");
  CHECK(mmstats::stem_of("stats") == "stats");
}

TEST_CASE("processes are found by what their files say") {
  TemporaryFolder folder;
  const auto pid = static_cast<std::uint32_t>(::getpid());
  const auto file = [](std::uint32_t owner, double created) {
    return MadeFile().buffered("hits", "Q", std::uint64_t{1}).owner(owner, created).padded();
  };
  folder.write("web-" + std::to_string(pid) + "-1.mmstats", file(pid, 4e9));
  folder.write("web-" + std::to_string(pid) + "-2.mmstats", file(pid, 3e9));
  folder.write("other.mmstats", file(1, 1));  // the pid is somebody else's now: init began later
  folder.write("nobody.mmstats", MadeFile().buffered("hits", "Q", std::uint64_t{1}).padded());
  folder.write("unwanted.mmstats", MadeFile().buffered("no", "Q", std::uint64_t{1}).padded());
  folder.write("bad.mmstats", MadeFile().raw("x").bytes());
  Processes processes({folder / "*.mmstats"}, [](const std::string&, const mmstats::ParsedFile& content) {
    return content.fields.front().label == "hits";
  });
  const std::chrono::steady_clock::time_point now{100s};
  const auto look = [&](std::chrono::seconds later) {
    return processes.scan(std::chrono::system_clock::now(), now + later);
  };
  auto found = look(0s);
  REQUIRE(found.size() == 3);
  CHECK(found[0].command == "?");
  CHECK(found[0].id.pid == 1);
  CHECK(found[0].state == mmstats::OwnerState::kDead);
  CHECK(found[1].command == "nobody");
  CHECK(found[1].id == ProcessId{0, folder / "nobody.mmstats"});
  CHECK(found[1].state == mmstats::OwnerState::kUnknown);
  CHECK(found[2].command == "web");
  CHECK(found[2].id.pid == pid);
  CHECK(found[2].files == 2);
  CHECK(found[2].created == 3e9);
  CHECK(found[2].state == mmstats::OwnerState::kAlive);

  // Those that go, and one that another process takes over in place.
  ::unlink((folder / "nobody.mmstats").c_str());
  folder.write("other.mmstats", file(pid, 5e9));
  CHECK(look(1s).size() == 2);
  found = look(31s);
  REQUIRE(found.size() == 1);
  CHECK(found[0].files == 3);
}
