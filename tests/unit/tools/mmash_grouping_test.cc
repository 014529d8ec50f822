// What series of a family make together, for scripts.
#include <doctest/doctest.h>
#include <malloc.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "family_series.h"
#include "tools/mmash/grouping.h"

using namespace family_series;
using namespace mmash;
using namespace std::chrono_literals;
using mmstats::Kind;
using mmstats::Series;
using nlohmann::json;

namespace {

// Bytes; under sanitizers it says nothing.
std::size_t memory_in_use() {
  const auto all = ::mallinfo2();
  return all.uordblks + all.hblkhd;
}

struct Asking {
  std::vector<Series> all;
  std::vector<std::unique_ptr<mmstats::Distribution>> distributions;
  Growth growth = {};
  Grouping grouping{growth};
  std::chrono::steady_clock::time_point now{100s};

  Response ask(const std::string& query, const std::string& label = "web.responses") {
    Request request;
    REQUIRE(read_target("/series/x" + query, request));
    return grouping.groups(label, request, look());
  }
  Look look() {
    return [this] { return Folded{all, distributions, now}; };
  }
  json groups(const std::string& query, const std::string& label = "web.responses") {
    const auto answer = ask(query, label);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    return json::parse(all_pieces(answer))["families"][0];
  }
};

std::vector<Series> responses() {
  return {count_of("web.responses", {{"method", "GET"}, {"status", "200"}}, 70),
          count_of("web.responses", {{"method", "GET"}, {"status", "404"}}, 5),
          count_of("web.responses", {{"method", "PUT"}, {"status", "200"}}, ~std::uint64_t{0}),
          count_of("web.requests", {}, 9)};
}

// "200 3, 404 5" of groups by one dimension.
std::string groups_text(const json& family) {
  std::string text;
  for (const auto& group : family["groups"]) {
    for (const auto& value : group["values"]) text += value.get<std::string>() + " ";
    text += group["value"].dump() + ", ";
  }
  if (family.contains("other")) text += "other " + family["other"]["value"].dump() + ", ";
  return text.substr(0, text.size() - 2);
}

}  // namespace

TEST_CASE("counters of a group are summed, exactly, the greatest first") {
  Asking asking{.all = responses(), .distributions = {}};
  const auto big = "18446744073709551685";  // 2^64 - 1 + 70
  CHECK(asking.ask("?by=status").body.find(std::string("\"value\": ") + big) != std::string::npos);
  CHECK(groups_text(asking.groups("?by=method&where=status:200&sort=name")) ==
        "GET 70, PUT 18446744073709551615");
  CHECK(groups_text(asking.groups("?by=status&where=method:GET")) == "200 70, 404 5");
  CHECK(groups_text(asking.groups("?by=status&where=method:GET&where=method:PUT&where=status:404")) ==
        "404 5");
  CHECK(groups_text(asking.groups("?by=method&by=status&where=method:GET")) == "GET 200 70, GET 404 5");
  CHECK(groups_text(asking.groups("?where=method:GET")) == "75");
  CHECK(groups_text(asking.groups("?by=status&where=method:GET&top=1")) == "200 70, other 5");
  CHECK(groups_text(asking.groups("?by=status&where=method=none")).empty());
  CHECK(groups_text(asking.groups("", "web.requests")) == "9");
  const auto family = asking.groups("?by=status&where=method:GET&top=0");
  CHECK(family["label"] == "web.responses");
  CHECK(family["kind"] == "counter");
  CHECK(family["aggregate"] == "sum");
  CHECK(family["dimensions"] == json({"method", "status"}));
  CHECK(family["by"] == json({"status"}));
  CHECK(family["series"] == 2);
  CHECK(family["other"]["groups"] == 2);
  CHECK(family["other"]["series"] == 2);
}

