// What pinba-dump finds out about packets that it does not have: numbers that are left out, and datagrams
// that a capture has in one piece.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/pinba_dump/numbering.h"
#include "tools/pinba_dump/segments.h"

namespace {

using pinba_dump::Numbering;

pinba_dump::Way sender(std::uint16_t port) {
  pinba_dump::Way way;
  way.from.port = port;
  return way;
}

// How many it says are missing: one after the other, and in all.
struct Missing {
  std::vector<std::uint32_t> before;
  std::uint64_t total;
};
Missing missing_of(std::initializer_list<std::uint32_t> numbers) {
  Numbering numbering;
  Missing missing{};
  for (const auto number : numbers) missing.before.push_back(numbering.add(sender(1), number));
  missing.total = numbering.totals().missing;
  CHECK(numbering.totals().senders == (missing.total > 0 ? 1 : 0));
  return missing;
}

using Counts = std::vector<std::uint32_t>;

std::vector<std::string> pieces_of(std::string_view text) {
  std::vector<std::string> pieces;
  for (const auto piece : pinba_dump::segments_of(std::as_bytes(std::span(text)))) {
    pieces.emplace_back(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return pieces;
}
using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("numbers that are left out are missing") {
  const auto [before, total] = missing_of({7, 8, 9, 13, 14});
  CHECK(before == Counts{0, 0, 0, 3, 0});
  CHECK(total == 3);
}

TEST_CASE("loss before a sender is known to number its requests counts in the end") {
  const auto [before, total] = missing_of({7, 9, 10, 11});
  CHECK(before == Counts{0, 0, 0, 0});
  CHECK(total == 1);
}

TEST_CASE("nothing is missing from who does not number its requests") {
  CHECK(missing_of({0, 0, 0, 0, 0}).total == 0);  // PHP's
  CHECK(missing_of({5, 5, 5}).total == 0);        // of one request, or a text that never changes
  CHECK(missing_of({3, 90, 17, 4, 600, 2, 41}).total == 0);
  CHECK(missing_of({10, 20, 30, 40, 50, 60}).total == 0);
  CHECK(missing_of({1, 3}).total == 0);
  CHECK(missing_of({1, 2, 5}).total == 0);  // one step is not enough
  // Two processes that share a port.
  CHECK(missing_of({1000, 5, 1001, 6, 1002, 7, 1003, 8}).total == 0);
}

TEST_CASE("requests without a number among those with one change nothing") {
  CHECK(missing_of({4, 0, 5, 0, 6, 0, 7}).total == 0);
  CHECK(missing_of({4, 0, 5, 0, 6, 0, 8}).total == 1);
}

TEST_CASE("what comes late is not missing") {
  const auto [before, total] = missing_of({1, 2, 3, 5, 4, 6, 8, 7, 9});
  CHECK(before == Counts{0, 0, 0, 1, 0, 0, 1, 0, 0});
  CHECK(total == 0);
  CHECK(missing_of({1, 2, 3, 60, 59, 59, 4, 61, 62}).total == 54);
  CHECK(missing_of({1, 2, 3, 200, 201, 202, 150}).total == 195);
  // Later than is remembered: that it came is not known.
  CHECK(missing_of({1, 2, 3, 200, 201, 202, 50, 203}).total == 196);
}

TEST_CASE("packets of one request, and those that come twice, are no loss") {
  CHECK(missing_of({1, 2, 2, 2, 3, 4}).total == 0);
  CHECK(missing_of({1, 2, 3, 4, 2, 5}).total == 0);
}

TEST_CASE("another process at the same port begins anew") {
  CHECK(missing_of({500, 501, 502, 503, 1, 2, 3, 5}).total == 1);
  CHECK(missing_of({500, 501, 502, 503, 2'000'000'000, 2'000'000'001}).total == 0);
}

TEST_CASE("numbers go on from 0 after the last one of 32 bits") {
  CHECK(missing_of({4294967293, 4294967294, 4294967295, 0, 1}).total == 0);
  CHECK(missing_of({4294967293, 4294967294, 4294967295, 1, 2}).total == 1);
}

TEST_CASE("senders do not mix, and many of them are forgotten with their loss counted") {
  Numbering numbering;
  for (const std::uint32_t number : {1, 2, 3, 6}) {
    for (std::uint16_t port = 1; port <= 3; ++port) {
      CHECK(numbering.add(sender(port), number + 100U * port) == (number == 6 ? 2 : 0));
    }
  }
  CHECK(numbering.totals().missing == 6);
  CHECK(numbering.totals().senders == 3);
  // Sender 1 goes on all the time, and loses one of three.
  std::uint32_t number = 106;
  std::uint64_t missing = 6;
  for (std::uint16_t port = 4; port < 65535; ++port) {
    numbering.add(sender(port), 1);
    if (port % 1000 != 0) continue;
    CHECK(numbering.add(sender(1), number + 1) == 0);
    CHECK(numbering.add(sender(1), number + 3) == 1);
    number += 3;
    ++missing;
  }
  CHECK(numbering.totals().missing == missing);
}

// Field 1 is 0a, then its length; field 4 a number.
TEST_CASE("messages of one size that were sent in one piece are cut apart") {
  using namespace std::string_literals;
  const std::string one = "\x0a\x01m\x20\x05"s;
  const std::string two = "\x0a\x01n\x20\x06"s;
  CHECK(pieces_of(one + two + one) == Pieces{one, two, one});
  // The last one may be smaller.
  const std::string small = "\x0a\x00\x20\x06"s;
  CHECK(pieces_of(one + two + small) == Pieces{one, two, small});
  // A byte that looks like field 1 inside of another field is none.
  const std::string nested = "\x0a\x01\x0a\x7a\x02\x0a\x0a"s;
  CHECK(pieces_of(nested + nested) == Pieces{nested, nested});
  // Fields of every kind.
  const std::string kinds = "\x0a\x00\x3d\x0a\x0a\x0a\x0a\x09\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x20\x8a\x0a"s;
  CHECK(pieces_of(kinds + kinds) == Pieces{kinds, kinds});
}

TEST_CASE("all else is one message") {
  using namespace std::string_literals;
  const std::string one = "\x0a\x01m\x20\x05"s;
  const std::string small = "\x0a\x00\x20\x06"s;
  for (const std::string& whole :
       {""s, one, small + one, one + small + one, "\x20\x05"s + one + one, one + one + "\x0a\x09"s,
        one + one + "\x0b"s, one + one + "\x20"s, "\x0a"s, one + one + "\x0a\x00\x3d\x00"s,
        one + one + "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s}) {
    CHECK(pieces_of(whole) == Pieces{whole});
  }
}
