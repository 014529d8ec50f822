// Reports that are there without a configuration, and those of timers by their tags.
#include "plugin_pinba/receive/reports.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "format/dimensions.h"
#include "receive/report_reader.h"

using namespace mmstats::receive;

namespace {

using Tags = MadePacket::Tags;

// Timers by their tags alone.
ReportsOptions timers_alone() {
  ReportsOptions options;
  options.reports.clear();
  return options;
}

void send_timer(Reports& reports, Reports::Caches& caches, const Tags& tags, Source source = 1) {
  MadePacket packet;
  packet.timer(tags);
  reports.count(packet.packet(), source, caches);
}

}  // namespace

TEST_CASE("without a configuration there are requests by script, server, host and status, and timers") {
  ReportReader reader;
  ReportsOptions options;
  options.reports = default_reports("pinba", 500);
  Reports reports(options);
  Reports::Caches caches;
  MadePacket packet("/cart");
  packet.timer({{"group", "db"}, {"server", "db1"}}, 3);
  reports.count(packet.packet(), 1, caches);
  reader.scan();
  const struct {
    const char* label;
    const char* row;
  } rows[] = {{"pinba.script.requests", "script=/cart"},
              {"pinba.server.requests", "server=shop"},
              {"pinba.host.requests", "host=web1"},
              {"pinba.status.requests", "status=200"},
              {"pinba.timer.@group@server.requests", "group=db,server=db1"}};
  for (const auto& row : rows) {
    CAPTURE(row.label);
    CHECK(reader.rows(row.label) == std::map<std::string, double>{{row.row, 1}});
  }
  CHECK(reader.total("pinba.timer.@group@server.seconds.count", "group=db,server=db1") == 3);
}