TEST_CASE("what makes no sense is refused") {
  Asking asking{.all = responses(), .distributions = {}};
  const struct {
    const char* query;
    const char* label;
    unsigned status;
  } rows[] = {
      {"?by=nothing", "web.responses", 404},
      {"", "web", 404},
      {"?where=nothing=x", "web.responses", 404},
      {"?top=1001", "web.responses", 400},
      {"?where=x", "web.responses", 400},
      {"?top=-1", "web.responses", 400},
      {"?top=", "web.responses", 400},
      {"?sort=x", "web.responses", 400},
      {"?group=x", "web.responses", 400},
      {"", "web.responses.GET.200", 404},
  };
  for (const auto& row : rows) {
    CAPTURE(row.query);
    CHECK(asking.ask(row.query, row.label).status == row.status);
  }
}

TEST_CASE("gauges are put together as the values of their files are") {
  const struct {
    mmstats::Aggregate aggregate;
    const char* all;   // of 3, 0 and 1
    const char* rest;  // of 0 and 1, which are other groups
  } rows[] = {
      {mmstats::Aggregate::kSum, "4.0", "1.0"},
      {mmstats::Aggregate::kAvg, "1.3333333333333333", "0.5"},
      {mmstats::Aggregate::kMin, "0.0", "0.0"},
      {mmstats::Aggregate::kMax, "3.0", "1.0"},
      {mmstats::Aggregate::kNonzeroAvg, "2.0", "1.0"},
      {mmstats::Aggregate::kNonzeroMin, "1.0", "1.0"},
  };
  for (const auto& row : rows) {
    CAPTURE(mmstats::to_string(row.aggregate));
    Asking asking{.all = {}, .distributions = {}};
    for (const auto& [name, value] : {std::pair("a", 3.0), {"b", 0.0}, {"c", 1.0}}) {
      asking.all.push_back(level_of("load", {{"worker", name}}, value, row.aggregate));
    }
    CHECK(groups_text(asking.groups("", "load")) == row.all);
    CHECK(asking.groups("?by=worker&top=1&sort=value", "load")["other"]["value"].dump() == row.rest);
    CHECK(asking.groups("", "load")["aggregate"] == mmstats::to_string(row.aggregate));
  }
}

TEST_CASE("counters have a rate since an earlier request") {
  Asking asking{.all = responses(), .distributions = {}};
  CHECK(asking.groups("?by=method")["groups"][1]["rate"].is_null());
  asking.now += 500ms;  // too soon
  asking.all[0].total += 30;
  CHECK(asking.groups("?by=method")["groups"][1]["rate"].is_null());
  asking.now += 1500ms;
  asking.all[1].total += 10;
  asking.all.push_back(count_of("web.responses", {{"method", "NEW"}, {"status", "200"}}, 1000));
  const auto family = asking.groups("?by=method&sort=rate");
  // What is new counts from 0.
  CHECK(family["groups"][0]["values"][0] == "NEW");
  CHECK(family["groups"][0]["rate"] == 500.0);
  CHECK(family["groups"][1]["values"][0] == "GET");
  CHECK(family["groups"][1]["rate"] == 20.0);
  CHECK(family["groups"][2]["rate"] == 0.0);
}

TEST_CASE("buckets of histograms are added, and percentiles are of all values") {
  Asking asking{.all = {}, .distributions = {}};
  const auto add = [&](const char* method, const char* region, const std::vector<double>& values) {
    asking.distributions.push_back(times_of("latency", {{"method", method}, {"region", region}}, values));
  };
  add("GET", "eu", std::vector<double>(99, 1.0));
  add("GET", "us", {64.0});
  add("PUT", "eu", {64.0});
  add("DELETE", "eu", {});
  asking.distributions.push_back(nullptr);
  const auto family = asking.groups("?by=method", "latency");
  CHECK(groups_text(family) == "GET 100, PUT 1, DELETE 0");
  const auto& got = family["groups"][0];
  CHECK(got["p99"].get<double>() == doctest::Approx(1.0).epsilon(0.02));
  CHECK(got["p999"].get<double>() == doctest::Approx(64.0).epsilon(0.02));
  CHECK(got["buckets"] == json({960, 99, 1152, 1}));
  CHECK(family["groups"][2]["p50"].is_null());
  CHECK(asking.groups("?by=method&top=1", "latency")["other"]["buckets"] == json({1152, 1}));
}

