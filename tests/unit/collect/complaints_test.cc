#include "collect/complaints.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/failure.h"

using namespace mmstats;
using std::chrono::seconds;

namespace {

constexpr int kSummary = 99;

// A log in which time passes as a test says.
struct Told {
  std::vector<std::pair<int, std::string>> lines;
  ComplaintLog log{[this](int level, std::string_view text) { lines.emplace_back(level, text); }, kSummary};
  std::chrono::steady_clock::time_point start{seconds(1000)};

  // A scan with so many complaints for which the caller comes again. Returns how many were told.
  unsigned scan(int second, unsigned complaints) {
    log.begin_scan(start + seconds(second));
    unsigned told = 0;
    while (told < complaints && log.tell(1, "again")) ++told;
    log.end_scan(complaints - told);
    return told;
  }
  // The lines since the last call that tell what waits.
  std::vector<std::string> summaries() {
    std::vector<std::string> texts;
    for (const auto& [level, text] : std::exchange(lines, {})) {
      if (level == kSummary) texts.push_back(text);
    }
    return texts;
  }
};
using Texts = std::vector<std::string>;

Error complaint_of(std::size_t file) {
  return failure(ErrorKind::kDamaged, "/run/mmstats/" + std::to_string(file) + ".mmstats", "is damaged");
}

}  // namespace

TEST_CASE("few complaints are let through, and how many wait is told once a minute") {
  Told told;
  CHECK(told.scan(0, 3) == 3);
  CHECK(told.summaries().empty());
  CHECK(told.scan(1, 25) == ComplaintLog::kPerScan);
  CHECK(told.summaries() ==
        Texts{"complaints that wait to be logged: 15 (at most 10 at a scan and 30 in a minute)"});
  CHECK(told.scan(2, 25) == ComplaintLog::kPerScan);
  CHECK(told.summaries().empty());  // told once in this minute already
  CHECK(told.scan(3, 1000) == ComplaintLog::kPerMinute - 23);
  CHECK(told.scan(59, 1000) == 0);
  CHECK(told.summaries().empty());

  CHECK(told.scan(60, 1000) == ComplaintLog::kPerScan);
  CHECK(told.summaries() ==
        Texts{"complaints that wait to be logged: 990 (at most 10 at a scan and 30 in a minute)"});
  // Nobody is told the same number again.
  CHECK(told.scan(120, 1000) == ComplaintLog::kPerScan);
  CHECK(told.summaries().empty());
  CHECK(told.scan(180, 0) == 0);
  CHECK(told.summaries().empty());
  CHECK(told.scan(240, 1000) == ComplaintLog::kPerScan);
  CHECK(told.summaries().size() == 1);
}

TEST_CASE("at the end all that waits is told, and how many were left out") {
  Told told;
  CHECK(told.scan(0, ComplaintLog::kPerScan) == ComplaintLog::kPerScan);
  told.lines.clear();
  told.log.tell_once(7, "first");
  told.log.tell_once(8, "second");
  CHECK(told.lines.empty());
  using Lines = std::vector<std::pair<int, std::string>>;
  told.log.end();
  CHECK(std::exchange(told.lines, {}) == Lines{{7, "first"}, {8, "second"}});
  told.log.end();
  CHECK(told.lines.empty());
  for (std::size_t i = 0; i < ComplaintLog::kMaxQueued + 3; ++i) told.log.tell_once(7, "one of many");
  told.log.end();
  REQUIRE(told.lines.size() == ComplaintLog::kMaxQueued + 1);
  CHECK(told.lines.back() == std::pair(kSummary, std::string("complaints that were left out: 3")));
  told.log.end();
  CHECK(told.lines.size() == ComplaintLog::kMaxQueued + 1);
}

