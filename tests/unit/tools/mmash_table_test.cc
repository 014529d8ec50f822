// A family as a table, for scripts and spreadsheets.
#include <doctest/doctest.h>
#include <malloc.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "family_series.h"
#include "tools/mmash/family_rows.h"

using namespace family_series;
using namespace mmash;
using namespace std::chrono_literals;
using mmstats::Kind;
using mmstats::Series;
using nlohmann::json;

namespace {

struct AskingTable {
  std::vector<Series> all = {};
  std::vector<std::unique_ptr<mmstats::Distribution>> distributions = {};
  Growth growth = {};
  FamilyRows table{growth};
  std::chrono::steady_clock::time_point now{100s};

  Response ask(const std::string& query, const std::string& label) {
    Request request;
    REQUIRE(read_target("/table/x" + query, request));
    return table.answer(label, request, [this] { return Folded{all, distributions, now}; });
  }
  json family(const std::string& query, const std::string& label) {
    auto answer = ask(query, label);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    return json::parse(all_pieces(std::move(answer)))["families"][0];
  }
  std::string csv(const std::string& query, const std::string& label) {
    auto answer = ask("?format=csv" + query, label);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    CHECK(answer.content_type == "text/csv; charset=utf-8; header=present");
    return all_pieces(std::move(answer));
  }
  // With the exact sum of all its values, which buckets do not have.
  void add_times(Dimensions dimensions, const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    all.push_back(member_of("script.seconds.sum", Kind::kCounter, dimensions));
    all.back().value = sum;
    distributions.push_back(times_of("script.seconds", std::move(dimensions), values));
    edit(*distributions.back())->unit = "seconds";
    distributions.back()->sum = static_cast<std::int32_t>(all.size() - 1);
    all.back().distribution = static_cast<std::int32_t>(distributions.size() - 1);
  }
};

// "GET 200 3.0, GET 404 5.0" of rows, by one column.
std::string column_text(const json& family, const char* column) {
  std::string text;
  for (const auto& row : family["rows"]) {
    for (const auto& value : row["values"]) text += value.get<std::string>() + " ";
    text += row[column].dump() + ", ";
  }
  if (family.contains("other")) text += "other " + family["other"][column].dump() + ", ";
  return text.substr(0, text.size() - 2);
}

// 5 seconds in all.
void add_scripts(AskingTable& asking) {
  asking.add_times({{"script", "/cart"}}, {0.125, 0.125, 0.25});
  asking.add_times({{"script", "/search"}}, {4.0});
  asking.add_times({{"script", "/idle"}}, {});
  asking.add_times({{"script", "/home"}}, std::vector<double>(64, 0.0078125));
}

std::vector<Series> statuses() {
  return {count_of("web.responses", {{"method", "GET"}, {"status", "200"}}, 75),
          count_of("web.responses", {{"method", "GET"}, {"status", "404"}}, 5),
          count_of("web.responses", {{"method", "PUT"}, {"status", "200"}}, 20),
          count_of("web.requests", {}, 9)};
}

}  // namespace

TEST_CASE("histograms are rows with counts, sums, shares of all time, means and percentiles") {
  AskingTable asking;
  add_scripts(asking);
  const auto family = asking.family("", "script.seconds");
  CHECK(family["label"] == "script.seconds");
  CHECK(family["kind"] == "histogram");
  CHECK(family["unit"] == "seconds");
  CHECK(family["dimensions"] == json({"script"}));
  CHECK(family["series"] == 4);
  CHECK(family["sort"] == "sum");
  CHECK(family["seconds"].is_null());
  // Who took most of the time comes first.
  CHECK(column_text(family, "share") == "/search 0.8, /cart 0.1, /home 0.1, /idle 0.0");
  CHECK(column_text(family, "count") == "/search 1, /cart 3, /home 64, /idle 0");
  const auto& cart = family["rows"][1];
  CHECK(cart["sum"].get<double>() == doctest::Approx(0.5));
  CHECK(cart["mean"].get<double>() == doctest::Approx(0.5 / 3));
  CHECK(cart["p50"].get<double>() == doctest::Approx(0.125).epsilon(1.0 / 64));
  CHECK(cart["p99"].get<double>() == doctest::Approx(0.25).epsilon(1.0 / 64));
  CHECK(cart["rate"].is_null());
  const auto& idle = family["rows"][3];
  for (const char* none : {"mean", "p50", "p99", "rate"}) CHECK(idle[none].is_null());
}