TEST_CASE("values of dimensions are quoted, and told apart whatever they are") {
  Asking asking{.all = {}, .distributions = {}};
  for (const char* value : {"", "a\"b", "\x1B[2J", "a:b", "\xFF"}) {
    asking.all.push_back(count_of("x", {{"y", value}}, 1));
  }
  const auto answer = asking.ask("?by=y&sort=name", "x");
  CHECK(answer.body.find('\x1B') == std::string::npos);
  CHECK(json::parse(answer.body)["families"][0]["groups"].size() == 5);
  CHECK(asking.groups("?where=y:a:b", "x")["series"] == 1);
  CHECK(asking.groups("?where=y:", "x")["series"] == 1);
  CHECK(asking.groups("?where=y=", "x")["series"] == 1);
  CHECK(asking.groups("?where=y%3Da%3Ab", "x")["series"] == 1);
}

TEST_CASE("families are listed with their dimensions, and series without are not") {
  Asking asking{.all = responses(), .distributions = {}};
  asking.all.push_back(level_of("web.responses", {{"method", "GET"}}, 1, mmstats::Aggregate::kSum));
  auto gone = level_of("gone", {{"method", "GET"}}, 1, mmstats::Aggregate::kSum);
  gone.present = false;
  asking.all.push_back(gone);
  const auto all = json::parse(all_pieces(Grouping::families(asking.look())))["families"];
  REQUIRE(all.size() == 2);
  CHECK(all[0]["kind"] == "counter");
  CHECK(all[0]["dimensions"] == json({"method", "status"}));
  CHECK(all[0]["series"] == 3);
  CHECK(all[1]["kind"] == "gauge");
}

TEST_CASE("what is counted in different units is not added up") {
  Asking asking{.all = {}, .distributions = {}};
  for (const auto& [unit, value] : {std::pair("", 1.0), {"bytes", 100.0}, {"", 4.0}}) {
    asking.all.push_back(
        level_of("memory", {{"of", std::to_string(value)}}, value, mmstats::Aggregate::kSum));
    edit(asking.all.back())->unit = unit;
  }
  const auto families = json::parse(all_pieces(asking.ask("", "memory")))["families"];
  REQUIRE(families.size() == 2);
  CHECK(families[0]["unit"] == "");
  CHECK(groups_text(families[0]) == "5.0");
  CHECK(families[1]["unit"] == "bytes");
  CHECK(groups_text(families[1]) == "100.0");
  CHECK(json::parse(all_pieces(Grouping::families(asking.look())))["families"].size() == 2);
}

TEST_CASE("series of one name in different families are apart") {
  Asking asking{.all = {}, .distributions = {}};
  asking.all = {count_of("q", {{"a", "x"}}, 5), count_of("q", {{"b", "x"}}, 7), count_of("q.x", {}, 1)};
  const auto families = json::parse(all_pieces(asking.ask("", "q")))["families"];
  REQUIRE(families.size() == 2);
  CHECK(groups_text(families[0]) == "5");
  CHECK(groups_text(families[1]) == "7");
  CHECK(groups_text(asking.groups("?by=b", "q")) == "x 7");
  CHECK(groups_text(asking.groups("", "q.x")) == "1");
}

