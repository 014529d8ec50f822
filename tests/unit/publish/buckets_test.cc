// The buckets of histograms as readers find them: fields that appear with the first value of their power of
// two, whatever interrupts, ends, forks, deletes or cuts.
#include "base/buckets.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "child_process.h"
#include "format/bucket_field.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/parse.h"
#include "own_memory.h"
#include "published.h"
#include "single_step.h"

using namespace mmstats;

namespace {

using Powers = std::map<int, std::vector<std::uint64_t>>;

// Of one histogram, duplicates added. Each is aligned, so that no number is ever seen in part.
Powers powers_in(const std::vector<Field>& fields, const std::byte* file, std::string_view stem) {
  Powers powers;
  for (const Field& field : fields) {
    const auto bucket = bucket_field(field);
    if (!bucket || bucket->stem != stem) continue;
    must((field.value.data() - file) % 8 == 0);
    auto& counts = powers[bucket->power];
    counts.resize(field.type.items);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      std::uint64_t count = 0;
      std::memcpy(&count, field.value.data() + 8 * i, sizeof count);
      counts[i] += count;
    }
  }
  return powers;
}
Powers powers_in(const Published& file, std::string_view stem) {
  return powers_in(file.fields(), file.bytes().data(), stem);
}

std::uint64_t total_of(const Powers& powers) {
  std::uint64_t total = 0;
  for (const auto& [power, counts] : powers) total = std::accumulate(counts.begin(), counts.end(), total);
  return total;
}

std::vector<const Field*> rooms_in(const Published& file) {
  std::vector<const Field*> rooms;
  for (const Field& field : file.fields()) {
    if (label_has_suffix(field.label, kRoomLabel)) rooms.push_back(&field);
  }
  return rooms;
}

// A value of each power of two.
void add_to_all(const Histogram& histogram, double part = 1) {
  for (int power = -30; power < 50; ++power) histogram.add(std::ldexp(part, power));
}

std::size_t offset_of(const Published& file, std::string_view label) {
  return static_cast<std::size_t>(file.field(label).value.data() - file.bytes().data());
}

ModelOptions counting(const TemporaryFolder& folder, std::vector<std::string>& told) {
  return {.path = folder.path(), .file_name = "{PID}-{TID}.mmstats", .on_error = [&told](const Error& error) {
            told.push_back(error.text());
          }};
}

}  // namespace

TEST_CASE("a field of buckets appears with the first value of its power of two, and no other does") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.label_prefix = "web";
  Model model(options);
  Histogram latency(model, "latency", {.unit = "seconds", .help = "Time to answer"});
  REQUIRE(model.open());
  CHECK(powers_in(Published(model), "web.latency").empty());
  CHECK(rooms_in(Published(model)).size() == 1);
  for (const double value : {1.5, 0.5, 1.0, 1.5, 3.0, 1e-12, -5.0, 1e300, kNan, kInfinite})
    latency.add(value);
  const Published file(model);
  const Powers powers = powers_in(file, "web.latency");
  CHECK(file.type("web.latency.buckets.-30") == "32Q");
  CHECK(!file.field("web.latency.buckets.-30").buffered);
  REQUIRE(powers.size() == 5);
  CHECK(powers.at(-30)[0] == 2);  // 1e-12 and -5
  CHECK(powers.at(-1)[0] == 1);
  CHECK(powers.at(0)[0] == 1);
  CHECK(powers.at(0)[16] == 2);
  CHECK(powers.at(1)[16] == 1);
  CHECK(powers.at(49)[31] == 1);
  CHECK(total_of(powers) == 8);
  CHECK(file.value("web.latency.count") == 8);
  const auto said = file.metadata();
  CHECK(said.find("web.latency\thistogram\tseconds\tTime to answer\tlog-linear 32 -30 50\n") !=
        std::string::npos);
}

TEST_CASE("a precision is one of four, or the next smaller one") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  const struct {
    unsigned wanted, got;
  } rows[] = {{0, 4}, {3, 4}, {4, 4}, {7, 4}, {8, 8}, {15, 8}, {16, 16}, {31, 16}, {32, 32}, {1000, 32}};
  for (const auto& [wanted, got] : rows) {
    CAPTURE(wanted);
    const auto label = "h" + std::to_string(wanted);
    Histogram histogram(model, label, {}, wanted);
    histogram.add(1.5);
    histogram.add(1.9999);
    histogram.add(std::ldexp(1.25, -20));
    const Published file(model);
    CHECK(file.type(label + ".buckets.0") == std::to_string(got) + "Q");
    const Powers powers = powers_in(file, label);
    CHECK(powers.at(0)[got / 2] == 1);
    CHECK(powers.at(0)[got - 1] == 1);
    CHECK(powers.at(-20)[got / 4] == 1);
    CHECK(std::abs(histogram.p50() - 1.5) <= 1.5 / 2 / got);
  }
}

