// Readings of a file that is written meanwhile: which values are believed, and which are not.
#include "mmstats/settle.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "held_calls.h"
#include "sample.h"

using mmstats::Reading;
using mmstats::Settler;
using mmstats::Snapshot;

namespace {

Snapshot snapshot_of(const std::string& content) {
  Snapshot snapshot;
  snapshot.path = "test";
  const auto bytes = sample::bytes(content);
  snapshot.bytes.assign(bytes.begin(), bytes.end());
  return snapshot;
}

// A file with one buffered field that publishes `value`.
std::string one_field(const std::string& type, std::uint64_t value, std::uint8_t write_buffer = 1) {
  const std::string published = sample::number(value);
  const std::string other = sample::number(0x5555555555555555);
  return sample::file(
      sample::field("a", type, write_buffer, write_buffer == 1 ? published + other : other + published));
}

// A file's first page, as its writer holds it.
class SharedMapping {
 public:
  explicit SharedMapping(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    at_ = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    REQUIRE(at_ != MAP_FAILED);
  }
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping() { ::munmap(at_, kSize); }

  [[nodiscard]] volatile std::uint8_t* bytes() const { return static_cast<volatile std::uint8_t*>(at_); }

 private:
  static constexpr std::size_t kSize = 4096;
  void* at_ = nullptr;
};

std::uint64_t value_of(const Reading& reading, std::size_t field = 0) {
  std::uint64_t value = 0;
  std::memcpy(&value, reading.content.fields.at(field).value.data(), sizeof value);
  return value;
}

}  // namespace

TEST_CASE(
    "a value is settled when two readings in a row agree, a counter also between its neighbours in time") {
  struct Row {
    const char* name;
    const char* type;
    std::vector<std::uint64_t> readings;
    std::size_t settled_after;  // 0: never
    std::uint64_t want;
  };
  const Row rows[] = {
      {"equal at once", "q", {5, 5}, 2, 5},
      {"equal later", "q", {1, 2, 3, 3}, 4, 3},
      {"never equal", "q", {1, 2, 3, 4, 5, 6, 7, 8}, 0, 8},
      {"equal, but not in a row", "q", {1, 2, 1, 2, 1}, 0, 1},
      {"a counter between its neighbours", "Q", {1, 2, 3}, 3, 2},
      {"a counter that went up once", "Q", {1, 2, 2}, 3, 2},
      {"a padded counter", "      Q", {1, 2, 3}, 3, 2},
      {"a swapped counter is compared as a number",
       ">Q",
       {0x0100000000000000, 0x0200000000000000, 0x0300000000000000},
       3,
       0x0200000000000000},
      {"a swapped counter that falls, though its bytes rise",
       ">Q",
       {0x0000000000000003, 0x0100000000000002, 0x0200000000000001},
       0,
       0x0200000000000001},
      {"a torn counter above both", "Q", {1, 900, 3, 4}, 0, 4},
      {"a torn counter, then good ones", "Q", {1, 900, 3, 4, 5}, 5, 4},
      {"a torn counter below both", "Q", {10, 0, 11, 12}, 4, 11},
      {"a counter that was reset", "Q", {10, 0, 0}, 3, 0},
      {"a float is no counter", "d", {1, 2, 3}, 0, 3},
      {"two items are no counter", "2I", {1, 2, 3}, 0, 3},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Settler settler;
    std::size_t settled_after = 0;
    for (std::size_t i = 0; i < row.readings.size() && settled_after == 0; ++i) {
      if (settler.add(snapshot_of(one_field(row.type, row.readings[i])))) settled_after = i + 1;
    }
    CHECK(settled_after == row.settled_after);
    const Reading reading = std::move(settler).finish();
    CHECK(value_of(reading) == row.want);
    CHECK(reading.unsettled.empty() == (row.settled_after != 0));
    if (row.settled_after == 0) CHECK(reading.unsettled == std::vector<std::string>{"a"});
  }
}