TEST_CASE("a histogram without a sum has that of its buckets") {
  AskingTable asking;
  asking.distributions.push_back(times_of("t", {{"a", "x"}}, {1.0, 1.0}));
  asking.distributions.push_back(times_of("t", {{"a", "y"}}, {2.0}));
  asking.distributions.push_back(nullptr);
  const auto family = asking.family("", "t");
  CHECK(family["rows"][0]["share"].get<double>() == doctest::Approx(0.5));
  CHECK(family["rows"][1]["sum"].get<double>() == doctest::Approx(2.0).epsilon(1.0 / 32));
}

TEST_CASE("counters are rows with a rate and a share of all, and gauges with their value") {
  AskingTable asking{.all = statuses()};
  auto family = asking.family("", "web.responses");
  CHECK(family["sort"] == "value");
  CHECK(column_text(family, "value") == "GET 200 75, PUT 200 20, GET 404 5");
  CHECK(column_text(family, "share") == "GET 200 0.75, PUT 200 0.2, GET 404 0.05");
  CHECK_FALSE(family["rows"][0].contains("p50"));
  CHECK(column_text(asking.family("", "web.requests"), "share") == "1.0");
  asking.all[0].total = ~std::uint64_t{0};
  CHECK(asking.ask("", "web.responses").body.find("\"value\": 18446744073709551615,") != std::string::npos);

  asking.all.push_back(level_of("load", {{"host", "a"}}, 0.5, mmstats::Aggregate::kAvg));
  asking.all.push_back(level_of("load", {{"host", "b"}}, std::nan(""), mmstats::Aggregate::kAvg));
  asking.all.push_back(level_of("load", {{"host", "c"}}, -1, mmstats::Aggregate::kAvg));
  family = asking.family("", "load");
  CHECK(column_text(family, "value") == "a 0.5, c -1.0, b null");
  CHECK_FALSE(family["rows"][0].contains("share"));
}

TEST_CASE("rates of a table are since an earlier request, and shares are of all that there ever was") {
  AskingTable asking;
  add_scripts(asking);
  asking.family("", "script.seconds");
  asking.now += 2s;
  for (int i = 0; i < 6; ++i) asking.distributions[0]->total.add(0.125);
  asking.all[0].value += 0.75;
  const auto family = asking.family("?sort=rate", "script.seconds");
  CHECK(family["seconds"] == 2.0);
  CHECK(column_text(family, "rate") == "/cart 3.0, /home 0.0, /idle 0.0, /search 0.0");
  CHECK(family["rows"][0]["share"].get<double>() == doctest::Approx(1.25 / 5.75));
}

