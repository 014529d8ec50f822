// Ten billion writes of our writers, and readers that look at them a single time: no value of up to eight
// bytes is ever seen in halves. Texts, which are longer, are read as all readers read them: until they
// settle.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/settle.h"
#include "patience.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(MMSTATS_EMULATED)
constexpr std::uint64_t kWrites = 10'000'000;
#else
constexpr std::uint64_t kWrites = 10'000'000'000;
#endif
constexpr int kThreads = 2;
constexpr std::size_t kCacheLine = 64;

// Values whose halves belong together, and change all the time.
constexpr std::uint64_t kPattern = 0xA5C3'96E1U;

std::uint64_t pair64(std::uint64_t n) {
  const std::uint64_t high = (n * 0x9E37'79B9U) & 0xFFFF'FFFFU;
  return high << 32U | (high ^ kPattern);
}
std::uint32_t pair32(std::uint64_t n) {
  const auto high = static_cast<std::uint32_t>((n * 0x9E37U) & 0xFFFFU);
  return high << 16U | (high ^ (kPattern & 0xFFFFU));
}
std::uint16_t pair16(std::uint64_t n) {
  const auto high = static_cast<std::uint16_t>(n & 0xFFU);
  return static_cast<std::uint16_t>(high << 8U | (high ^ (kPattern & 0xFFU)));
}
// Numbers from one to two: neither infinite nor NaN.
double pair_double(std::uint64_t n) {
  const std::uint64_t high = 0x3FF0'0000U | ((n * 0x9E37'79B9U >> 8U) & 0xF'FFFFU);
  return std::bit_cast<double>(high << 32U | (high ^ kPattern));
}
float pair_float(std::uint64_t n) {
  const std::uint32_t high = 0x3F80U | (n & 0x7FU);
  return std::bit_cast<float>(high << 16U | (high ^ (static_cast<std::uint32_t>(kPattern) & 0xFFFFU)));
}
// Added to a counter, keeps its halves equal for 2^32 increments.
constexpr std::uint64_t kBothHalves = 0x1'0000'0001U;

// What a distribution is fed with. Sums of them are multiples of a quarter.
constexpr std::array kSizes{0.75, 3.0, 100.0, 5000.5};

// What its fields may say: a value, or the middle of the 32nd of a power of two where it lies.
std::set<double> possible_sizes() {
  std::set<double> possible{0};  // the first part of a power of two has none of them
  for (const double size : kSizes) {
    const double width = std::exp2(std::floor(std::log2(size))) / 32;
    possible.insert({size, (std::floor(size / width) + 0.5) * width});
  }
  return possible;
}