TEST_CASE("what counts is the published value, in whichever buffer each reading finds it") {
  Settler settler;
  CHECK_FALSE(settler.add(snapshot_of(one_field("q", 7, 0))));
  CHECK(settler.add(snapshot_of(one_field("q", 7, 1))));
  Reading reading = std::move(settler).finish();
  CHECK(value_of(reading) == 7);

  Settler changing;
  CHECK_FALSE(changing.add(snapshot_of(one_field("q", 7, 0))));
  CHECK_FALSE(changing.add(snapshot_of(one_field("q", 8, 1))));
  CHECK_FALSE(changing.add(snapshot_of(one_field("q", 9, 1))));
  reading = std::move(changing).finish();
  CHECK(value_of(reading) == 9);
  // The bytes agree with the fields that were taken from them.
  mmstats::ParsedFile again;
  mmstats::parse(reading.snapshot.bytes, again);
  CHECK(again.fields.at(0).value.data() == reading.content.fields.at(0).value.data());
}

TEST_CASE("a file was modified when its last reading says so") {
  using std::chrono::system_clock;
  const auto at = [](int seconds) {
    Snapshot snapshot = snapshot_of(one_field("q", static_cast<std::uint64_t>(seconds)));
    snapshot.modified = system_clock::time_point(std::chrono::seconds(seconds));
    return snapshot;
  };
  Settler settler;
  for (const int seconds : {100, 200, 300}) CHECK_FALSE(settler.add(at(seconds)));
  const Reading reading = std::move(settler).finish();
  CHECK(reading.snapshot.modified == system_clock::time_point(std::chrono::seconds(300)));
}

TEST_CASE("a value that another one follows each time is read so often and no more, and then named") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "file", one_field("q", 0));
  const SharedMapping mapping(path);
  int calls = 0;
  if (!held::while_held(
          SYS_pread64, held::kAtEach,
          [&] {
            const auto reading = mmstats::read_settled(path);
            CHECK(reading.has_value());
            if (reading) CHECK(reading->unsettled == std::vector<std::string>{"a"});
          },
          // The lowest byte of the published value.
          [&] { mapping.bytes()[8] = static_cast<std::uint8_t>(++calls); }))
    return;
  CHECK(calls >= mmstats::kMostReadings);
}

TEST_CASE("an unbuffered value has no neighbours: it settles only by being equal") {
  const auto file = [](std::uint64_t value) {
    return sample::file(sample::field("a", "Q", 0xFF, sample::number(value)));
  };
  Settler settler;
  for (const std::uint64_t value : {1, 2, 3, 4}) CHECK_FALSE(settler.add(snapshot_of(file(value))));
  CHECK(settler.add(snapshot_of(file(4))));
}

TEST_CASE("each value settles by itself, and keeps what it settled with") {
  const auto file = [](std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    const auto field = [](const char* label, const char* type, std::uint64_t value) {
      return sample::field(label, type, 1, sample::number(value) + sample::number(0));
    };
    return sample::file(field("a", "d", a) + field("b", "Q", b) + field("c", "d", c));
  };
  Settler settler;
  CHECK_FALSE(settler.add(snapshot_of(file(1, 10, 100))));
  CHECK_FALSE(settler.add(snapshot_of(file(1, 11, 101))));
  CHECK_FALSE(settler.add(snapshot_of(file(2, 12, 102))));
  CHECK_FALSE(settler.add(snapshot_of(file(3, 9, 103))));
  const Reading reading = std::move(settler).finish();
  CHECK(value_of(reading, 0) == 1);
  CHECK(value_of(reading, 1) == 11);
  CHECK(value_of(reading, 2) == 103);
  CHECK(reading.unsettled == std::vector<std::string>{"c"});
}

