// Foreign text in CSV: what a spreadsheet, or a terminal, must not obey.
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "tools/mmash/csv_text.h"

namespace {

std::string field_of(std::string_view text) {
  std::string field;
  mmash::add_csv_field(field, text);
  return field;
}

// What the header of add_csv_field says gives the text back.
std::string without_signs(std::string_view field) {
  std::string text;
  if (field.starts_with('"')) {
    field = field.substr(1, field.size() - 2);
    for (std::size_t i = 0; i < field.size(); ++i) {
      text += field[i];
      if (field[i] == '"') ++i;
    }
  } else {
    text = field;
  }
  std::string plain;
  bool at_start = true;
  for (const char c : text) {
    if (!(at_start && c == '\'')) plain += c;
    at_start = c == ';';
  }
  return plain;
}

}  // namespace

TEST_CASE("a field is quoted where it must be, and no formula wherever a program thinks that it begins") {
  const struct {
    std::string_view text;
    std::string_view want;
  } rows[] = {
      {"", ""},
      {"GET", "GET"},
      {"/user/:id", "/user/:id"},
      {"a b", "a b"},
      {" a", "\" a\""},
      {"a ", "\"a \""},
      {"a,b", "\"a,b\""},
      {"a\"b", "\"a\"\"b\""},
      {"café", "café"},
      {"=1+1", "'=1+1"},
      {"+1", "'+1"},
      {"-1", "'-1"},
      {"@SUM(A1)", "'@SUM(A1)"},
      {"-", "'-"},
      {"a=b", "a=b"},
      {"  =1+1", "'  =1+1"},
      {"＝1", "'＝1"},
      {"'", "''"},
      {"'=1", "''=1"},
      {"it's", "it's"},
      {"x;=1+1;y", "\"x;'=1+1;y\""},
      {"x; -1", "\"x;' -1\""},
      {"x;'y", "\"x;''y\""},
      {";", "\";\""},
      {"=a,\"b\"", "\"'=a,\"\"b\"\"\""},
      // No field has a tab or an end of line, so none begins with one.
      {"\t=1+1", "\\x09=1+1"},
      {"a\r\n=1+1", "a\\x0D\\x0A=1+1"},
      {"\x1B[2J", "\\x1B[2J"},
      {std::string_view("\0", 1), "\\x00"},
      {"\xFF", "\\xFF"},
      {"a\u202Eb", "a\\xE2\\x80\\xAEb"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.text);
    CHECK(field_of(row.text) == row.want);
  }
}

TEST_CASE("what stands before a sign can be told from the text itself") {
  // Of all texts of these characters, whatever they are.
  const std::string_view characters = "';=\" a,";
  std::string text;
  for (std::size_t number = 0; number < 7 * 7 * 7 * 7 * 7; ++number) {
    text.clear();
    for (std::size_t left = number; left > 0; left /= 7) text += characters[left % 7];
    CAPTURE(text);
    REQUIRE(without_signs(field_of(text)) == text);
  }
}