TEST_CASE("a name of a tag becomes one of a dimension") {
  const std::string long_name(300, 'n');
  const struct {
    std::string name;
    std::string want;
  } rows[] = {
      {"group", "group"},
      {"Group_2", "Group_2"},
      {"a.b-c d", "a_b_c_d"},
      {"2nd", "tag_2nd"},
      {"", "tag_"},
      {"le", "tag_le"},
      {"quantile", "tag_quantile"},
      {"__name__", "tag___name__"},
      {"\xC3\xA9t\xC3\xA9", "tag___t__"},
      {std::string("a\0b\n\"", 5), "a_b__"},
      {"_", "_"},
      {long_name, long_name.substr(0, 127)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(dimension_of(row.name) == row.want);
    CHECK(mmstats::wrong_dimension_name(dimension_of(row.name)).empty());
  }
}

TEST_CASE("each set of names is a report, whatever the order of its tags") {
  ReportReader reader;
  Reports reports(timers_alone());
  Reports::Caches caches;
  send_timer(reports, caches, {{"group", "db"}});
  send_timer(reports, caches, {{"group", "db"}, {"op", "get"}});
  send_timer(reports, caches, {{"op", "get"}, {"group", "db"}});
  send_timer(reports, caches, {{"op", "db"}, {"group", "get"}});
  send_timer(reports, caches, {});
  send_timer(reports, caches, {});
  reader.scan();
  CHECK(reader.rows("pinba.timer.@group.requests") == std::map<std::string, double>{{"group=db", 1}});
  CHECK(reader.rows("pinba.timer.@group@op.requests") ==
        std::map<std::string, double>{{"group=db,op=get", 2}, {"group=get,op=db", 1}});
  CHECK(reader.total("pinba.timer.untagged.requests") == 2);
  CHECK(reader.total("pinba.timer.untagged.seconds.count") == 2);
}

TEST_CASE("a request that has the same timer several times is one request of it") {
  ReportReader reader;
  Reports reports(timers_alone());
  Reports::Caches caches;
  for (int round = 0; round < 3; ++round) {
    MadePacket packet;
    for (int i = 0; i < 5; ++i) packet.timer({{"group", "db"}, {"op", "get"}});
    packet.timer({{"op", "get"}, {"group", "db"}});
    packet.timer({{"group", "db"}, {"op", "put"}});
    reports.count(packet.packet(), 1, caches);
  }
  reader.scan();
  CHECK(reader.rows("pinba.timer.@group@op.requests") ==
        std::map<std::string, double>{{"group=db,op=get", 3}, {"group=db,op=put", 3}});
  CHECK(reader.total("pinba.timer.@group@op.seconds.count", "group=db,op=get") == 18);
}

TEST_CASE("names that become equal stay two dimensions, and sets that do are counted together") {
  ReportReader reader;
  Reports reports(timers_alone());
  Reports::Caches caches;
  send_timer(reports, caches, {{"a.b", "1"}, {"a_b", "2"}, {"a-b", "3"}});
  send_timer(reports, caches, {{"x.y", "1"}});
  send_timer(reports, caches, {{"x-y", "1"}});
  send_timer(reports, caches, {{"x-y", "2"}});
  reader.scan();
  // In the order of the names.
  CHECK(reader.rows("pinba.timer.@a_b@a_b_@a_b__.requests") ==
        std::map<std::string, double>{{"a_b=3,a_b_=1,a_b__=2", 1}});
  CHECK(reader.rows("pinba.timer.@x_y.requests") ==
        std::map<std::string, double>{{"x_y=1", 2}, {"x_y=2", 1}});
}

TEST_CASE("names may have any bytes, and what stands in them makes no two sets the same") {
  ReportReader reader;
  Reports reports(timers_alone());
  Reports::Caches caches;
  send_timer(reports, caches, {{"a", "1"}, {"b", "2"}});
  send_timer(reports, caches, {{std::string("a\0b", 3), "3"}});
  send_timer(reports, caches, {{"", "4"}});
  send_timer(reports, caches, {{"a.b\n\t@", "5"}});
  reader.scan();
  CHECK(reader.rows("pinba.timer.@a@b.requests") == std::map<std::string, double>{{"a=1,b=2", 1}});
  CHECK(reader.rows("pinba.timer.@a_b.requests") == std::map<std::string, double>{{"a_b=3", 1}});
  CHECK(reader.rows("pinba.timer.@tag_.requests") == std::map<std::string, double>{{"tag_=4", 1}});
  CHECK(reader.rows("pinba.timer.@a_b___.requests") == std::map<std::string, double>{{"a_b___=5", 1}});
}

TEST_CASE("timers of sets beyond the bound, with too many tags or too long names are counted together") {
  ReportReader reader;
  auto options = timers_alone();
  options.max_tag_sets = 4;
  Reports reports(options);
  Reports::Caches caches;
  for (int i = 0; i < 10; ++i) send_timer(reports, caches, {{fmt::format("t{}", i), "x"}});
  Tags many;
  for (int i = 0; i < 17; ++i) many.emplace_back(fmt::format("m{}", i), "x");
  send_timer(reports, caches, many, 2);
  Tags longest;
  for (int i = 0; i < 16; ++i) longest.emplace_back(fmt::format("{}{}", std::string(200, 'n'), i), "x");
  send_timer(reports, caches, longest, 2);
  // What was refused took nothing from its sender: there is one set left, which it may have.
  send_timer(reports, caches, {{"mine", "x"}}, 2);
  send_timer(reports, caches, {{"t1", "x"}}, 2);
  reader.scan();
  for (int i = 0; i < 3; ++i) {
    CHECK(reader.total(fmt::format("pinba.timer.@t{}.requests", i), fmt::format("t{}=x", i)) ==
          (i == 1 ? 2 : 1));
  }
  CHECK(reader.total("pinba.timer.@mine.requests", "mine=x") == 1);
  CHECK(reader.total("pinba.timer.other_tags.requests") == 9);
  CHECK(reader.total("pinba.timer.other_tags.seconds.count") == 9);
}

TEST_CASE("the longest sets that are published at all are published whole") {
  ReportReader reader;
  Reports reports(timers_alone());
  Reports::Caches caches;
  Tags tags;
  for (char c = 'a'; c < 'a' + 16; ++c) tags.emplace_back(std::string(58, c), std::string(255, '.'));
  send_timer(reports, caches, tags);
  send_timer(reports, caches, tags);
  reader.scan();
  CHECK(reader.find("pinba.timer.other_tags.requests") == nullptr);
  std::string label = "pinba.timer.";
  std::string row;
  for (const auto& [name, value] : tags) {
    label += '@' + name;
    row += (row.empty() ? "" : ",") + name + '=' + value;
  }
  CHECK(reader.total(label + ".requests", row) == 2);
  CHECK(reader.total(label + ".seconds.count", row) == 2);
}
