// Rows of a report: what they count, which there are, and who may have them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <thread>
#include <vector>

#include "plugin_pinba/receive/reports.h"
#include "receive/report_reader.h"

using namespace mmstats::receive;

namespace {

Key key_of(const std::string& text, const std::string& dimension) {
  const auto place = parse_key(text);
  REQUIRE(place);
  return {*place, dimension};
}

ReportSpec by(std::vector<Key> keys, Counted counted = Counted::kRequests, std::size_t max_rows = 500) {
  return {.label = "r", .counted = counted, .keys = std::move(keys), .filter = {}, .max_rows = max_rows};
}

ReportsOptions only(ReportSpec spec) {
  ReportsOptions options;
  options.reports.push_back(std::move(spec));
  options.timers_by_tags = false;
  return options;
}

ReportsOptions rows_by_script(std::size_t max_rows) {
  return only(by({key_of("~script", "script")}, Counted::kRequests, max_rows));
}

}  // namespace

TEST_CASE("a row of requests has their number, times, bytes and memory") {
  ReportReader reader;
  Reports reports(rows_by_script(10));
  Reports::Caches caches;
  send_to(reports, caches, MadePacket("/a", 0.5));
  reader.scan();
  send_to(reports, caches, MadePacket("/a", 1.5));
  send_to(reports, caches, MadePacket("/b", 4));
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"script=/a", 2}, {"script=/b", 1}});
  CHECK(reader.total("r.seconds.count", "script=/a") == 2);
  CHECK(reader.total("r.seconds.sum", "script=/a") == 2);
  CHECK(reader.total("r.seconds.sum", "script=/b") == 4);
  CHECK(reader.total("r.user_seconds", "script=/a") == 0.5);
  CHECK(reader.total("r.system_seconds", "script=/a") == 0.25);
  CHECK(reader.total("r.bytes", "script=/a") == 2000);
  const auto* memory = reader.find("r.memory", "script=/a");
  REQUIRE(memory != nullptr);
  CHECK(memory->value == 2000);
  CHECK(memory->unit() == "bytes");
  const auto* seconds = reader.distribution("r.seconds", "script=/a");
  REQUIRE(seconds != nullptr);
  CHECK(seconds->interval.count() == 1);
  CHECK(seconds->interval.percentile(50) == doctest::Approx(1.5).epsilon(1.0 / 64));
}

TEST_CASE("a row of timers has their requests, each once, their hits, and times of a hit") {
  ReportReader reader;
  Reports reports(only(by({key_of("@group", "group")}, Counted::kTimers)));
  Reports::Caches caches;
  send_to(reports, caches, MadePacket().timer({{"group", "db"}}, 1, 1));
  reader.scan();
  send_to(reports, caches,
          MadePacket()
              .timer({{"group", "db"}, {"op", "get"}}, 98, 0.098)
              .timer({{"group", "db"}, {"op", "put"}}, 2, 4)
              .timer({{"op", "put"}}, 7, 7));
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"group=db", 2}});
  CHECK(reader.total("r.seconds.count", "group=db") == 101);
  CHECK(reader.total("r.seconds.sum", "group=db") == doctest::Approx(5.098));
  CHECK(reader.total("r.user_seconds", "group=db") == 3 * 0.0625);
  CHECK(reader.total("r.system_seconds", "group=db") == 3 * 0.03125);
  CHECK(reader.find("r.bytes", "group=db") == nullptr);
  CHECK(reader.find("r.memory", "group=db") == nullptr);
  const auto* seconds = reader.distribution("r.seconds", "group=db");
  REQUIRE(seconds != nullptr);
  CHECK(seconds->interval.count() == 100);
  CHECK(seconds->interval.percentile(98) == doctest::Approx(0.001).epsilon(1.0 / 64));
  CHECK(seconds->interval.percentile(99) == doctest::Approx(2).epsilon(1.0 / 64));
}

TEST_CASE("hits are not cut at 32 bits") {
  ReportReader reader;
  Reports reports(only(by({key_of("@group", "group")}, Counted::kTimers)));
  Reports::Caches caches;
  for (int i = 0; i < 3; ++i) send_to(reports, caches, MadePacket().timer({{"group", "db"}}, 0xFFFFFFFF, 1));
  reader.scan();
  CHECK(reader.total("r.seconds.count", "group=db") == 3 * 4294967295.0);
}