TEST_CASE("rows are the greatest by any column, and all others are one") {
  AskingTable asking;
  add_scripts(asking);
  const struct {
    const char* query;
    const char* want;
  } rows[] = {
      {"?top=2", "/search, /cart, other 2"},
      {"?top=1&sort=count", "/home, other 3"},
      {"?top=1&sort=mean", "/search, other 3"},
      {"?top=2&sort=p50", "/search, /cart, other 2"},
      {"?top=2&sort=p99", "/search, /cart, other 2"},
      {"?top=2&sort=share", "/search, /cart, other 2"},
      {"?top=2&sort=rate", "/cart, /home, other 2"},
      {"?top=2&sort=name", "/cart, /home, other 2"},
      {"?top=0", "other 4"},
      {"?top=10000", "/search, /cart, /home, /idle"},
      // Filters make fewer of what a share is of; a search does not.
      {"?where=script:/cart&where=script=/home", "/cart, /home"},
      {"?search=CA", "/cart"},
      {"?search=ca%20SCRIPT%3D", "/cart"},
      {"?search=h&top=1", "/search, other 1"},
      {"?search=none", ""},
      {"?search=.", ""},
      {"?kind=histogram&unit=seconds&dimensions=script&top=0", "other 4"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.query);
    const auto family = asking.family(row.query, "script.seconds");
    std::string text;
    for (const auto& one : family["rows"]) text += one["values"][0].get<std::string>() + ", ";
    if (family.contains("other")) text += "other " + family["other"]["rows"].dump() + ", ";
    CHECK(text.substr(0, text.empty() ? 0 : text.size() - 2) == row.want);
  }
  CHECK(column_text(asking.family("?where=script=/cart", "script.seconds"), "share") == "/cart 1.0");
  CHECK(column_text(asking.family("?search=cart", "script.seconds"), "share") == "/cart 0.1");
  const auto other = asking.family("?top=1", "script.seconds")["other"];
  CHECK(other["count"] == 67);
  CHECK(other["share"].get<double>() == doctest::Approx(0.2));
  CHECK(other["mean"].get<double>() == doctest::Approx(1.0 / 67));
  CHECK(other["p50"].get<double>() == doctest::Approx(0.0078125).epsilon(1.0 / 64));
  CHECK(other["p99"].get<double>() == doctest::Approx(0.25).epsilon(1.0 / 64));
}

TEST_CASE("what makes no sense for a table is refused") {
  AskingTable asking{.all = statuses()};
  std::string words = "?search=";
  for (std::size_t i = 0; i < 17; ++i) words += "a+";
  const struct {
    std::string query;
    const char* label;
    unsigned status;
  } rows[] = {
      {"", "web", 404},
      {"", "", 404},
      {"?where=nothing=x", "web.responses", 404},
      {"?kind=gauge", "web.responses", 404},
      {"?unit=s", "web.responses", 404},
      {"?dimensions=status,method", "web.responses", 404},
      {"?where=x", "web.responses", 400},
      {"?top=10001", "web.responses", 400},
      {"?top=-1", "web.responses", 400},
      {"?top=", "web.responses", 400},
      {"?sort=x", "web.responses", 400},
      {"?sort=p99", "web.responses", 400},
      {"?sort=count", "web.responses", 400},
      {"?format=xml", "web.responses", 400},
      {"?by=status", "web.responses", 400},
      {"?search=%FF", "web.responses", 400},
      {words, "web.responses", 400},
      {words.substr(0, words.size() - 2), "web.responses", 200},
  };
  for (const auto& row : rows) {
    CAPTURE(row.query);
    CHECK(asking.ask(row.query, row.label).status == row.status);
  }
}

TEST_CASE("families of one label are all in JSON, and one of them is a file of CSV") {
  AskingTable asking;
  for (const char* value : {"x", "y"}) {
    asking.all.push_back(count_of("q", {{"group", value}}, 1));
    asking.all.push_back(count_of("q", {{"group", value}, {"server", value}}, 2));
    asking.all.push_back(level_of("q", {{"group", value}}, 3, mmstats::Aggregate::kSum));
  }
  edit(asking.all.back())->unit = "bytes";
  const auto all = json::parse(all_pieces(asking.ask("", "q")))["families"];
  REQUIRE(all.size() == 4);
  CHECK(asking.ask("?sort=rate", "q").status == 400);  // gauges have none
  CHECK(asking.ask("?sort=rate&kind=counter", "q").status == 200);
  CHECK(asking.ask("?format=csv", "q").status == 400);
  CHECK(asking.csv("&kind=counter&dimensions=group", "q") ==
        "group,value,rate,share\r\nx,1,,0.5\r\ny,1,,0.5\r\n");
  CHECK(asking.csv("&dimensions=group,server", "q") ==
        "group,server,value,rate,share\r\nx,x,2,,0.5\r\ny,y,2,,0.5\r\n");
  CHECK(asking.csv("&kind=gauge&unit=bytes", "q") == "group,value\r\ny,3.0\r\n");
  CHECK(asking.csv("&kind=gauge&unit=", "q") == "group,value\r\nx,3.0\r\n");
}