TEST_CASE("where types chose several ways of putting values together, one holds whichever series is first") {
  const struct {
    std::vector<mmstats::Aggregate> members;
    const char* want;
  } rows[] = {
      {{mmstats::Aggregate::kSum, mmstats::Aggregate::kAvg}, "avg"},
      {{mmstats::Aggregate::kAvg, mmstats::Aggregate::kSum}, "avg"},
      {{mmstats::Aggregate::kAvg, mmstats::Aggregate::kMax}, "max"},
      {{mmstats::Aggregate::kByKind, mmstats::Aggregate::kByKind}, "sum"},
      {{mmstats::Aggregate::kNonzeroMin, mmstats::Aggregate::kNonzeroMin}, "nonzero-min"},
  };
  for (const auto& row : rows) {
    Asking asking{.all = {}, .distributions = {}};
    for (const auto one : row.members) {
      asking.all.push_back(level_of("load", {{"worker", std::to_string(asking.all.size())}}, 1, one));
    }
    CHECK(asking.groups("", "load")["aggregate"] == row.want);
  }
}

TEST_CASE("of ten thousand combinations of long names an answer keeps little, and shows a thousand") {
  constexpr std::size_t kMany = 10'000;
  Asking asking{.all = {}, .distributions = {}};
  std::string query = "?sort=name";
  Dimensions dimensions;
  for (char c = 'a'; c < 'q'; ++c) {
    dimensions.push_back({std::string(255, c), "v"});
    query += "&by=" + dimensions.back().name;
  }
  for (std::size_t i = 0; i < kMany; ++i) {
    dimensions.back().value = std::to_string(kMany + i);
    asking.all.push_back(count_of("x", dimensions, i));
  }
  std::vector<Response> answers;
  const auto before = memory_in_use();
  for (int i = 0; i < 20; ++i) answers.push_back(asking.ask(query, "x"));
  CHECK((memory_in_use() - before) / answers.size() < 4 * kPiece);
  for (const auto& answer : answers) CHECK(answer.body.size() < 2 * kPiece);
  REQUIRE(answers.front().more);
  const auto text = all_pieces(std::move(answers.front()));
  CHECK(text.size() < 400'000);  // names are told once
  const auto family = json::parse(text)["families"][0];
  CHECK(family["by"].size() == 16);
  CHECK(family["series"] == kMany);
  REQUIRE(family["groups"].size() == Grouping::kMostGroups);
  CHECK(family["groups"][999]["values"][15] == "10999");
  CHECK(family["other"]["groups"] == kMany - 1000);
  CHECK(family["other"]["value"] == 9000 * (1000 + 9999) / 2);
  // As many families are told one after another, too.
  for (std::size_t i = 0; i < kMany; ++i) edit(asking.all[i])->unit = std::to_string(i);
  auto families = Grouping::families(asking.look());
  CHECK(families.body.size() < 2 * kPiece);
  CHECK(json::parse(all_pieces(std::move(families)))["families"].size() == kMany);
  CHECK(json::parse(all_pieces(asking.ask("", "x")))["families"].size() == kMany);
}

TEST_CASE("buckets are told of histograms that are shown alone") {
  Asking asking{.all = {}, .distributions = {}};
  for (int i = 0; i < 2'000; ++i) {
    auto made = times_of("latency", {{"path", std::to_string(i)}}, {});
    for (double value = 1; value < 1e6; value *= 1.1) made->total.add(value, static_cast<std::uint64_t>(i));
    asking.distributions.push_back(std::move(made));
  }
  const auto before = memory_in_use();
  auto answer = asking.ask("?by=path", "latency");
  CHECK(memory_in_use() - before < 8 * kPiece);
  // One goes, others come, while the answer is on its way.
  for (std::size_t i = 0; i < 2'000; i += 7) asking.distributions[i].reset();
  asking.distributions.push_back(nullptr);
  const auto family = json::parse(all_pieces(std::move(answer)))["families"][0];
  CHECK(family["groups"].size() == 1000);
  CHECK(family["groups"][0]["values"] == json({"1999"}));
  CHECK(family["groups"][1]["buckets"][1] == 1998);
  CHECK(family["groups"][999]["values"] == json({"1000"}));
  CHECK(family["other"]["groups"] == 1000);
}