TEST_CASE("keys of all kinds are the dimensions of a row, and what lacks one is in none") {
  const struct {
    const char* what;
    ReportSpec spec;
    std::map<std::string, double> want;
  } rows[] = {
      {"no key", by({}), {{"", 3}}},
      {"fields",
       by({key_of("~host", "host"), key_of("~status", "code"), key_of("~schema", "schema")}),
       {{"host=web1,code=200,schema=", 3}}},
      {"the same field twice", by({key_of("~status", "a"), key_of("~status", "b")}), {{"a=200,b=200", 3}}},
      {"a request tag", by({key_of("+app", "app")}), {{"app=shop", 1}, {"app=", 1}}},
      {"a timer tag of requests", by({key_of("@group", "group")}), {}},
      {"all kinds, of timers",
       by({key_of("@group", "group"), key_of("~script", "script"), key_of("+app", "app")}, Counted::kTimers),
       {{"group=db,script=/a,app=shop", 1}, {"group=cache,script=/a,app=shop", 1}}},
      {"no timer tag, of timers",
       by({key_of("~script", "script")}, Counted::kTimers),
       {{"script=/a", 1}, {"script=/c", 1}}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    ReportReader reader;
    Reports reports(only(row.spec));
    Reports::Caches caches;
    send_to(reports, caches,
            MadePacket("/a")
                .tags({{"app", "shop"}})
                .timer({{"group", "db"}})
                .timer({{"group", "cache"}})
                .timer({{"op", "x"}}));
    send_to(reports, caches, MadePacket("/b").tags({{"app", ""}}));
    send_to(reports, caches, MadePacket("/c").timer({{"group", "db"}}));
    reader.scan();
    CHECK(reader.rows("r.requests") == row.want);
  }
}

TEST_CASE("a filter leaves out what it does not let pass") {
  ReportReader reader;
  auto spec = by({key_of("~script", "script")});
  spec.filter.min_time = 1;
  REQUIRE(spec.filter.require({KeySource::kScript, {}}, "/a.*"));
  Reports reports(only(spec));
  Reports::Caches caches;
  send_to(reports, caches, MadePacket("/a", 0.5));
  send_to(reports, caches, MadePacket("/a", 1.5));
  send_to(reports, caches, MadePacket("/b", 1.5));
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"script=/a", 1}});
}

TEST_CASE("any bytes may be a value, and what files show as equal is one row to readers") {
  ReportReader reader;
  Reports reports(rows_by_script(100));
  Reports::Caches caches;
  const std::string longest(255, 'x');
  for (const std::string& script :
       {std::string(), std::string("a.b"), std::string("sys"), std::string("a\tb\n%"), std::string("other"),
        std::string("\xFF"), std::string("\xFE"), std::string("a\0b", 3), longest + "1", longest + "2",
        std::string(254, 'x') + "\xC3\xA9", std::string("a=1,b=2")}) {
    send_to(reports, caches, MadePacket(script));
    send_to(reports, caches, MadePacket(script));
  }
  reader.scan();
  const std::map<std::string, double> want{{"script=", 2},
                                           {"script=a.b", 2},
                                           {"script=sys", 2},
                                           {"script=a\tb\n%", 2},
                                           {"script=other", 2},
                                           {"script=?", 4},
                                           {"script=" + longest, 4},
                                           {"script=" + longest.substr(1), 2},
                                           {std::string("script=a\0b", 10), 2},
                                           {"script=a=1,b=2", 2}};
  CHECK(reader.rows("r.requests") == want);
}

TEST_CASE("beyond max_rows all others are one row, and rows that are there go on") {
  ReportReader reader;
  Reports reports(rows_by_script(4));
  Reports::Caches caches;
  for (int i = 0; i < 20; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)), 1);
  send_to(reports, caches, MadePacket("/1"), 1);
  send_to(reports, caches, MadePacket("/2"), 9);
  reader.scan();
  // Three quarters of four.
  CHECK(reader.rows("r.requests") ==
        std::map<std::string, double>{
            {"script=/0", 1}, {"script=/1", 2}, {"script=/2", 2}, {"script=other", 17}});
  send_to(reports, caches, MadePacket("/x"), 9);
  send_to(reports, caches, MadePacket("/y"), 9);
  send_to(reports, caches, MadePacket("/z"), 10);
  reader.scan();
  CHECK(reader.rows("r.requests") ==
        std::map<std::string, double>{
            {"script=/0", 1}, {"script=/1", 2}, {"script=/2", 2}, {"script=/x", 1}, {"script=other", 19}});
  CHECK(reader.total("r.seconds.count", "script=other") == 19);
}

TEST_CASE("with max_rows of 0 there is only the row of all others") {
  ReportReader reader;
  Reports reports(rows_by_script(0));
  Reports::Caches caches;
  for (int i = 0; i < 3; ++i) send_to(reports, caches, MadePacket(fmt::format("/{}", i)));
  reader.scan();
  CHECK(reader.rows("r.requests") == std::map<std::string, double>{{"script=other", 3}});
}

