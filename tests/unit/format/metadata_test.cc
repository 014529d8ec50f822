#include "mmstats/metadata.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace mmstats;
using namespace std::string_view_literals;

TEST_CASE("a field finds its own line of sys.metadata") {
  const std::string_view text =
      "web.hits\tcounter\trequests\tRequests answered\n"
      "web.hits.slow\tgauge\tseconds\n"
      "web.up\tstate\n"
      "web.odd\tfuture-kind\tbytes\tOf a later version\n"
      "no tab at all\n"
      "\tcounter\n"
      "web.last\ttimestamp\tseconds\tA tab\tin the help is its end\n"
      "web.limit\tproperty\0web.hidden\tcounter"sv;
  struct Row {
    const char* label;
    std::optional<Kind> kind;
    const char* unit;
    const char* help;
  };
  const Row rows[] = {
      {"web.hits", Kind::kCounter, "requests", "Requests answered"},
      {"web.hits.slow", Kind::kGauge, "seconds", ""},
      {"web.up", Kind::kState, "", ""},
      {"web.odd", std::nullopt, "bytes", "Of a later version"},
      {"no tab at all", std::nullopt, "", ""},
      {"web.last", Kind::kTimestamp, "seconds", "A tab"},
      {"web.limit", Kind::kProperty, "", ""},
      {"web.hidden", std::nullopt, "", ""},
      {"web", std::nullopt, "", ""},
      {"web.hits\tcounter", std::nullopt, "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    const auto found = find_metadata(text, row.label);
    CHECK(found.kind == row.kind);
    CHECK(found.unit == row.unit);
    CHECK(found.help == row.help);
  }
  CHECK_FALSE(find_metadata("", "web.hits").kind.has_value());
}

TEST_CASE("every kind has a word, and only those words are kinds") {
  for (const char* word : {"counter", "gauge", "timestamp", "state", "property"}) {
    REQUIRE(parse_kind(word).has_value());
    CHECK(to_string(*parse_kind(word)) == word);
  }
  for (const char* word : {"", "Counter", "count", "gauges"}) CHECK_FALSE(parse_kind(word).has_value());
}

TEST_CASE("a field without a line of its own is of the family with the longest label") {
  const std::string_view text =
      "web.hits\tcounter\trequests\tRequests\t\tmethod status\n"
      "web.hits.GET\tgauge\t\tOf one\t\tstatus\n"
      "web.hits.PUT.200\tstate\n"
      "web.hits.PUT\tgauge\t\tIs no family\n"
      "web.hits.PUT\tgauge\t\tThe first line counts\t\tstatus\n"
      "web.time\thistogram\tseconds\tTimes\tlog-linear 32 -30 50\tmethod\n"
      "web.odd\thistogram\tseconds\tTimes\tcubic\tmethod\n"
      "web.bad\tcounter\t\t\t\tle\n"
      "web.new\tsummary\tseconds\t\t\tmethod\n"
      "web.later\tcounter\t\t\tscheme\tmethod\tmore";
  struct Row {
    const char* label;
    std::optional<Kind> kind;
    const char* unit;
    const char* family;
    const char* dimensions;
    const char* values;
  };
  const Row rows[] = {
      {"web.hits.POST.404", Kind::kCounter, "requests", "web.hits", "method status", "POST.404"},
      {"web.hits.POST.4%2E4", Kind::kCounter, "requests", "web.hits", "method status", "POST.4%2E4"},
      {"web.hits..", Kind::kCounter, "requests", "web.hits", "method status", "."},
      {"web.hits.GET.404", Kind::kGauge, "", "web.hits.GET", "status", "404"},
      {"web.hits.PUT.200", Kind::kState, "", "", "", ""},
      {"web.hits.PUT.404", Kind::kCounter, "requests", "web.hits", "method status", "PUT.404"},
      {"web.hits.POST", std::nullopt, "", "", "", ""},
      {"web.hits", Kind::kCounter, "requests", "", "", ""},
      {"web.hits.a.b.c", std::nullopt, "", "", "", ""},
      {"web.time.GET.count", Kind::kCounter, "", "web.time", "method", "GET"},
      {"web.time.GET.sum", Kind::kCounter, "seconds", "web.time", "method", "GET"},
      {"web.time.GET.p99", Kind::kGauge, "seconds", "web.time", "method", "GET"},
      {"web.time.GET.min", Kind::kGauge, "seconds", "web.time", "method", "GET"},
      {"web.time.GET.other", std::nullopt, "", "", "", ""},
      {"web.odd.GET.count", std::nullopt, "", "", "", ""},
      {"web.bad.GET", std::nullopt, "", "", "", ""},
      {"web.new.GET", std::nullopt, "", "", "", ""},
      {"web.later.GET", Kind::kCounter, "", "web.later", "method", "GET"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    const auto found = find_metadata(text, row.label);
    CHECK(found.kind == row.kind);
    CHECK(found.unit == row.unit);
    CHECK(found.family == row.family);
    CHECK(found.dimensions == row.dimensions);
    CHECK(found.values == row.values);
  }
}