TEST_CASE("a complaint that is made once waits for its turn, and what is beyond the bound is counted") {
  Told told;
  told.log.begin_scan(told.start);
  const std::size_t made = ComplaintLog::kPerScan + ComplaintLog::kMaxQueued + 7;
  for (std::size_t i = 0; i < made; ++i) told.log.tell_once(5, std::to_string(i));
  told.log.end_scan(2);
  REQUIRE(told.lines.size() == ComplaintLog::kPerScan + 1);
  CHECK(told.summaries() ==
        Texts{"complaints that wait to be logged: 102 (at most 10 at a scan and 30 in a minute); "
              "complaints that were left out: 7"});
  std::vector<std::string> later;
  for (int minute = 1; minute < 10; ++minute) {
    told.scan(60 * minute, 0);
    for (const auto& [level, text] : std::exchange(told.lines, {})) {
      if (level == 5) later.push_back(text);
    }
  }
  REQUIRE(later.size() == 90);
  CHECK(later.front() == "10");
  CHECK(later.back() == "99");
}

TEST_CASE("what was told is known while it is made at each scan, and no longer") {
  ToldComplaints told;
  told.begin_scan();
  CHECK_FALSE(told.has(complaint_of(1)));
  told.add(complaint_of(1));
  told.begin_scan();
  CHECK(told.has(complaint_of(1)));
  CHECK_FALSE(told.has(complaint_of(2)));
  told.begin_scan();
  CHECK_FALSE(told.has(complaint_of(2)));  // it was not told
  told.begin_scan();
  CHECK_FALSE(told.has(complaint_of(1)));  // it was mended meanwhile
}

TEST_CASE("what was told stays told however long it stays") {
  ToldComplaints told;
  told.begin_scan();
  told.add(complaint_of(1));
  for (int scan = 0; scan < 5; ++scan) {
    told.begin_scan();
    CHECK(told.has(complaint_of(1)));
  }
}

TEST_CASE("complaints of another file, kind, errno or byte are others") {
  ToldComplaints told;
  told.begin_scan();
  told.add(complaint_of(1));
  Error kind = complaint_of(1);
  kind.kind = ErrorKind::kDenied;
  Error reason = complaint_of(1);
  reason.sys_errno = EIO;
  Error byte = complaint_of(1);
  byte.offset = 8;
  for (const Error& other : {complaint_of(2), kind, reason, byte}) {
    CHECK_FALSE(told.has(other));
    told.add(other);
    CHECK(told.has(other));
  }
  CHECK(told.has(complaint_of(1)));
}

TEST_CASE("where complaints come between scans, too, a minute's may be told at once") {
  unsigned lines = 0;
  ComplaintLog log([&](int, std::string_view) { ++lines; }, kSummary, ComplaintLog::kPerMinute);
  const std::chrono::steady_clock::time_point start{seconds(1000)};
  log.begin_scan(start);
  while (log.tell(1, "again")) {
  }
  CHECK(lines == ComplaintLog::kPerMinute);
  log.begin_scan(start + seconds(59));
  CHECK_FALSE(log.tell(1, "again"));
  log.begin_scan(start + seconds(70));
  CHECK(log.tell(1, "again"));
  // A minute begins with a scan, not with each full one.
  while (log.tell(1, "again")) {
  }
  log.begin_scan(start + seconds(129));
  CHECK_FALSE(log.tell(1, "again"));
  log.begin_scan(start + seconds(130));
  CHECK(log.tell(1, "again"));
}

TEST_CASE("a line of just the limit is whole, and one byte more costs it its middle") {
  const std::string line = "/tmp/" + std::string(90, 'p') + ": no";
  CHECK(log_line(line, line.size()) == line);
  const auto cut = log_line(line, line.size() - 1);
  CHECK(cut.size() == line.size() - 1);
  CHECK(cut.find(" ... ") != std::string::npos);
}

TEST_CASE("what was told takes a bounded memory") {
  ToldComplaints told;
  std::size_t file = 0;
  for (; !told.is_full(); ++file) told.add(complaint_of(file));
  CHECK(file == ToldComplaints::kMax);
  told.begin_scan();
  CHECK(told.is_full());
  told.begin_scan();
  CHECK_FALSE(told.is_full());
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
