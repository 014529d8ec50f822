// Texts and numbers of all tools: as JSON and for people.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/parse.h"
#include "tools/shared/dimensions_text.h"
#include "tools/shared/json_text.h"
#include "tools/shared/label_rules.h"
#include "tools/shared/value_text.h"

using mmstats::json_text;
using mmstats::JsonTexts;
using mmstats::Scalar;

namespace {

constexpr std::uint64_t kExactDouble = std::uint64_t{1} << 53U;

}  // namespace

TEST_CASE("no text in JSON commands a terminal, and all of it is still there") {
  const struct {
    std::string text;
    const char* json;
  } rows[] = {
      {"a\x7F\u0080\u009Bb\u00A0", "\"a\\u007f\\u0080\\u009bb\u00A0\""},
      {"\u061B\u061C\u061D", "\"\u061B\\u061c\u061D\""},
      {"\u200D\u200E\u200F\u2010", "\"\u200D\\u200e\\u200f\u2010\""},
      {"\u2027\u2028\u202A\u202E\u202F", "\"\u2027\\u2028\\u202a\\u202e\u202F\""},
      {"\u2065\u2066\u2069\u206A", "\"\u2065\\u2066\\u2069\u206A\""},
      {"\xE2\x80 \xC2", "\"\uFFFD \uFFFD\""},
      {"\U0001F389\u202E\\u202e", "\"\U0001F389\\u202e\\\\u202e\""},
  };
  for (const auto& row : rows) {
    CHECK(json_text(row.text) == row.json);
    CHECK(mmstats::item_json(Scalar(std::string_view(row.text))) == row.json);
    // Names of members, too.
    CHECK(json_text(mmstats::Json::object({{row.text, 1}})) == std::string("{") + row.json + ": 1}");
    // What a reader gets is what it was.
    const auto ascii = json_text(row.text, JsonTexts::kAscii);
    CHECK(nlohmann::json::parse(row.json) == nlohmann::json::parse(ascii));
    CHECK(ascii.find_first_not_of(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                                  "abcdefghijklmnopqrstuvwxyz{|}~") == std::string::npos);
  }
}

TEST_CASE("a text that is appended piece by piece is what nlohmann-json makes of all of it") {
  const std::vector<std::string> pieces = {
      "a",          "\"",   "\\",   "\n",       "\t",       "\b",     "\x01",         std::string(1, '\0'),
      " ",          "~",    "/",    "\x7F",     "\u0080",   "\u00A0", "\u202E",       "\u20AC",
      "\U0001F389", "\xFF", "\xC2", "\xE2\x80", "\xF0\x9F", "\x80",   "\xED\xA0\x80", "web.stats.requests"};
  std::mt19937 random(1);
  for (int round = 0; round < 10'000; ++round) {
    std::string text;
    for (auto left = random() % 40; left > 0; --left) text += pieces[random() % pieces.size()];
    CAPTURE(text);
    for (const auto texts : {JsonTexts::kUtf8, JsonTexts::kAscii}) {
      std::string appended = "[";
      mmstats::append_json(appended, text, texts);
      // This takes the text as one.
      REQUIRE(appended == "[" + json_text(text, texts));
    }
  }
}

TEST_CASE("whole numbers keep all digits, beyond those of a double") {
  for (const std::uint64_t number : {kExactDouble - 1, kExactDouble, kExactDouble + 1, kExactDouble * 2 + 3,
                                     std::uint64_t{9'999'999'999'999'999'999U}, ~std::uint64_t{0}}) {
    CHECK(mmstats::item_text(Scalar(number)) == std::to_string(number));
    CHECK(mmstats::item_json(Scalar(number)) == std::to_string(number));
    CHECK(json_text(number) == std::to_string(number));
  }
  for (const std::int64_t number :
       {-static_cast<std::int64_t>(kExactDouble) - 1, std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::int64_t>::max()}) {
    CHECK(mmstats::item_text(Scalar(number)) == std::to_string(number));
    CHECK(mmstats::item_json(Scalar(number)) == std::to_string(number));
    CHECK(json_text(number) == std::to_string(number));
  }
}

TEST_CASE("fractions are written as Python writes them") {
  const struct {
    double number;
    const char* want;
  } rows[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {-7.0, "-7.0"},
      {0.1, "0.1"},
      {1.0 / 3, "0.3333333333333333"},
      {999'999'999'999'999.0, "999999999999999.0"},
      {999'999'999'999'999.5, "999999999999999.5"},
      {1e15, "1000000000000000.0"},
      {-1e15, "-1000000000000000.0"},
      {9'999'999'999'999'998.0, "9999999999999998.0"},
      {1e16, "1e+16"},
      {-1e22, "-1e+22"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {5e-324, "5e-324"},
      {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
  };
  for (const auto& row : rows) {
    CHECK(mmstats::float_text(row.number) == row.want);
    CHECK(mmstats::item_json(Scalar(row.number)) == row.want);
    std::string behind = "a";
    mmstats::append_item_text(behind, Scalar(row.number));
    CHECK(behind == std::string("a") + row.want);
  }
}

TEST_CASE("what is no number in JSON is a text as a value, and null as a fact") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(mmstats::item_json(Scalar(std::nan(""))) == "null");
  CHECK(mmstats::item_json(Scalar(-std::nan(""))) == "null");
  CHECK(mmstats::item_json(Scalar(-inf)) == "\"-inf\"");
  CHECK(mmstats::item_text(Scalar(inf)) == "inf");
  CHECK(json_text(inf) == "null");
  CHECK(json_text(2.0) == "2.0");
}

TEST_CASE("a pattern of --labels that gives no dimension is refused, with the option and the reason") {
  const struct {
    const char* pattern;
    const char* want;
  } rows[] = {
      {"(", "--labels \"(\": missing ): ("},
      {"a(b)", "--labels \"a(b)\": it has no named group that gives a dimension, as in (?P<status>[0-9]+)"},
      {"(?P<le>a)", "--labels \"(?P<le>a)\": "},
      {"\x1B[", "--labels \"\\x1B[\": "},
  };
  for (const auto& row : rows) {
    mmstats::Rules rules;
    const auto added = mmstats::add_label_rules({"x\\.(?P<y>.*)", row.pattern}, {}, rules);
    REQUIRE(!added);
    CHECK(added.error().kind == mmstats::ErrorKind::kInvalid);
    CHECK(added.error().message.substr(0, std::string_view(row.want).size()) == row.want);
    CHECK(added.error().message.find('\x1B') == std::string::npos);
  }
}

TEST_CASE("dimensions are written as OpenMetrics writes labels") {
  using Dimensions = std::vector<mmstats::Dimension>;
  const struct {
    Dimensions dimensions;
    const char* full;
    const char* left_out;
  } rows[] = {
      {{}, "x", ""},
      {{{"a", "1"}, {"b", ""}}, R"(x{a="1",b=""})", R"(a="1")"},
      {{{"a", "q\"\\\n\x1B\xFF"}}, R"(x{a="q\"\\\n\\x1B\\xFF"})", R"(a="q\"\\\n\\x1B\\xFF")"},
  };
  for (const auto& row : rows) {
    CHECK(mmstats::full_name("x", row.dimensions) == row.full);
    CHECK(mmstats::dimensions_text(row.dimensions, mmstats::EmptyValues::kLeftOut) == row.left_out);
  }
}