TEST_CASE("there is room for all powers of two of all histograms, and no more") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::deque<Histogram> histograms;
  for (const unsigned precision : {4U, 8U, 16U, 32U, 32U})
    histograms.emplace_back(model, "h" + std::to_string(histograms.size()), About{}, precision);
  for (const Histogram& histogram : histograms) add_to_all(histogram);
  for (const Histogram& histogram : histograms) add_to_all(histogram, 1.75);
  const Published file(model);
  for (std::size_t i = 0; i < histograms.size(); ++i) {
    const Powers powers = powers_in(file, "h" + std::to_string(i));
    CHECK(powers.size() == 80);
    CHECK(total_of(powers) == 160);
  }
  const auto rooms = rooms_in(file);
  REQUIRE(rooms.size() == 1);  // shared
  CHECK(rooms[0]->value.size() == 7);
}

TEST_CASE("fields that come later are at the same place in all threads") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram first(model, "first");
  first.add(1);
  std::thread([&] {
    for (int i = 0; i < 30; ++i) first.add(std::ldexp(1.0, i));
    Counter counter(model, "counter");
    ++counter;
    Histogram later(model, "later", {}, 8);
    later.add(5);
    Counter last(model, "last");
    ++last;
    const auto paths = model.paths();
    REQUIRE(paths.size() == 2);
    const Published one(paths[0]);
    const Published two(paths[1]);
    for (const char* label : {"counter", "later.count", "last"}) {
      CHECK(offset_of(one, label) == offset_of(two, label));
    }
    CHECK(total_of(powers_in(one, "first")) + total_of(powers_in(two, "first")) == 31);
    CHECK(total_of(powers_in(one, "later")) + total_of(powers_in(two, "later")) == 1);
    CHECK(rooms_in(one).size() == 2);
  }).join();
  Histogram(model, "later", {}, 8).add(6);
  CHECK(total_of(powers_in(Published(model.paths()[0]), "later")) +
            total_of(powers_in(Published(model.paths()[1]), "later")) ==
        2);
}

TEST_CASE("without system fields nothing says what buckets are, and there are none") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.system_fields = false;
  Model model(options);
  Histogram histogram(model, "h");
  add_to_all(histogram);
  const Published file(model);
  CHECK(powers_in(file, "h").empty());
  CHECK(rooms_in(file).empty());
  CHECK(file.value("h.count") == 80);
  CHECK(histogram.p50() == doctest::Approx(std::ldexp(1, 9)).epsilon(1.0 / 64));
}

TEST_CASE("a file that has no room for buckets is told of once, and has all else") {
  const TemporaryFolder folder;
  std::vector<std::string> told;
  auto options = counting(folder, told);
  options.max_file_bytes = 64 << 10U;
  Model model(options);
  std::deque<Histogram> histograms;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) histograms.emplace_back(model, "h" + std::to_string(i));
  }
  CHECK(told.size() == 1);
  CHECK(told.at(0).find("the buckets of field \"h2.count\" are not published") != std::string::npos);
  for (const Histogram& histogram : histograms) add_to_all(histogram);
  const Published file(model);
  CHECK(total_of(powers_in(file, "h0")) == 160);
  CHECK(total_of(powers_in(file, "h1")) == 160);
  CHECK(powers_in(file, "h2").empty());
  CHECK(file.value("h2.count") == 160);
  CHECK(histograms[2].p50() == doctest::Approx(std::ldexp(1, 9)).epsilon(1.0 / 64));
  CHECK(told.size() == 1);
}

TEST_CASE("more histograms than one room can have have several") {
  const TemporaryFolder folder;
  auto options = published_in(folder);
  options.max_file_bytes = 16 << 20U;
  Model model(options);
  std::deque<Histogram> histograms;
  for (int i = 0; i < 500; ++i) histograms.emplace_back(model, "h" + std::to_string(i));
  for (const Histogram& histogram : histograms) histogram.add(1);
  // Larger than what readers take unless they are told otherwise.
  std::ifstream in(model.paths()[0], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  ParsedFile file;
  parse(std::as_bytes(std::span(text)), file);
  CHECK(!file.damage);
  const auto* const bytes = reinterpret_cast<const std::byte*>(text.data());
  for (int i = 0; i < 500; ++i) CHECK(total_of(powers_in(file.fields, bytes, "h" + std::to_string(i))) == 1);
  CHECK(std::count_if(file.fields.begin(), file.fields.end(),
                      [](const Field& field) { return field.label == kRoomLabel; }) == 2);
}

TEST_CASE("the next thread goes on in the buckets of one that ended") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "h");
  std::thread([&] { add_to_all(histogram); }).join();
  std::thread([&] {
    add_to_all(histogram);
    CHECK(histogram.count() == 160);
  }).join();
  const Powers powers = powers_in(Published(model), "h");
  CHECK(powers.size() == 80);
  for (const auto& [power, counts] : powers) CHECK(counts[0] == 2);
}

