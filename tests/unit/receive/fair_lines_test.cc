// The last lines within a bound, and whose they are.
#include "plugin_pinba/receive/fair_lines.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using mmstats::receive::FairLines;

namespace {

std::vector<std::string> fair_texts(const FairLines& lines) {
  std::vector<std::string> texts;
  for (const auto& line : lines.all()) texts.push_back(line.text);
  return texts;
}

// A line of 200 bytes with its end.
std::string long_line(const std::string& begin) { return begin + std::string(199 - begin.size(), '.'); }

}  // namespace

TEST_CASE("of one owner the last lines that fit are kept") {
  FairLines lines(1000);
  for (int i = 0; i < 20; ++i) lines.add({.text = long_line(std::to_string(i)), .owner = 1});
  std::vector<std::string> want;
  for (int i = 15; i < 20; ++i) want.push_back(long_line(std::to_string(i)));
  CHECK(fair_texts(lines) == want);
}

TEST_CASE("whoever has most bytes loses lines first, so nobody drives out those of others") {
  FairLines lines(2000);
  lines.add({.text = long_line("a"), .owner = 1});
  lines.add({.text = long_line("b"), .owner = 2});
  for (int i = 0; i < 1000; ++i) lines.add({.text = long_line("flood " + std::to_string(i)), .owner = 3});
  lines.add({.text = long_line("c"), .owner = 2});
  auto texts = fair_texts(lines);
  REQUIRE(texts.size() == 10);
  CHECK(texts[0] == long_line("a"));
  CHECK(texts[1] == long_line("b"));
  CHECK(texts[2] == long_line("flood 993"));
  CHECK(texts[8] == long_line("flood 999"));
  CHECK(texts[9] == long_line("c"));
}

TEST_CASE("many owners share the room") {
  FairLines lines(10'000);
  for (int round = 0; round < 30; ++round) {
    for (std::uint64_t owner = 0; owner < 10; ++owner)
      lines.add({.text = long_line(std::to_string(owner) + " " + std::to_string(round)), .owner = owner});
  }
  std::vector<std::string> want;
  for (int round = 25; round < 30; ++round) {
    for (int owner = 0; owner < 10; ++owner)
      want.push_back(long_line(std::to_string(owner) + " " + std::to_string(round)));
  }
  CHECK(fair_texts(lines) == want);
}

TEST_CASE("a line that is longer than the bound costs its owner's lines, and no others'") {
  FairLines lines(1000);
  lines.add({.text = "mine", .owner = 1});
  lines.add({.text = "yours", .owner = 2});
  lines.add({.text = std::string(2000, 'x'), .owner = 2});
  CHECK(fair_texts(lines) == std::vector<std::string>{"mine"});
}

TEST_CASE("lines without text are bounded, too") {
  FairLines lines(100 * FairLines::kLeast);
  for (std::uint64_t i = 0; i < 1000; ++i) lines.add({.text = "", .owner = i % 7});
  CHECK(lines.all().size() == 100);
}

TEST_CASE("lines that are moved stand behind those that are there") {
  FairLines from(1000);
  FairLines to(600);
  to.add({.text = long_line("a"), .owner = 1});
  to.add({.text = long_line("b"), .owner = 1});
  from.add({.text = long_line("c"), .owner = 1});
  from.add({.text = long_line("d"), .owner = 1});
  from.move_to(to);
  CHECK(from.all().empty());
  CHECK(fair_texts(to) == std::vector{long_line("b"), long_line("c"), long_line("d")});
  from.add({.text = "e", .owner = 1});
  CHECK(fair_texts(from) == std::vector<std::string>{"e"});
}
