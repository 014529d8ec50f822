#include "format/dimensions.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "made_file.h"

using namespace mmstats;
using namespace std::string_view_literals;

namespace {

using Names = std::vector<std::string_view>;

}  // namespace

TEST_CASE("a dimension's name is as a label of OpenMetrics, and none that is taken") {
  for (const char* good : {"a", "Z", "_", "_a", "method", "http_2", "Le", "sys"}) {
    CAPTURE(good);
    CHECK(wrong_dimension_name(good).empty());
  }
  CHECK(wrong_dimension_name(std::string(255, 'a')).empty());
  struct Row {
    std::string name;
    const char* why;
  };
  const Row rows[] = {
      {"", "letters"},
      {"1a", "digit"},
      {"a-b", "letters"},
      {"a.b", "letters"},
      {"a b", "letters"},
      {"a\n", "letters"},
      {"\xC3\xA9", "letters"},
      {"__a", "underscores"},
      {"le", "OpenMetrics"},
      {"quantile", "OpenMetrics"},
      {std::string(256, 'a'), "255"},
      {std::string("a\0", 2), "letters"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(wrong_dimension_name(row.name).find(row.why) != std::string::npos);
  }
}

TEST_CASE("a list has 1 to 16 good names, each once") {
  CHECK(dimension_names("method") == Names{"method"});
  CHECK(dimension_names("method status") == Names{"method", "status"});
  std::string sixteen = "n1";
  for (int i = 2; i <= 16; ++i) sixteen += " n" + std::to_string(i);
  CHECK(dimension_names(sixteen).size() == 16);
  for (const std::string& bad :
       {std::string(), std::string(" "), std::string(" a"), std::string("a  b"), std::string("a a"),
        std::string("a le"), std::string("a\tb"), sixteen + " n17"}) {
    CAPTURE(bad);
    CHECK(dimension_names(bad).empty());
  }
}

TEST_CASE("a value stands in a label as one part, and comes back as it was") {
  struct Row {
    std::string_view value;
    std::string_view part;
  };
  const Row rows[] = {
      {"", ""},
      {"GET", "GET"},
      {"a b/c\"\\{}", "a b/c\"\\{}"},
      {"1.5", "1%2E5"},
      {"100%", "100%25"},
      {"%41", "%2541"},
      {"a\tb\nc", "a%09b%0Ac"},
      {"\x7F", "%7F"},
      {"caf\xC3\xA9", "caf\xC3\xA9"},
      {"sys", "%73ys"},
      {"system", "system"},
      {"SYS", "SYS"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.value);
    CHECK(escape_value(row.value) == row.part);
    CHECK(unescape_value(row.part) == row.value);
  }
}

TEST_CASE("every byte is escaped and comes back, and no two values meet") {
  std::map<std::string, std::string> values;  // by part
  const auto check = [&](const std::string& value) {
    const std::string part = escape_value(value);
    CHECK(part.find_first_of(".\t\n"sv) == std::string::npos);
    CHECK(unescape_value(part) == value);
    const auto [known, added] = values.emplace(part, value);
    CHECK((added || known->second == value));
  };
  const std::string_view around[] = {"", "a", "%", "%4", "%41", ".", "2E", "sys"};
  for (int byte = 1; byte < 128; ++byte) {
    for (const auto before : around) {
      for (const auto behind : around)
        check(std::string(before) + static_cast<char>(byte) + std::string(behind));
    }
  }
  for (const char* text : {"\xC2\x80", "\xC3\xBF", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) check(text);
  // In the other direction every byte may be written so.
  for (int byte = 0; byte < 256; ++byte) {
    constexpr std::string_view kUpper = "0123456789ABCDEF";
    constexpr std::string_view kLower = "0123456789abcdef";
    const auto high = static_cast<std::size_t>(byte) / 16;
    const auto low = static_cast<std::size_t>(byte) % 16;
    const std::string want(1, static_cast<char>(byte));
    CHECK(unescape_value(std::string{'%', kUpper[high], kUpper[low]}) == want);
    CHECK(unescape_value(std::string{'%', kLower[high], kLower[low]}) == want);
  }
}

TEST_CASE("a percent sign without two digits behind it stands for itself") {
  for (const std::string part : {"%", "%%", "%4", "a%", "%G1", "%1G", "% 1", "%+1"}) {
    CAPTURE(part);
    CHECK(unescape_value(part) == part);
  }
  CHECK(unescape_value("%%41") == "%A");
}

TEST_CASE("a value that is too long or no UTF-8 becomes one that is not") {
  CHECK(escape_value(std::string(300, 'a')) == std::string(255, 'a'));
  // No character is cut, and escapes do not count.
  CHECK(escape_value(std::string(254, 'a') + "\xC3\xA9") == std::string(254, 'a'));
  CHECK(unescape_value(escape_value(std::string(300, '.'))) == std::string(255, '.'));
  CHECK(escape_value("a\xFF"
                     "b") == "a?b");
  CHECK(escape_value("\xC3") == "?");
  CHECK(is_utf8(escape_value("\xED\xA0\x80\xF8")));
}

TEST_CASE("parts are taken off a label's end while something is left") {
  struct Row {
    std::string_view label;
    std::size_t parts;
    std::string_view want;
  };
  const Row rows[] = {
      {"a.b.c", 0, "a.b.c"}, {"a.b.c", 1, "a.b"}, {"a.b.c", 2, "a"}, {"a.b.c", 3, ""},
      {"a..", 1, "a."},      {"a..", 2, "a"},     {".a", 1, ""},     {"", 1, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    CAPTURE(row.parts);
    CHECK(without_last_parts(row.label, row.parts) == row.want);
  }
}

TEST_CASE("a tab among the blanks of its type removes a field, and other blanks do not") {
  struct Row {
    std::string_view type;
    bool removed;
  };
  const Row rows[] = {{"Q", false},     {"   Q", false},      {"\tQ", true},
                      {"  \t Q", true}, {"\n\v\f\rQ", false}, {"Q\t", true}};
  for (const Row& row : rows) {
    CAPTURE(row.type);
    const auto bytes = MadeFile().buffered("a", row.type, std::uint64_t{1}).padded();
    ParsedFile content;
    parse(bytes, content);
    REQUIRE(content.fields.size() == 1);
    CHECK(is_removed(content.fields[0]) == row.removed);
  }
}