TEST_CASE("the child of a fork has buckets of its own") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "h");
  histogram.add(1);
  ChildProcess child([&] {
    histogram.add(1);
    histogram.add(2);
    must(model.paths().size() == 1);
    const Published file(model);
    must(total_of(powers_in(file, "h")) == 2);
    must(powers_in(file, "h").size() == 2);
  });
  CHECK(child.wait() == 0);
  CHECK(total_of(powers_in(Published(model), "h")) == 1);
  histogram.add(4);
  CHECK(powers_in(Published(model), "h").size() == 2);
}

TEST_CASE("a file that was deleted and is made again has all buckets, and goes on") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "h");
  histogram.add(1);
  REQUIRE(::unlink(model.paths()[0].c_str()) == 0);
  histogram.add(1);
  histogram.add(2);
  REQUIRE(model.reopen());
  histogram.add(2);
  histogram.add(4);
  const Powers powers = powers_in(Published(model), "h");
  CHECK(powers.size() == 3);
  CHECK(total_of(powers) == 5);
}

TEST_CASE("buckets of a file that was cut begin anew where a part was lost, and all is readable") {
  const TemporaryFolder folder;
  for (std::uintmax_t pages = 0; pages < 20; ++pages) {
    CAPTURE(pages);
    ChildProcess program([&] {
      must(survive_cut_files().has_value());
      std::vector<std::string> told;
      Model model(counting(folder, told));
      Histogram first(model, "first");
      first.add(1);
      Histogram second(model, "second");  // in a room of its own
      Counter last(model, "last");
      for (int i = 0; i < 40; ++i) {
        first.add(std::ldexp(1.0, i));
        second.add(std::ldexp(1.0, i));
      }
      const std::string path = model.paths()[0];
      if (std::filesystem::file_size(path) <= pages * 4096) return;
      std::filesystem::resize_file(path, pages * 4096);
      first.add(1);
      second.add(std::ldexp(1.0, -5));
      ++last;
      must(model.open().has_value());
      must(told.size() == 1);
      const auto before = total_of(powers_in(Published(model), "first"));
      // What was wholly there is there.
      const std::uint64_t kept = can_read_own_memory() ? 42 : 0;
      must(pages < 5 ? before == 0 : pages > 10 ? before == kept : before == 0 || before == kept);
      for (int round = 0; round < 2; ++round) {
        add_to_all(first);
        add_to_all(second);
      }
      ++last;
      const Published file(model);
      must(powers_in(file, "first").size() == 80 && powers_in(file, "second").size() == 80);
      must(total_of(powers_in(file, "first")) == before + 160);
      must(total_of(powers_in(file, "second")) == 160);
      must(file.value("last") == 2);
    });
    CHECK(program.wait() == 0);
  }
}

TEST_CASE("a reader sees whole lists and counters that never fall while buckets are made") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  std::deque<Histogram> histograms;
  for (int i = 0; i < 20; ++i) histograms.emplace_back(model, "h" + std::to_string(i), About{}, 8);
  REQUIRE(model.open());
  Counter last(model, "last");
  const auto path = model.paths()[0];
  std::atomic<bool> ended{false};
  std::atomic<int> looks{0};
  std::thread reader([&] {
    std::uint64_t before = 0;
    for (bool last_look = false; !last_look; ++looks) {
      last_look = ended;  // asked before the look: what was added until then is in it
      std::ifstream in(path, std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      const std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(text.data()),
                                         reinterpret_cast<const std::byte*>(text.data() + text.size()));
      ParsedFile file;
      parse(bytes, file);
      CHECK(!file.damage);
      CHECK(file.terminated);
      std::uint64_t total = 0;
      bool has_last = false;
      for (const Field& field : file.fields) {
        if (const auto bucket = bucket_field(field))
          total += total_of(powers_in({field}, field.value.data(), bucket->stem));
        has_last = has_last || field.label == "last";
      }
      CHECK(has_last);
      CHECK(total >= before);
      before = total;
    }
    CHECK(before == 20 * 80);
  });
  for (int power = -30; power < 50; ++power) {
    const int seen = looks;
    for (const Histogram& histogram : histograms) histogram.add(std::ldexp(1.0, power));
    while (looks == seen) std::this_thread::yield();
  }
  ended = true;
  reader.join();
}

