// What others find when they look at any instruction of a writer: readers whole values, whole texts and whole
// fields; a signal's handler a library that does not make it wait for what it interrupted.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "child_process.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/settle.h"
#include "patience.h"
#include "published.h"
#include "single_step.h"

#if defined(HAS_SINGLE_STEP)
using namespace mmstats;

namespace {

// A file as readers see it, which can be looked at without a system call.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    size_ = static_cast<std::size_t>(::lseek(fd, 0, SEEK_END));
    void* const map = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    REQUIRE(map != MAP_FAILED);
    bytes_ = static_cast<const std::byte*>(map);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { ::munmap(const_cast<std::byte*>(bytes_), size_); }

  [[nodiscard]] const std::byte* at(std::size_t offset) const { return bytes_ + offset; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  const std::byte* bytes_;
  std::size_t size_ = 0;
};

bool all_are(const std::byte* bytes, std::size_t size, char letter) {
  return std::all_of(bytes, bytes + size, [=](std::byte byte) { return byte == std::byte(letter); });
}

// What happened to some bytes over many looks: the values that they had, in their order.
template <class T>
class History {
 public:
  void look(const std::byte* at) {
    T now{};
    std::memcpy(&now, at, sizeof now);
    if (size_ > 0 && std::memcmp(&values_[size_ - 1], &now, sizeof now) == 0) return;
    if (size_ < values_.size()) values_[size_] = now;
    ++size_;
  }
  [[nodiscard]] std::vector<T> values() const {
    return {values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(std::min(size_, values_.size()))};
  }

 private:
  std::array<T, 8> values_{};
  std::size_t size_ = 0;
};

// Where the value of a field is that readers take.
std::size_t published_at(const Published& file, const char* label) {
  return static_cast<std::size_t>(file.field(label).value.data() - file.bytes().data());
}

}  // namespace

TEST_CASE("at every instruction of its writer a text is whole, and beside it is one that is not") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  constexpr std::size_t kSize = 255;
  StringField text(model, "text", {}, kSize, std::string(kSize, 'a'));
  REQUIRE(model.open());
  const Published file(model);
  const MappedFile map(Published::only_path(model));
  const auto write_buffer = file.field("text").write_buffer_offset;
  char before = 'a';
  for (const char now : {'b', 'c', 'd'}) {
    CAPTURE(now);
    const std::string next(kSize, now);
    std::size_t old_ones = 0;
    std::size_t new_ones = 0;
    std::size_t torn = 0;
    std::size_t torn_beside = 0;  // what a reader would get that takes the other buffer
    bool was_new = false;
    stepped::each([&] { text = next; },
                  [&] {
                    const auto written = std::to_integer<std::size_t>(*map.at(write_buffer));
                    const auto* const published = map.at(write_buffer + 1 + (written == 0 ? kSize : 0));
                    const auto* const other = map.at(write_buffer + 1 + (written == 0 ? 0 : kSize));
                    const bool is_old = all_are(published, kSize, before);
                    const bool is_new = all_are(published, kSize, now);
                    old_ones += is_old ? 1 : 0;
                    new_ones += is_new ? 1 : 0;
                    torn += (is_old && !was_new) || is_new ? 0 : 1;
                    torn_beside += *other != other[kSize - 1] ? 1 : 0;
                    was_new = is_new;
                    return true;
                  });
    CHECK(torn == 0);
    CHECK(torn_beside > 0);
    CHECK(old_ones > 0);
    CHECK(new_ones > 0);
    before = now;
  }
}

