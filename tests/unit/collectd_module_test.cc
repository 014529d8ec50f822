#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "complaints.h"
#include "guard.h"

using mmstats::ComplaintBudget;
using mmstats::FaultLog;
using mmstats::guarded;

namespace {

// Standard output of a command, line by line.
std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  const auto close = [](std::FILE* pipe) { CHECK(pclose(pipe) == 0); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
  REQUIRE(pipe);
  std::string text;
  std::array<char, 4096> buffer;
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe.get()))
    text.append(buffer.data(), n);
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> told;

void tell(const char* callback, const char* what) { told.push_back(std::string(callback) + ": " + what); }

}  // namespace

TEST_CASE("the module exports its entry and nothing else") {
  const auto symbols = lines_of(NM " -D --defined-only '" MODULE_FILE "'");
  REQUIRE(symbols.size() == 1);
  CHECK(symbols[0].ends_with(" T module_register"));
}

TEST_CASE("the module needs no protobuf, as other modules bring their own") {
  std::size_t needed = 0;
  for (const auto& line : lines_of(READELF " -d '" MODULE_FILE "'")) {
    if (line.find("(NEEDED)") == std::string::npos) continue;
    ++needed;
    CHECK_MESSAGE(line.find("protobuf") == std::string::npos, line);
  }
  CHECK(needed > 0);
}

TEST_CASE("a callback that throws returns an error, and is told of once until it went well") {
  told.clear();
  FaultLog faults(tell);
  int calls = 0;
  const auto failing = [&]() -> int {
    ++calls;
    throw std::runtime_error("no such luck");
  };
  CHECK(guarded("reading", faults, failing) == mmstats::kThrew);
  CHECK(guarded("reading", faults, failing) == mmstats::kThrew);
  CHECK(calls == 2);
  CHECK(told == std::vector<std::string>{"reading: no such luck"});

  CHECK(guarded("reading", faults, [] { return 7; }) == 7);
  CHECK(told.size() == 1);
  CHECK(guarded("reading", faults, []() -> int { throw 5; }) == mmstats::kThrew);
  CHECK(told.size() == 2);
  CHECK(told[1] == "reading: something that is no std::exception");

  FaultLog others(tell);
  CHECK(guarded("init", others, []() -> int { throw std::bad_alloc(); }) == mmstats::kThrew);
  REQUIRE(told.size() == 3);
  CHECK(told[2].starts_with("init: "));
}

TEST_CASE("a budget lets few complaints through, and counts the others") {
  using std::chrono::seconds;
  const auto start = std::chrono::steady_clock::time_point(seconds(1000));
  ComplaintBudget budget;
  const auto tick = [&](std::chrono::steady_clock::time_point now, unsigned complaints) {
    budget.begin_tick(now);
    unsigned let_through = 0;
    for (unsigned i = 0; i < complaints; ++i) let_through += budget.spend() ? 1 : 0;
    return let_through;
  };
  CHECK(tick(start, 3) == 3);
  CHECK(budget.take_refused() == 0);
  CHECK(tick(start + seconds(1), 25) == ComplaintBudget::kPerTick);
  CHECK(budget.take_refused() == 15);
  CHECK(tick(start + seconds(2), 25) == ComplaintBudget::kPerTick);
  CHECK(budget.take_refused() == 0);  // told once in this minute already
  CHECK(tick(start + seconds(3), 1000) == ComplaintBudget::kPerMinute - 23);
  CHECK(tick(start + seconds(59), 1000) == 0);
  CHECK(budget.take_refused() == 0);

  CHECK(tick(start + seconds(60), 1) == 1);
  CHECK(budget.take_refused() == 15 + 993 + 1000);
  CHECK(budget.take_refused() == 0);
  CHECK(tick(start + seconds(120), 0) == 0);
  CHECK(budget.take_refused() == 0);
}

TEST_CASE("a log line is one short printable line") {
  using mmstats::log_line;
  CHECK(log_line("plain text", 100) == "plain text");
  CHECK(log_line("", 100).empty());
  CHECK(log_line("/tmp/a\nError: forged", 100) == "/tmp/a\\x0AError: forged");
  CHECK(log_line("\x1B[2J", 100).find('\x1B') == std::string::npos);

  const std::string both_ends = "/tmp/" + std::string(3000, 'p') + ": no such file";
  const auto line = log_line(both_ends, 100);
  CHECK(line.size() == 100);
  CHECK(line.starts_with("/tmp/ppp"));
  CHECK(line.ends_with("p: no such file"));
  CHECK(line.find(" ... ") != std::string::npos);

  // A cut does not leave half a character, whichever byte it meets.
  std::string snowmen;
  for (int i = 0; i < 1000; ++i) snowmen += "\xE2\x98\x83";
  for (std::size_t max = 16; max < 40; ++max) {
    const auto cut = log_line(snowmen, max);
    CHECK(cut.size() <= max);
    CHECK(mmstats::log_line(cut, 1000) == cut);  // nothing in it that would have to be escaped
  }
}