TEST_CASE("when a reading finds other fields, all begins again with it") {
  const std::string a = sample::counter("a", 1);
  const std::string b = sample::counter("b", 2);
  struct Row {
    const char* name;
    std::string before;
    std::string after;
  };
  const Row rows[] = {
      {"a field more", sample::file(a), sample::file(a + b)},
      {"a field less", sample::file(a + b), sample::file(a)},
      {"another label", sample::file(a), sample::file(sample::counter("c", 1))},
      {"another type", sample::file(a), sample::file(sample::field("a", "q", 1, std::string(16, '\0')))},
      {"no longer buffered", sample::file(sample::field("a", "Q", 1, std::string(16, '\0'))),
       sample::file(sample::field("a", "2Q", 0xFF, std::string(16, '\0')))},
      {"damage", sample::file(a), "\x01" + a + "\x05"},
      {"damage mended", "\x01" + a + "\x05", sample::file(a)},
      {"cut inside the only field", sample::file(a), "\x01" + a.substr(0, 10)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Settler settler;
    settler.add(snapshot_of(row.before));
    const bool settled = settler.add(snapshot_of(row.after));
    mmstats::ParsedFile want;
    const auto bytes = snapshot_of(row.after).bytes;
    mmstats::parse(bytes, want);
    CHECK(settled == want.fields.empty());
    settler.add(snapshot_of(row.after));
    const Reading reading = std::move(settler).finish();
    CHECK(reading.unsettled.empty());
    CHECK(reading.content.fields.size() == want.fields.size());
    CHECK(reading.content.damage.has_value() == want.damage.has_value());
    CHECK(std::ranges::equal(reading.snapshot.bytes, bytes));
  }
}

TEST_CASE("a file without fields, and one that is damaged from its first field on, need one reading") {
  Settler empty;
  CHECK(empty.add(snapshot_of(sample::file(""))));
  Settler damaged;
  CHECK(damaged.add(snapshot_of("\x01\x05")));
  const Reading reading = std::move(damaged).finish();
  CHECK(reading.content.damage);
}

TEST_CASE("a reading keeps its views when it moves") {
  const TemporaryFolder folder;
  const auto path = sample::write(folder, "a", sample::file(sample::counter("label", 42)));
  auto reading = mmstats::read_settled(path);
  REQUIRE(reading);
  const Reading moved = std::move(*reading);
  CHECK(moved.content.fields.at(0).label == "label");
  CHECK(value_of(moved) == 42);
  CHECK(moved.snapshot.path == path);
}

TEST_CASE("what changes between the first reading and the second is read again") {
  const TemporaryFolder folder;
  const std::string a = sample::counter("a", 7);
  // Before and behind what one call reads at first.
  for (const std::size_t padding : {0U, 33'000U, 65'520U, 70'000U}) {
    CAPTURE(padding);
    const std::string pad =
        padding == 0 ? ""
                     : sample::field("pad", std::to_string(padding) + "s", 0xFF, std::string(padding, 'x'));
    const std::string before = sample::file(pad + a);
    const struct {
      std::string_view what;
      std::string after;
      std::size_t fields;
      std::uint64_t value;
    } rows[] = {
        {"nothing", before, 1, 7},
        {"a value", sample::file(pad + sample::counter("a", 8)), 1, 8},
        {"it grows", sample::file(pad + a + sample::counter("b", 9)), 2, 9},
        {"it is cut", sample::file(pad), 0, 0},
    };
    for (const auto& row : rows) {
      CAPTURE(row.what);
      const auto path = sample::write(folder, "file", before);
      if (!held::while_held(
              SYS_pread64, 2,
              [&] {
                const auto reading = mmstats::read_settled(path);
                REQUIRE(reading);
                const auto& fields = reading->content.fields;
                CHECK(fields.size() == row.fields + (padding == 0 ? 0 : 1));
                CHECK(reading->unsettled.empty());
                CHECK_FALSE(reading->content.damage.has_value());
                if (row.fields > 0) CHECK(value_of(*reading, fields.size() - 1) == row.value);
              },
              [&] { sample::write(folder, "file", row.after); }))
        return;
    }
  }
}

TEST_CASE("a file that is none of ours is refused, a damaged one is not") {
  const TemporaryFolder folder;
  const auto other = mmstats::read_settled(sample::write(folder, "a", "hello"));
  REQUIRE(!other);
  CHECK(other.error().kind == mmstats::ErrorKind::kNotMmstats);
  CHECK(other.error().text() ==
        (folder / "a") + ": is not an mmstats file: version 0x68 at byte 0 is not known, only 0x01 is");
  CHECK(mmstats::read_settled(sample::write(folder, "b", "")).error().kind ==
        mmstats::ErrorKind::kUnfinished);
  CHECK(mmstats::read_settled(folder / "c").error().kind == mmstats::ErrorKind::kNotFound);
  const auto damaged =
      mmstats::read_settled(sample::write(folder, "d", "\x01" + sample::counter("a", 1) + "\x05"));
  REQUIRE(damaged);
  CHECK(damaged->content.fields.size() == 1);
  CHECK(damaged->content.damage);
}

TEST_CASE(
    "a file that is cut and grows meanwhile gives what is left of it, never a value that was not there") {
  const TemporaryFolder folder;
  const std::string a = sample::counter("a", 7);
  const std::string content = sample::file(a + sample::counter("b", 8) + sample::counter("c", 9));
  const auto path = sample::write(folder, "file", content);
  const std::jthread cutter([&](const std::stop_token& stop) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    for (unsigned i = 0; !stop.stop_requested(); ++i) {
      const auto size = static_cast<off_t>(1 + i * 7U % content.size());
      if (::ftruncate(fd, size) != 0 || ::pwrite(fd, content.data(), content.size(), 0) < 0) break;
    }
    ::close(fd);
  });
  for (int i = 0; i < 3000; ++i) {
    const auto reading = mmstats::read_settled(path);
    REQUIRE(reading);
    const auto& fields = reading->content.fields;
    for (std::size_t field = 0; field < fields.size(); ++field) {
      if (!reading->unsettled.empty()) continue;
      // The system may show zeros where it is cutting.
      const std::uint64_t value = value_of(*reading, field);
      CHECK((value == 7 + field || value == 0));
    }
  }
}

TEST_CASE("a value that a writer hammers is never settled torn") {
  // As the original writes it: unaligned, and across the border of two cache lines.
  const std::string label(64 - 5 - 1 - 2 - 2 - 2 - 1, 'x');
  const std::string content = sample::file(sample::field(label, "8s", 1, std::string(16, '\0')));
  const std::size_t flag_at = content.size() - 2 - 16 - 1;
  REQUIRE(flag_at + 1 == 59);

  const TemporaryFolder folder;
  const auto path = sample::write(folder, "file", content);
  const SharedMapping mapping(path);

  const std::jthread writer([&](const std::stop_token& stop) {
    volatile std::uint8_t* file = mapping.bytes();
    for (std::uint32_t n = 1; !stop.stop_requested(); ++n) {
      // Two halves that must match, into the buffer that nobody reads; then the byte flips.
      volatile std::uint8_t* buffer = file + flag_at + 1 + (file[flag_at] == 0 ? 0 : 8);
      for (unsigned half = 0; half < 2; ++half) {
        for (unsigned i = 0; i < 4; ++i) buffer[4 * half + i] = static_cast<std::uint8_t>(n >> (8 * i));
      }
      file[flag_at] = file[flag_at] ^ 1U;
      // In bursts, so that some readings find it at rest.
      if (n % 2048 == 0) {
        for (int pause = 0; pause < 20'000; ++pause) asm volatile("");
      }
    }
  });
  int settled = 0;
  int unsettled = 0;
  constexpr int kReadings = 60'000;
  for (int i = 0; i < kReadings; ++i) {
    const auto reading = mmstats::read_settled(path);
    REQUIRE(reading);
    if (!reading->unsettled.empty()) {
      ++unsettled;
      continue;
    }
    ++settled;
    const std::uint64_t value = value_of(*reading);
    if (value >> 32U != (value & 0xFFFFFFFFU)) FAIL("a torn value was settled");
  }
  CHECK(settled > 0);
  CHECK(unsettled + settled == kReadings);
  MESSAGE("settled ", settled, ", not settled ", unsettled);
}