TEST_CASE("at every instruction of its writer a number is what it was or what it will be") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter count(model, "count");
  Gauge<std::int64_t> level(model, "level", {}, -1);
  DoubleField share(model, "share", {}, 0.1);
  IntField small(model, "small", {}, 0x1111'1111);
  UShortField smaller(model, "smaller", {}, std::uint16_t{0x1111});
  MovingAverage mean(model, "mean", {}, 1);
  Average all(model, "all");
  REQUIRE(model.open());
  count.set_value(0xFFFF'FFFF);
  mean.add(0.1);
  all.add(0.1);
  const Published file(model);
  const MappedFile map(Published::only_path(model));
  History<std::uint64_t> counts;
  History<std::int64_t> levels;
  History<double> shares;
  History<double> means;
  History<double> alls;
  History<std::int32_t> smalls;
  History<std::uint16_t> smallers;
  const std::size_t at[] = {published_at(file, "count"),  published_at(file, "level"),
                            published_at(file, "share"),  published_at(file, "mean"),
                            published_at(file, "all"),    published_at(file, "small"),
                            published_at(file, "smaller")};
  std::size_t steps = 0;
  const auto look = [&] {
    ++steps;
    counts.look(map.at(at[0]));
    levels.look(map.at(at[1]));
    shares.look(map.at(at[2]));
    means.look(map.at(at[3]));
    alls.look(map.at(at[4]));
    smalls.look(map.at(at[5]));
    smallers.look(map.at(at[6]));
    return true;
  };
  look();
  stepped::each(
      [&] {
        count.incr();
        level = 1;
        share = 0.3;
        mean.add(0.3);
        all.add(0.5);
        small = 0x2222'2222;
        smaller = std::uint16_t{0x2222};
      },
      look);
  CHECK(steps > 30);
  CHECK(counts.values() == std::vector<std::uint64_t>{0xFFFF'FFFF, 0x1'0000'0000});
  CHECK(levels.values() == std::vector<std::int64_t>{-1, 1});
  CHECK(shares.values() == std::vector{0.1, 0.3});
  CHECK(means.values() == std::vector{0.1, 0.3});
  CHECK(alls.values() == std::vector{0.1, (0.1 + 0.5) / 2});
  CHECK(smalls.values() == std::vector<std::int32_t>{0x1111'1111, 0x2222'2222});
  CHECK(smallers.values() == std::vector<std::uint16_t>{0x1111, 0x2222});
}

TEST_CASE("a field that is added appears whole, at one instruction, when it is described") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  REQUIRE(model.open());
  const auto path = Published::only_path(model);
  // Both bytes of each label's size say something.
  for (const char letter : {'a', 'b', 'c'}) {
    CAPTURE(letter);
    const std::string label(300, letter);
    const Published before(path);
    const auto& last = before.fields().back();
    const auto end = last.write_buffer_offset + 1 + (last.buffered ? 2 : 1) * last.type.size;
    std::vector<std::byte> seen;
    {
      const MappedFile map(path);
      seen.resize(map.size());
      REQUIRE(end + 2 <= map.size());
      stepped::each([&] { Gauge<double>(model, label, {.unit = "seconds"}, 0.5); },
                    [&] {
                      if (*map.at(end) == std::byte{0} && *map.at(end + 1) == std::byte{0}) return true;
                      std::memcpy(seen.data(), map.at(0), seen.size());
                      return false;
                    });
    }
    const auto now = sample::read(path);
    REQUIRE(now.size() >= seen.size());
    // What the old size of the file held of it: all of the list's end, where it did not grow.
    CHECK(std::equal(seen.begin(), seen.end(), now.begin()));
    const Published after(path);
    CHECK(after.value(label) == 0.5);
    CHECK(find_metadata(after.metadata(), label).unit == "seconds");
  }
}

TEST_CASE("a line of metadata appears whole, at one instruction") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Counter first(model, "first");
  REQUIRE(model.open());
  const auto path = Published::only_path(model);
  const Published before(path);
  const auto end = published_at(before, "sys.metadata") + before.metadata().size();
  const std::string line = "second\tgauge\tseconds\tHow long\n";
  std::string seen(line.size(), '\0');
  const MappedFile map(path);
  stepped::each([&] { DoubleField(model, "second", {.unit = "seconds", .help = "How long"}); },
                [&] {
                  if (*map.at(end) == std::byte{0}) return true;
                  std::memcpy(seen.data(), map.at(end), seen.size());
                  return false;
                });
  CHECK(seen == line);
  CHECK(Published(path).metadata() == before.metadata() + line);
}

// That a handler may write first is not promised, as it makes a file. But it must not wait for ever.
TEST_CASE("a signal's handler that writes first waits for nothing that it interrupted") {
  const TemporaryFolder folder;
  ChildProcess child([&] {
    end_if_it_hangs();
    // Takes the lock of all Models, and no memory, which a handler must not take amid that.
    const auto options = published_in(folder);
    Model passing(options);
    std::size_t first = 1;
    std::size_t files = 0;
    std::size_t nowhere = 0;
    for (bool reached = true; reached; ++files) {
      Model model(options);
      Counter count(model, "count");
      std::size_t step = 0;
      reached = false;
      stepped::each([&] { passing.remove(); },
                    [&] {
                      if (++step < first) return true;
                      count.incr();
                      // Where there was no way to a file, the next instruction has its first write again.
                      reached = detail::thread_files[model.number()] != nullptr;
                      nowhere += reached ? 0 : 1;
                      return !reached;
                    });
      first = step + 1;
      count.incr();
      must(count.value() == (reached ? 2 : 1));
    }
    must(files > 10);
    must(nowhere > 10);
  });
  CHECK(child.wait() == 0);
}

#endif