#if defined(HAS_SINGLE_STEP)
namespace {

// A file's bytes, which can be parsed in a handler.
class Mapped {
 public:
  explicit Mapped(const std::string& path) : size_(std::filesystem::file_size(path)) {
    std::FILE* const file = std::fopen(path.c_str(), "r");
    bytes_ = static_cast<const std::byte*>(::mmap(nullptr, size_, PROT_READ, MAP_SHARED, ::fileno(file), 0));
    std::fclose(file);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() { ::munmap(const_cast<std::byte*>(bytes_), size_); }
  [[nodiscard]] ParsedFile parsed() const {
    ParsedFile file;
    parse({bytes_, size_}, file);
    return file;
  }
  [[nodiscard]] const std::byte* begin() const { return bytes_; }

 private:
  std::size_t size_;
  const std::byte* bytes_ = nullptr;
};

}  // namespace

TEST_CASE("a handler may add at any instruction of an addition, and nothing is lost") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "h");
  REQUIRE(model.open());
  const Mapped file(model.paths()[0]);
  std::uint64_t added = 0;
  double sum = 0;
  std::size_t room = SIZE_MAX;
  bool whole = true;
  const auto add = [&](int power) {
    const double value = std::ldexp(1.0, power);
    histogram.add(value);
    ++added;
    sum += value;
  };
  int step = 0;
  for (int power = -10; power < 0; ++power) {
    bool runs = true;
    stepped::each(
        [&] {
          histogram.add(std::ldexp(1.0, power));
          runs = false;
        },
        [&] {
          // Other powers, the same, and again others; each is new at some instruction.
          add(++step % 400 == 0 ? std::min(step / 400, 49) : power);
          if (step % 16 == 0) {
            const auto now = file.parsed();
            whole = whole && !now.damage && now.terminated;
            for (const Field& field : now.fields) {
              if (field.label != kRoomLabel) continue;
              whole = whole && field.value.size() <= room;
              room = field.value.size();
            }
          }
          return runs;
        });
    ++added;
    sum += std::ldexp(1.0, power);
  }
  histogram.add(1);  // takes what handlers left
  CHECK(step > 1000);
  CHECK(whole);
  CHECK(histogram.count() == added + 1);
  CHECK(histogram.sum() == sum + 1);
  CHECK(total_of(powers_in(Published(model), "h")) == added + 1);
  CHECK(histogram.min() == std::ldexp(1.0, -10));
}

TEST_CASE("a handler that wants the field that it interrupts takes no other room") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Histogram histogram(model, "h", {}, 4);
  Histogram other(model, "other", {}, 4);
  other.add(1);
  // How many instructions there are; then at one of them, another one each time.
  int length = 0;
  std::uint64_t by_handlers = 0;
  const auto add_with_handler = [&](double value, int when) {
    bool runs = true;
    int step = 0;
    stepped::each(
        [&] {
          histogram.add(value);
          runs = false;
        },
        [&] {
          if (step++ == when) {
            other.add(value);
            histogram.add(value);
            ++by_handlers;
          }
          return runs;
        });
    length = step;
  };
  add_with_handler(std::ldexp(1.0, -30), -1);
  const int most = length;
  REQUIRE(most > 100);
  for (int power = -29; power < 50; ++power)
    add_with_handler(std::ldexp(1.0, power), (power + 29) * most / 79);
  other.add(std::ldexp(1.0, -30));
  add_to_all(other);
  const Published file(model);
  CHECK(by_handlers > 50);
  CHECK(rooms_in(file)[0]->value.size() == 7);
  CHECK(total_of(powers_in(file, "h")) == 80 + by_handlers);
  CHECK(total_of(powers_in(file, "other")) == 82 + by_handlers);
}

TEST_CASE("a gauge of fractions loses nothing that a handler adds amid an addition") {
  const TemporaryFolder folder;
  Model model(published_in(folder));
  Gauge<double> gauge(model, "gauge");
  gauge.add(0.5);
  double added = 0.5;
  // Now and then: who is interrupted at every instruction gets no further.
  for (int when = 0; when < 100; ++when) {
    bool runs = true;
    int step = 0;
    stepped::each(
        [&] {
          gauge.add(1);
          runs = false;
        },
        [&] {
          if (++step % 100 == when) {
            gauge.add(0.25);
            added += 0.25;
          }
          return runs;
        });
    added += 1;
  }
  CHECK(gauge.value() == added);
}
#endif

TEST_CASE("an independent reader reads all of these files alike") { CHECK(SecondReader::get().agrees()); }
