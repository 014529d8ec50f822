#include <doctest/doctest.h>

#include <array>
#include <clocale>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tools/pollstats/amount_text.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/sparkline.h"
#include "tools/pollstats/text_cells.h"

using namespace pollstats;

namespace {

// Widths are those of the locale.
struct Utf8Locale {
  Utf8Locale() { REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr); }
};

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kGap = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE_FIXTURE(Utf8Locale, "text is as wide as a terminal shows it") {
  CHECK(cells("") == 0);
  CHECK(cells("web.requests") == 12);
  CHECK(cells("naïve") == 5);
  CHECK(cells("日本語") == 6);
  CHECK(cells("e\u0301") == 1);
  CHECK(cells("\xFF") == 1);  // not UTF-8: a byte is a character
}

TEST_CASE_FIXTURE(Utf8Locale, "text is cut between characters, never within") {
  struct Row {
    std::string text;
    std::size_t width;
    std::string first, last, outer;
  };
  const std::array rows{
      Row{"abcdef", 6, "abcdef", "abcdef", "abcdef"},
      Row{"abcdef", 4, "abcd", "<def", "a<ef"},
      Row{"abcdef", 1, "a", "<", "a"},
      Row{"abcdef", 0, "", "", ""},
      Row{"日本語計数", 5, "日本", "<計数", "<計数"},
      Row{"日本語計数", 4, "日本", "<数", "<数"},
      Row{"ae\u0301e\u0301b", 3, "ae\u0301e\u0301", "<e\u0301b", "<e\u0301b"},
      Row{"a日本b", 2, "a", "<b", "a"},
      Row{"aéiöu", 3, "aéi", "<öu", "<öu"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CAPTURE(row.width);
    CHECK(first_cells(row.text, row.width) == row.first);
    CHECK(last_cells(row.text, row.width, "<") == row.last);
    CHECK(outer_cells(row.text, row.width, "<") == row.outer);
  }
}

TEST_CASE_FIXTURE(Utf8Locale, "text is filled by cells, and centred as Python does it") {
  CHECK(left_aligned("日", 4) == "日  ");
  CHECK(right_aligned("é", 3) == "  é");
  CHECK(centred("hits", 20) == "        hits        ");
  CHECK(centred("abc", 20) == "        abc         ");  // 'abc'.center(20)
  CHECK(centred("abcd", 2) == "abcd");
}

TEST_CASE_FIXTURE(Utf8Locale, "nothing in a label commands the terminal") {
  CHECK(shown("a\x1b[2J\r\n\x7f", true) == "a\\x1B[2J\\x0D\\x0A\\x7F");
  CHECK(shown("a\xc2\x9b"
              "b",
              true) == "a\\xC2\\x9Bb");
  CHECK(shown("\xff", true) == "\\xFF");
  CHECK(shown("a\u202Eb\u2066c\u2028d", true) == "a\\xE2\\x80\\xAEb\\xE2\\x81\\xA6c\\xE2\\x80\\xA8d");
  CHECK(shown("\u200Fa\u0378", true) == "\\xE2\\x80\\x8Fa\uFFFD");
  CHECK(shown("naïve 日", true) == "naïve 日");
  CHECK(shown("naïve 日", false) == "na?ve ?");
}

TEST_CASE("numbers have all digits of whole ones, and six of others") {
  struct Row {
    double value;
    std::string want;
  };
  const std::array rows{
      Row{0, "0"},
      Row{-0.0, "0"},
      Row{42, "42"},
      Row{-7, "-7"},
      Row{1795704628, "1795704628"},
      Row{999999999999999, "999999999999999"},
      Row{1e15, "1e+15"},
      Row{0.1 + 0.2, "0.3"},
      Row{1.0 / 3, "0.333333"},
      Row{1234567.89, "1234568"},
      Row{1234.5678, "1234.57"},
      Row{0.00001234, "1.234e-05"},
      Row{-0.5, "-0.5"},
      Row{kInf, "inf"},
      Row{-kInf, "-inf"},
      Row{std::nan(""), "nan"},
  };
  for (const Row& row : rows) CHECK(number_text(row.value) == row.want);
}

TEST_CASE("numbers that are too long get a prefix") {
  struct Row {
    std::uint64_t value;
    std::size_t width;
    std::string want;
  };
  const std::array rows{
      Row{999'999, 6, "999999"},
      Row{999'999, 5, "1.00M"},
      Row{1'234'567, 6, "1.23M"},
      Row{12'345'678, 7, "12.3M"},
      Row{123'456'789, 7, "123M"},
      Row{18'446'744'073'709'551'615U, 7, "18.4E"},
      Row{18'446'744'073'709'551'615U, 20, "18446744073709551615"},
  };
  for (const Row& row : rows) CHECK(number_text(row.value, row.width) == row.want);
  CHECK(number_text(-1234567.0, 6) == "-1.23M");
  CHECK(number_text(1.23456e21, 8) == "1.2e+21");  // beyond all prefixes
  CHECK(number_text(kInf, 1) == "inf");
}

TEST_CASE("numbers to look at have commas, and three digits of fractions") {
  struct Row {
    double value;
    std::size_t width;
    std::string want;
  };
  const std::array rows{
      Row{0, 11, "0"},
      Row{999, 11, "999"},
      Row{1000, 11, "1,000"},
      Row{-123456, 11, "-123,456"},
      Row{1234567.89, 11, "1,234,568"},
      Row{1234567890, 11, "1.23G"},
      Row{99.96, 11, "100"},
      Row{12.345, 11, "12.3"},
      Row{9.999, 11, "10.0"},
      Row{1.2345, 11, "1.23"},
      Row{0.012345, 11, "0.0123"},
      Row{0.00001, 11, "1e-05"},
      Row{kInf, 11, "inf"},
  };
  for (const Row& row : rows) CHECK(calm_text(row.value, row.width) == row.want);
  CHECK(calm_text(std::uint64_t{1'234'567}, 9) == "1,234,567");
  CHECK(calm_text(std::uint64_t{12'345'678}, 9) == "12345678");
  CHECK(calm_text(std::uint64_t{1'234'567'890}, 9) == "1.23G");
  CHECK(calm_text(std::uint64_t{9'007'199'254'740'993}, 21) == "9,007,199,254,740,993");
  CHECK(calm_text(std::uint64_t{9'007'199'254'740'993}, 20) == "9007199254740993");
  CHECK(calm_text(~std::uint64_t{0}, 26) == "18,446,744,073,709,551,615");
  CHECK(calm_text(~std::uint64_t{0}, 25) == "18446744073709551615");
  CHECK(calm_text(~std::uint64_t{0}, 19) == "18.4E");
}

TEST_CASE("amounts have their unit in the size that people use") {
  struct Row {
    double value;
    std::string_view unit;
    std::string want;
  };
  const std::array rows{
      Row{0, "bytes", "0 B"},
      Row{512, "byte", "512 B"},
      Row{999, "B", "999 B"},
      Row{999.6, "bytes", "1.00 kB"},
      Row{52'300'000, "bytes", "52.3 MB"},
      Row{-1'250, "bytes", "-1.25 kB"},
      Row{1.8e19, "bytes", "18.0 EB"},
      Row{1e300, "bytes", "1e+300 B"},
      Row{0, "seconds", "0 s"},
      Row{0.059, "seconds", "59.0 ms"},
      Row{0.402, "s", "402 ms"},
      Row{0.9999, "second", "1.00 s"},
      Row{5e-6, "seconds", "5.00 µs"},
      Row{2e-9, "seconds", "2.00 ns"},
      Row{1.5, "seconds", "1.50 s"},
      Row{119, "seconds", "119 s"},
      Row{725, "seconds", "12m 5s"},
      Row{-7260, "seconds", "-2h 1m"},
      Row{1e12, "seconds", "1e+12 s"},
      Row{1e-15, "seconds", "1e-15 s"},
      Row{42, "percent", "42%"},
      Row{99.55, "%", "99.5%"},
      Row{1234567, "requests", "1,234,567"},
      Row{0.0591, "", "0.0591"},
      Row{kInf, "bytes", "inf"},
      Row{kInf, "seconds", "inf"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.want);
    CHECK(amount_text(row.value, row.unit, 11, true) == row.want);
  }
  CHECK(amount_text(5e-6, "seconds", 11, false) == "5.00 us");
  // A counter of seconds grows by a plain number in one.
  CHECK(rate_text(2.5, "seconds", 11, true) == "2.50");
  CHECK(rate_text(629'000, "bytes", 11, true) == "629 kB");
}

TEST_CASE("times have their two largest units") {
  CHECK(duration_text(0.9) == "0s");
  CHECK(duration_text(59) == "59s");
  CHECK(duration_text(60) == "1m 0s");
  CHECK(duration_text(3661) == "1h 1m");
  CHECK(duration_text(90000) == "1d 1h");
  CHECK(duration_text(-5) == "0s");
  CHECK(duration_text(kInf) == "11574074d 1h");
}

TEST_CASE("bars begin at nothing, and what is not nothing has one") {
  const auto drawn = [](std::vector<double> values) { return bars(values, false); };
  CHECK(drawn({}).empty());
  CHECK(drawn({0, 0}) == "  ");
  CHECK(drawn({5}) == "#");
  CHECK(drawn({80, 100, 0, 1}) == "*# _");
  CHECK(bars(std::vector<double>{1, 2}, true) == "▅█");
}

TEST_CASE("a curve goes from nothing to its highest point") {
  const auto curve = [](std::vector<float> values) { return sparkline(values, false); };
  struct Row {
    std::vector<float> values;
    std::string want;
  };
  const std::array rows{
      Row{{}, ""},
      Row{{0, 0, 0}, "___"},
      Row{{0, 1, 2, 3, 4, 5, 6, 7, 8}, "_.:-=+*##"},
      Row{{5, 5, 5}, "==="},          // what does not move is in the middle
      Row{{1010, 1020, 980}, "=+:"},  // what hardly moves, too
      Row{{-4, 0, 4}, "_=#"},
      Row{{100, 90, 80}, "#=_"},  // near its highest: from the lowest
      Row{{100, 50, 0}, "#=_"},
      Row{{kGap, 1, kGap, 2}, " = #"},
      Row{{kGap}, " "},
      Row{{std::numeric_limits<float>::infinity(), 1}, " ="},
      Row{{std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()}, "#_"},
  };
  for (const Row& row : rows) CHECK(curve(row.values) == row.want);
  CHECK(sparkline(std::array{0.F, 8.F}, true) == "▁█");
}