template <class T>
T value_at(const std::byte* bytes) {
  T value{};
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Whether the bytes of a field were ever written as they are.
using IsWhole = bool (*)(const std::byte*);

bool is_pair64(const std::byte* bytes) {
  const auto bits = value_at<std::uint64_t>(bytes);
  return bits >> 32U == ((bits & 0xFFFF'FFFFU) ^ kPattern);
}
// All its bits: half of a value beside half of these is no number either.
bool is_none_yet(const std::byte* bytes) {
  return value_at<std::uint64_t>(bytes) ==
         std::bit_cast<std::uint64_t>(std::numeric_limits<double>::quiet_NaN());
}
bool is_pair64_or_none(const std::byte* bytes) { return is_pair64(bytes) || is_none_yet(bytes); }
bool is_pair32(const std::byte* bytes) {
  const auto bits = value_at<std::uint32_t>(bytes);
  return bits >> 16U == ((bits ^ kPattern) & 0xFFFFU);
}
bool is_pair16(const std::byte* bytes) {
  const auto bits = value_at<std::uint16_t>(bytes);
  return bits >> 8U == ((bits ^ kPattern) & 0xFFU);
}
bool is_count(const std::byte* bytes) {
  const auto bits = value_at<std::uint64_t>(bytes);
  return bits >> 32U == (bits & 0xFFFF'FFFFU);
}
bool is_size(const std::byte* bytes) {
  static const auto possible = possible_sizes();
  return is_none_yet(bytes) || possible.contains(value_at<double>(bytes));
}
bool is_sum(const std::byte* bytes) {
  const double sum = value_at<double>(bytes);
  return sum >= 0 && sum < 1e15 && sum * 4 == std::floor(sum * 4);
}

IsWhole check_for(std::string_view label) {
  constexpr std::pair<std::string_view, IsWhole> kChecks[] = {{"pair64", is_pair64},
                                                              {"pair32", is_pair32},
                                                              {"pair16", is_pair16},
                                                              {"count", is_count},
                                                              {"last", is_pair64_or_none}};
  for (const auto& [kind, check] : kChecks) {
    if (label.starts_with(kind)) return check;
  }
  if (!label.starts_with("sizes")) return nullptr;
  if (label.ends_with(".sum")) return is_sum;
  return label.ends_with(".count") ? nullptr : is_size;
}

struct Place {
  std::size_t offset;
  std::size_t size;
  IsWhole is_whole;
};

// Looks at one file again and again, by pread and by a mapping.
class Reader {
 public:
  Reader(const std::string& path, std::vector<Place> places) : places_(std::move(places)) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
    bytes_.resize(static_cast<std::size_t>(::lseek(fd_, 0, SEEK_END)));
    before_.resize(bytes_.size());
    void* const map = ::mmap(nullptr, bytes_.size(), PROT_READ, MAP_SHARED, fd_, 0);
    REQUIRE(map != MAP_FAILED);
    map_ = static_cast<const std::byte*>(map);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    ::munmap(const_cast<std::byte*>(map_), bytes_.size());
    ::close(fd_);
  }

  void look() {
    if (::pread(fd_, bytes_.data(), bytes_.size(), 0) != static_cast<ssize_t>(bytes_.size())) ++torn;
    check();
    std::memcpy(bytes_.data(), map_, bytes_.size());
    check();
  }

  std::uint64_t looks = 0;
  std::uint64_t changes = 0;  // values that were others in the look before
  std::uint64_t torn = 0;

 private:
  void check() {
    ++looks;
    for (const Place& place : places_) {
      const std::byte* const value = bytes_.data() + place.offset;
      changes += std::memcmp(value, before_.data() + place.offset, place.size) != 0 ? 1 : 0;
      torn += place.is_whole(value) ? 0 : 1;
    }
    bytes_.swap(before_);
  }

  std::vector<Place> places_;
  int fd_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> before_;
  const std::byte* map_;
};

template <class Field, class... Initial>
std::array<Field, 4> four(Model& model, const std::string& label, Initial... initial) {
  return {Field(model, label + '0', {}, initial...), Field(model, label + '1', {}, initial...),
          Field(model, label + '2', {}, initial...), Field(model, label + '3', {}, initial...)};
}

// Several of each kind, so that their stores run at the processor's pace.
struct Numbers {
  explicit Numbers(Model& model)
      : unsigned64(four<UInt64Field>(model, "pair64.Q", pair64(0))),
        signed64(four<Gauge<std::int64_t>>(model, "pair64.q", static_cast<std::int64_t>(pair64(0)))),
        doubles(four<DoubleField>(model, "pair64.d", pair_double(0))),
        unsigned32(four<UIntField>(model, "pair32.I", pair32(0))),
        signed32(four<IntField>(model, "pair32.i", static_cast<std::int32_t>(pair32(0)))),
        floats(four<FloatField>(model, "pair32.f", pair_float(0))),
        unsigned16(four<UShortField>(model, "pair16.H", pair16(0))),
        signed16(four<ShortField>(model, "pair16.h", static_cast<std::int16_t>(pair16(0)))),
        counts(four<Counter>(model, "count.")) {}

  // Returns how many writes it was.
  std::uint64_t write(std::uint64_t n) {
    for (std::size_t i = 0; i < 4; ++i) {
      unsigned64[i] = pair64(n);
      signed64[i] = static_cast<std::int64_t>(pair64(n));
      doubles[i] = pair_double(n);
      unsigned32[i] = pair32(n);
      signed32[i] = static_cast<std::int32_t>(pair32(n));
      floats[i] = pair_float(n);
      unsigned16[i] = pair16(n);
      signed16[i] = static_cast<std::int16_t>(pair16(n));
      counts[i].incr(kBothHalves);
    }
    return std::uint64_t{4} * 9;
  }

  std::array<UInt64Field, 4> unsigned64;
  std::array<Gauge<std::int64_t>, 4> signed64;
  std::array<DoubleField, 4> doubles;
  std::array<UIntField, 4> unsigned32;
  std::array<IntField, 4> signed32;
  std::array<FloatField, 4> floats;
  std::array<UShortField, 4> unsigned16;
  std::array<ShortField, 4> signed16;
  std::array<Counter, 4> counts;
};

struct Hammered : Model {
  explicit Hammered(const std::string& folder)
      : Model({.path = folder, .on_error = [](const Error& error) { FAIL_CHECK(error.text()); }}) {}

  Numbers numbers{*this};
  SharedCounter shared_count{*this, "count.shared"};
  SharedGauge<std::uint64_t> shared_number{*this, "pair64.shared", {}, pair64(0)};
  SharedGauge<double> shared_fraction{*this, "pair64.shared_d", {}, pair_double(0)};
  SharedGauge<std::int32_t> shared_small{*this, "pair32.shared", {}, static_cast<std::int32_t>(pair32(0))};
  MovingAverage last{*this, "last", {}, 1};  // the mean of one value is it
  Histogram sizes{*this, "sizes"};
  MovingHistogram moving_sizes{*this, "sizes.moving", {}, 50};
  StringField text{*this, "text", {}, 255, "aaa"};
};

// Writes so much at least, and until readers have `seen_enough`. Returns how much it was.
std::uint64_t hammer(Hammered& fields, std::uint64_t writes, const std::atomic<bool>& seen_enough) {
  // A copy is the same fields: the compiler keeps this one's addresses in registers.
  Numbers numbers = fields.numbers;
  std::uint64_t wrote = 0;
  for (std::uint64_t n = 1; wrote < writes || !seen_enough.load(std::memory_order_relaxed); ++n) {
    wrote += numbers.write(n);
    if (n % 8 == 0) {
      fields.shared_count.incr(kBothHalves);
      fields.shared_number = pair64(n);
      fields.shared_fraction = pair_double(n);
      fields.shared_small = static_cast<std::int32_t>(pair32(n));
      fields.last.add(pair_double(n));
      const double size = kSizes[n / 8 % kSizes.size()];
      fields.sizes.add(size);
      fields.moving_sizes.add(kSizes[n / 512 % kSizes.size()]);
      wrote += 5 + 2 * 8;
    }
    if (n % 4096 == 0) {
      char text[255];
      std::memset(text, static_cast<int>('a' + n / 4096 % 26), sizeof text);
      fields.text = std::string_view(text, sizeof text);
      ++wrote;
    }
  }
  return wrote;
}

}  // namespace

TEST_CASE("readers that look once see no half of ten billion writes") {
  const TemporaryFolder folder;
  Hammered fields(folder.path());
  std::atomic<int> ready{0};
  std::atomic<int> running{kThreads};
  std::atomic<std::uint64_t> wrote{0};
  std::atomic<bool> seen_enough{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < kThreads; ++i) {
    writers.emplace_back([&] {
      CHECK(fields.open().has_value());
      ++ready;
      wrote += hammer(fields, kWrites / kThreads, seen_enough);
      --running;
    });
  }
  while (ready < kThreads) std::this_thread::yield();

  std::vector<std::unique_ptr<Reader>> readers;
  const auto paths = fields.paths();
  REQUIRE(paths.size() == kThreads + 1);
  for (const auto& path : paths) {
    const auto reading = read_settled(path);
    REQUIRE(reading.has_value());
    std::vector<Place> places;
    for (const Field& field : reading->content.fields) {
      const auto check = check_for(field.label);
      if (check == nullptr) continue;
      const auto offset = static_cast<std::size_t>(field.value.data() - reading->snapshot.bytes.data());
      CHECK(offset % (field.value.size() / field.type.items) == 0);
      places.push_back({offset, field.value.size(), check});
    }
    CHECK(places.size() >= 4);
    readers.push_back(std::make_unique<Reader>(path, std::move(places)));
  }

  std::uint64_t texts = 0;
  std::uint64_t torn_texts = 0;
  std::set<char> letters;  // that the texts were of
  // However slow the readers are: the writers write until each file was seen to change, and several texts.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const auto have_seen_enough = [&] {
    return letters.size() > 2 && std::all_of(readers.begin(), readers.end(),
                                             [](const auto& reader) { return reader->changes > 0; });
  };
  for (std::uint64_t round = 0; running > 0; ++round) {
    for (const auto& reader : readers) reader->look();
    if (!seen_enough) seen_enough = have_seen_enough() || std::chrono::steady_clock::now() > deadline;
    if (round % 64 != 0) continue;
    const auto reading = read_settled(paths[round / 64 % paths.size()]);
    REQUIRE(reading.has_value());
    CHECK(!reading->content.damage);
    for (const Field& field : reading->content.fields) {
      const auto& unsettled = reading->unsettled;
      if (field.label != "text" || std::count(unsettled.begin(), unsettled.end(), "text") > 0) continue;
      const std::string_view text(reinterpret_cast<const char*>(field.value.data()), field.value.size());
      ++texts;
      letters.insert(text[0]);
      const bool initial = text.starts_with(std::string_view("aaa\0", 4));
      torn_texts += initial || text.find_first_not_of(text[0]) == text.npos ? 0 : 1;
    }
  }
  for (auto& writer : writers) writer.join();

  std::uint64_t looks = 0;
  std::uint64_t changes = 0;
  for (const auto& reader : readers) {
    CHECK(reader->torn == 0);
    looks += reader->looks;
    changes += reader->changes;
  }
  CHECK(wrote >= kWrites);
  CHECK(torn_texts == 0);
  CHECK(changes > 0);
  CHECK(have_seen_enough());
  MESSAGE(wrote.load() << " writes, " << looks << " looks that found " << changes << " changed values, "
                       << texts << " texts");
}

// The same readers, and a writer that does what ours must not.
TEST_CASE("a writer of two halves, or across a cache line, is found out") {
  const TemporaryFolder folder;
  const std::vector<std::byte> page(4096);
  folder.write("torn", page);
  const int fd = ::open((folder / "torn").c_str(), O_RDWR | O_CLOEXEC);
  void* const map = ::mmap(nullptr, page.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  REQUIRE(map != MAP_FAILED);
  for (const std::size_t offset : {kCacheLine - 4, kCacheLine}) {
    CAPTURE(offset);
    auto* const value =
        static_cast<volatile std::uint32_t*>(static_cast<void*>(static_cast<std::byte*>(map) + offset));
    value[0] = static_cast<std::uint32_t>(pair64(0));
    value[1] = static_cast<std::uint32_t>(pair64(0) >> 32U);
    Reader reader(folder / "torn", {{offset, sizeof(std::uint64_t), is_pair64}});
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      for (std::uint64_t n = 0; !stop.load(std::memory_order_relaxed); ++n) {
        value[0] = static_cast<std::uint32_t>(pair64(n));
        value[1] = static_cast<std::uint32_t>(pair64(n) >> 32U);
      }
    });
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (reader.torn == 0 && std::chrono::steady_clock::now() < deadline) reader.look();
    stop = true;
    writer.join();
    CHECK(reader.torn > 0);
  }
  ::munmap(map, page.size());
}
