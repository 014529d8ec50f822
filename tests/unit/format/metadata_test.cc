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