TEST_CASE("a row that one thread made is found by all others, though there may be no more") {
  ReportReader reader;
  Reports reports(rows_by_script(4));
  const auto in_thread = [&](auto&& work) {
    std::thread thread([&] {
      Reports::Caches caches;
      work(caches);
    });
    thread.join();
  };
  Reports::Caches caches;
  for (Source source = 1; source <= 8; ++source)
    send_to(reports, caches, MadePacket(fmt::format("/{}", source)), source);
  in_thread([&](Reports::Caches& others) {
    for (Source source = 1; source <= 8; ++source)
      send_to(reports, others, MadePacket(fmt::format("/{}", source)), source);
  });
  reader.scan();
  CHECK(reader.rows("r.requests") ==
        std::map<std::string, double>{
            {"script=/1", 2}, {"script=/2", 2}, {"script=/3", 2}, {"script=/4", 2}, {"script=other", 8}});
}

TEST_CASE("who sends any number of values hides nobody, neither in his report nor in others") {
  ReportReader reader;
  ReportsOptions options;
  options.reports = {by({key_of("~script", "script")}, Counted::kRequests, 40),
                     by({key_of("+tag", "tag")}, Counted::kRequests, 40)};
  options.reports[1].label = "tags";
  options.max_rows = 40;
  options.max_all_rows = 60;
  options.max_tag_sets = 4;
  Reports reports(options);
  Reports::Caches caches;
  for (int i = 0; i < 2000; ++i) {
    const std::string value = std::to_string(i);
    send_to(
        reports, caches,
        MadePacket(value).tags({{"tag", value}}).timer({{"group", value}}).timer({{"set" + value, value}}),
        666);
  }
  for (int i = 0; i < 2; ++i) {
    send_to(reports, caches,
            MadePacket("/good").tags({{"tag", "good"}}).timer({{"group", "good"}}).timer({{"new", "good"}}),
            1);
  }
  reader.scan();
  CHECK(reader.total("r.requests", "script=/good") == 2);
  CHECK(reader.total("tags.requests", "tag=good") == 2);
  CHECK(reader.total("pinba.timer.@group.requests", "group=good") == 2);
  CHECK(reader.total("pinba.timer.@new.requests", "new=good") == 2);
  for (const char* label : {"r.requests", "tags.requests"}) {
    CHECK(reader.sum(label) == 2002);
    CHECK(reader.rows(label).size() <= 41);
  }
}

TEST_CASE("rows of the longest values are published whole, and count as several") {
  ReportReader reader;
  std::vector<Key> keys;
  for (int i = 0; i < 16; ++i) keys.push_back(key_of(fmt::format("+t{}", i), fmt::format("t{}", i)));
  Reports reports(only(by(keys, Counted::kRequests, 200)));
  Reports::Caches caches;
  const auto packet_of = [&](const std::string& value, char fill) {
    MadePacket::Tags tags;
    for (int i = 0; i < 16; ++i) tags.emplace_back(fmt::format("t{}", i), value + std::string(250, fill));
    return MadePacket().tags(std::move(tags));
  };
  for (Source source = 0; source < 40; ++source) {
    send_to(reports, caches, packet_of(std::to_string(source), '.'), source);
    send_to(reports, caches, MadePacket().tags({{"t0", "x"}}), source);
  }
  for (int i = 0; i < 40; ++i) send_to(reports, caches, packet_of(std::to_string(i), '.'), 7);
  reader.scan();
  // Each is more than a megabyte in a file: 200 rows of the usual size have about as much.
  const auto rows = reader.rows("r.requests");
  CHECK(rows.size() > 5);
  CHECK(rows.size() < 30);
  for (const auto& [row, requests] : rows) {
    if (!row.starts_with("t0=other")) CHECK(requests == 2);
    CHECK(reader.total("r.seconds.count", row) == requests);
    const auto* seconds = reader.distribution("r.seconds", row);
    REQUIRE(seconds != nullptr);
    CHECK(static_cast<double>(seconds->total.count()) == requests);
  }
  CHECK(reader.sum("r.requests") == 80);
}

TEST_CASE("more rows than one file takes are in several") {
  ReportReader reader;
  Reports reports(rows_by_script(500));
  Reports::Caches caches;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 300; ++i) send_to(reports, caches, MadePacket(fmt::format("/script/number/{}", i)));
  }
  reader.scan();
  const auto rows = reader.rows("r.requests");
  CHECK(rows.size() == 300);
  for (const auto& [row, requests] : rows) {
    CHECK(requests == 2);
    CHECK(reader.total("r.seconds.count", row) == 2);
  }
  CHECK(reader.files() > 1);
}
