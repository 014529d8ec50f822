#include "collect/complaints.h"

#include <doctest/doctest.h>
#include <unistd.h>

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
constexpr uid_t kSomebody = 4000;
constexpr uid_t kSomebodyElse = 4001;

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
  CHECK_FALSE(told.has(complaint_of(1), kSomebody));
  told.add(complaint_of(1), kSomebody);
  told.begin_scan();
  CHECK(told.has(complaint_of(1), kSomebody));
  CHECK_FALSE(told.has(complaint_of(2), kSomebody));
  told.begin_scan();
  CHECK_FALSE(told.has(complaint_of(2), kSomebody));  // it was not told
  told.begin_scan();
  CHECK_FALSE(told.has(complaint_of(1), kSomebody));  // it was mended meanwhile
}

TEST_CASE("what was told stays told however long it stays") {
  ToldComplaints told;
  told.begin_scan();
  told.add(complaint_of(1), kSomebody);
  for (int scan = 0; scan < 5; ++scan) {
    told.begin_scan();
    CHECK(told.has(complaint_of(1), kSomebody));
  }
}

TEST_CASE("complaints of another file, kind, errno or byte are others") {
  ToldComplaints told;
  told.begin_scan();
  told.add(complaint_of(1), kSomebody);
  Error kind = complaint_of(1);
  kind.kind = ErrorKind::kDenied;
  Error reason = complaint_of(1);
  reason.sys_errno = EIO;
  Error byte = complaint_of(1);
  byte.offset = 8;
  for (const Error& other : {complaint_of(2), kind, reason, byte}) {
    CHECK_FALSE(told.has(other, kSomebody));
    told.add(other, kSomebody);
    CHECK(told.has(other, kSomebody));
  }
  CHECK(told.has(complaint_of(1), kSomebody));
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

TEST_CASE("what was told takes a bounded memory, of which one user's takes none that others need") {
  ToldComplaints told;
  std::size_t file = 0;
  for (; told.has_room(kSomebody); ++file) told.add(complaint_of(file), kSomebody);
  CHECK(file == ToldComplaints::kMax - ToldComplaints::kMax / 4);
  told.add(complaint_of(file), kSomebody);
  CHECK_FALSE(told.has(complaint_of(file), kSomebody));
  REQUIRE(told.has_room(kSomebodyElse));
  told.add(complaint_of(0), kSomebodyElse);
  told.begin_scan();
  CHECK(told.has(complaint_of(0), kSomebodyElse));
  CHECK_FALSE(told.has_room(kSomebody));
  // Told again, it takes no more than before.
  told.add(complaint_of(0), kSomebodyElse);
  told.begin_scan();
  CHECK(told.has_room(kSomebody));
  told.begin_scan();
  for (file = 0; told.has_room(::geteuid()); ++file) told.add(complaint_of(file), ::geteuid());
  CHECK(file == ToldComplaints::kMax);
}

TEST_CASE("what two users are to blame for is two complaints, and so is what has no path and another text") {
  ToldComplaints told;
  told.begin_scan();
  told.add(complaint_of(1), kSomebody);
  CHECK_FALSE(told.has(complaint_of(1), kSomebodyElse));
  const auto without_path = [](const char* text) { return failure(ErrorKind::kLimit, {}, text); };
  told.add(without_path("one"), kSomebody);
  CHECK(told.has(without_path("one"), kSomebody));
  CHECK_FALSE(told.has(without_path("another"), kSomebody));
}

TEST_CASE("those that are made once leave half of the room to those that come again, and take what is left") {
  for (const unsigned again : {0U, 100U}) {
    CAPTURE(again);
    Told told;
    unsigned made_again = 0;
    for (int second = 0; second < 600; second += 10) {
      told.log.begin_scan(told.start + seconds(second));
      unsigned left = again;
      for (; left > 0 && told.log.tell(1, "again"); --left) ++made_again;
      for (int i = 0; i < 50; ++i) told.log.tell_once(5, "once");
      told.log.end_scan(left);
    }
    const auto made_once = static_cast<unsigned>(
        std::ranges::count_if(told.lines, [](const auto& line) { return line.first == 5; }));
    CHECK(made_once + made_again == 10 * ComplaintLog::kPerMinute);
    if (again != 0) CHECK(made_again >= 5 * ComplaintLog::kPerMinute);
    if (again != 0) CHECK(made_once >= 4 * ComplaintLog::kPerMinute);
  }
}
