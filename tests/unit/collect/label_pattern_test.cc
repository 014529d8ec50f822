// Patterns over bytes, and texts made of what their groups found.
#include "collect/label_pattern.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

using namespace mmstats;

namespace {

LabelPattern compiled(const std::string& pattern) {
  auto made = compile_label_pattern(pattern);
  REQUIRE(made.has_value());
  return std::move(*made);
}

}  // namespace

TEST_CASE("a pattern matches a whole label, in which each byte is a character") {
  CHECK(matches_whole(*compiled("a.c"), "abc"));
  CHECK_FALSE(matches_whole(*compiled("a.c"), "abcd"));
  CHECK_FALSE(matches_whole(*compiled("a.c"), "zabc"));
  CHECK(matches_whole(*compiled("a.c"), "a\nc"));
  CHECK(matches_whole(*compiled("a.c"),
                      "a\xFF"
                      "c"));
  CHECK(matches_whole(*compiled("a.c"), std::string_view("a\0c", 3)));
  CHECK(matches_whole(*compiled("caf\u00e9"), "caf\u00e9"));
  CHECK(matches_whole(*compiled("caf.."), "caf\u00e9"));
}

TEST_CASE("of a pattern's groups the first nine count, however many there are") {
  const auto many = compiled("(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)");
  const auto found = match_groups(*many, "abcdefghijklmnopqrst");
  REQUIRE(found.has_value());
  CHECK(*found == std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i"});
  CHECK_FALSE(match_groups(*many, "abc").has_value());
  CHECK(match_groups(*compiled("a|(b)"), "a") == std::vector<std::string>{""});
  CHECK(match_groups(*compiled("a"), "a")->empty());
}

TEST_CASE("a text has the label and the groups in their places") {
  struct Row {
    const char* text;
    const char* want;
  };
  const std::vector<std::string> groups{"g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9"};
  for (const Row& row : {Row{"plain", "plain"}, Row{R"(\0-\1)", "label-g1"}, Row{R"(\9\8)", "g9g8"},
                         Row{R"(\10)", "g10"}, Row{R"(a\\b)", R"(a\b)"}, Row{R"(\\1)", R"(\1)"},
                         Row{R"(\\\1)", R"(\g1)"}, Row{R"(end\)", R"(end\)"}, Row{"", ""}}) {
    CAPTURE(row.text);
    CHECK(put_groups(row.text, "label", groups) == row.want);
  }
  // A group that is not there is empty.
  CHECK(put_groups(R"(<\2>)", "label", std::vector<std::string>{"g1"}) == "<>");
}

TEST_CASE("a pattern that is none costs a reason, and no line on standard error") {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> caught(std::tmpfile(), std::fclose);
  REQUIRE(caught);
  std::fflush(stderr);
  const int before = ::dup(STDERR_FILENO);
  REQUIRE(before >= 0);
  REQUIRE(::dup2(::fileno(caught.get()), STDERR_FILENO) >= 0);
  const auto refused = compile_label_pattern("a(b");
  std::fflush(stderr);
  REQUIRE(::dup2(before, STDERR_FILENO) >= 0);
  ::close(before);
  REQUIRE(!refused);
  CHECK(refused.error().kind == ErrorKind::kInvalid);
  CHECK(refused.error().message.find("missing )") != std::string::npos);
  CHECK(::lseek(::fileno(caught.get()), 0, SEEK_END) == 0);
}