TEST_CASE(
    "hostile values of dimensions command neither a spreadsheet nor a terminal, and stay in their field") {
  AskingTable asking;
  for (const char* value : {"=1+1", "a,\"b\"\r\n=c", "\x1B[2J", "\xFF", ""}) {
    asking.all.push_back(count_of("x", {{"rate", value}}, 1));
  }
  // A dimension may have a column's name.
  CHECK(asking.csv("&sort=name", "x") ==
        "dimension.rate,value,rate,share\r\n"
        ",1,,0.2\r\n"
        "\\x1B[2J,1,,0.2\r\n"
        "'=1+1,1,,0.2\r\n"
        "\"a,\"\"b\"\"\\x0D\\x0A=c\",1,,0.2\r\n"
        "\\xFF,1,,0.2\r\n");
  const auto answer = asking.ask("", "x");
  CHECK(answer.body.find('\x1B') == std::string::npos);
  CHECK(json::parse(answer.body)["families"][0]["rows"].size() == 5);
  // Nor does a label get into a header.
  asking.all.push_back(count_of("a\r\nSet-Cookie: b\"/../c", {}, 1));
  const auto named = asking.ask("?format=csv", asking.all.back().name());
  REQUIRE(named.status == 200);
  CHECK(named.headers.back().second == "attachment; filename=\"a__Set-Cookie__b__.._c.csv\"");
}

TEST_CASE("combinations that are there twice are one row") {
  AskingTable asking{.all = statuses()};
  asking.all.push_back(count_of("web.responses", {{"method", "PUT"}, {"status", "200"}}, 100));
  CHECK(column_text(asking.family("", "web.responses"), "value") == "PUT 200 120, GET 200 75, GET 404 5");
}

TEST_CASE("a table of ten thousand rows comes in pieces, and is of one moment") {
  constexpr std::size_t kMany = 12'000;
  AskingTable asking;
  for (std::size_t i = 0; i < kMany; ++i) {
    asking.all.push_back(count_of("x", {{"path", "/p/" + std::to_string(i)}, {"tenant", "t"}}, 1));
  }
  std::vector<Response> answers;
  const auto in_use = [] { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; };
  const auto before = in_use();
  for (int i = 0; i < 10; ++i) answers.push_back(asking.ask("?top=10000", "x"));
  CHECK((in_use() - before) / answers.size() < 20 * kPiece);
  for (const auto& answer : answers) CHECK(answer.body.size() < 2 * kPiece);
  REQUIRE(answers.front().more);
  // What comes while it is on its way is in the next one; what goes is left out.
  for (auto& one : asking.all) one.total = 1'000;
  for (std::size_t i = 0; i < kMany; i += 2) asking.all[i].present = false;
  asking.all.push_back(count_of("x", {{"path", "new"}, {"tenant", "t"}}, 1'000'000));
  const auto family = json::parse(all_pieces(std::move(answers.front())))["families"][0];
  CHECK(family["rows"].size() > 4'000);
  CHECK(family["rows"].size() < 8'000);
  CHECK(family["other"]["rows"] == kMany - 10'000);
  for (const auto& row : family["rows"]) REQUIRE(row["value"] == 1);
  CHECK(json::parse(all_pieces(asking.ask("", "x")))["families"][0]["rows"].size() == FamilyRows::kUsualRows);
}
