// What one thread publishes and another one finds without a lock: nothing but the product's own releases and
// acquires orders the two. Built with -fsanitize=thread, one that is missing is a race that is reported, even
// on processors that never reorder stores; without, on those that do, it is a value that nobody wrote. The
// reader tells the writer when to go on, which orders that way alone.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mmstats/family.h"
#include "mmstats/fields.h"
#include "mmstats/histogram.h"
#include "mmstats/parse.h"
#include "publish/growing.h"
#include "temporary_folder.h"

using namespace mmstats;

namespace {

ModelOptions quiet_in(const TemporaryFolder& folder) {
  return {.path = folder.path(), .on_error = [](const Error& error) { FAIL_CHECK(error.text()); }};
}

// Says how far one thread is. Without an order: whoever looks must find that elsewhere.
class Unordered {
 public:
  void say(std::uint32_t step) { step_.store(step, std::memory_order_relaxed); }
  void wait_for(std::uint32_t step) const {
    while (step_.load(std::memory_order_relaxed) < step) std::this_thread::yield();
  }

 private:
  std::atomic<std::uint32_t> step_ = 0;
};

// The way back, from the reader to the writer: what was read may be written again.
class Ordered {
 public:
  void say(std::uint32_t step) { step_.store(step, std::memory_order_release); }
  void wait_for(std::uint32_t step) const {
    while (step_.load(std::memory_order_acquire) < step) std::this_thread::yield();
  }

 private:
  std::atomic<std::uint32_t> step_ = 0;
};

// The memory where this thread's file of the Model is mapped.
std::byte* mapped_here(const Model& model) { return detail::thread_files[model.number()]; }

// As a reader that maps the file looks at what others store there.
template <class T>
T acquire(std::byte* at) {
  return std::atomic_ref(*reinterpret_cast<T*>(at)).load(std::memory_order_acquire);
}

// The list of fields, as far as it goes now.
ParsedFile fields_of(const std::byte* file, std::size_t bytes) {
  ParsedFile content;
  parse({file, bytes}, content);
  return content;
}

const Field* find(const ParsedFile& content, std::string_view label) {
  for (const Field& field : content.fields) {
    if (field.label == label) return &field;
  }
  return nullptr;
}

constexpr std::size_t kFile = 4096;  // what a small file's first page is

}  // namespace

TEST_CASE("who sees a text's write buffer change sees the text") {
  constexpr std::uint32_t kTexts = 2000;
  const TemporaryFolder folder;
  Model model(quiet_in(folder));
  const StringField text(model, "text", {}, 64);
  Ordered seen;
  REQUIRE(model.open().has_value());
  std::byte* const file = mapped_here(model);
  const auto content = fields_of(file, kFile);
  const Field* const field = find(content, "text");
  REQUIRE(field != nullptr);
  std::byte* const write_buffer = file + field->write_buffer_offset;
  const std::size_t size = field->value.size();

  std::uint32_t wrong = 0;
  const std::uint8_t first = acquire<std::uint8_t>(write_buffer);
  std::thread reader([&] {
    std::uint8_t before = first;
    for (std::uint32_t n = 1; n <= kTexts; ++n) {
      std::uint8_t now = before;
      while ((now = acquire<std::uint8_t>(write_buffer)) == before) std::this_thread::yield();
      before = now;
      const auto* const published = reinterpret_cast<const char*>(write_buffer + 1 + (now ^ 1U) * size);
      wrong +=
          std::string_view(published, size) == std::string(size, static_cast<char>('a' + n % 26)) ? 0 : 1;
      seen.say(n);
    }
  });
  for (std::uint32_t n = 1; n <= kTexts; ++n) {
    text.set(std::string(size, static_cast<char>('a' + n % 26)));
    seen.wait_for(n);
  }
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("who sees a new field's label size sees the field, and what metadata says of it") {
  // With system fields, as many as the metadata has room for, and without: then the first field begins behind
  // one byte.
  for (const bool system_fields : {true, false}) {
    CAPTURE(system_fields);
    const std::uint32_t kFields = system_fields ? 40 : 300;
    const TemporaryFolder folder;
    auto options = quiet_in(folder);
    options.system_fields = system_fields;
    Model model(options);
    Ordered seen;
    REQUIRE(model.open().has_value());
    std::byte* const file = mapped_here(model);
    const std::size_t begin = fields_of(file, kFile).end;

    std::uint32_t wrong = 0;
    std::thread reader([&] {
      std::size_t end = begin;
      for (std::uint32_t n = 1; n <= kFields; ++n) {
        // Its first word has the size: the list's end is 0.
        const std::size_t skipped = end % sizeof(std::uint64_t);
        while ((acquire<std::uint64_t>(file + end - skipped) >> 8 * skipped & 0xFFFFU) == 0)
          std::this_thread::yield();
        const auto label = "field." + std::to_string(n);
        // No field is longer than this, and the next one waits for us.
        const auto content = fields_of(file, end + 64);
        const Field* const field = find(content, label);
        bool right = field != nullptr && field->value.size() == sizeof(std::uint64_t);
        if (right) {
          std::uint64_t value = 0;
          std::memcpy(&value, field->value.data(), sizeof value);
          right = value == n;
        }
        if (system_fields && right) {
          const auto line = label + "\tgauge\tbytes\n";
          const auto metadata = find(content, "sys.metadata")->value;
          right =
              std::string_view(reinterpret_cast<const char*>(metadata.data()), metadata.size()).find(line) !=
              std::string_view::npos;
        }
        wrong += right ? 0 : 1;
        end = content.end;
        seen.say(n);
      }
    });
    for (std::uint32_t n = 1; n <= kFields; ++n) {
      const Gauge<std::uint64_t> gauge(model, "field." + std::to_string(n), {.unit = "bytes"}, n);
      seen.wait_for(n);
    }
    reader.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("who sees a histogram's room become smaller sees the buckets behind it") {
  constexpr std::uint32_t kPowers = 40;
  const TemporaryFolder folder;
  Model model(quiet_in(folder));
  const Histogram sizes(model, "sizes");
  Ordered seen;
  REQUIRE(model.open().has_value());
  std::byte* const file = mapped_here(model);
  const auto content = fields_of(file, std::size_t{32} << 10U);
  const Field* const room = find(content, "sys.room");
  REQUIRE(room != nullptr);
  std::byte* const word = file + room->write_buffer_offset - sizeof(std::uint64_t);

  std::uint32_t wrong = 0;
  const std::uint64_t first = acquire<std::uint64_t>(word);
  std::thread reader([&] {
    std::uint64_t before = first;
    for (std::uint32_t n = 0; n < kPowers; ++n) {
      std::uint64_t now = before;
      while ((now = acquire<std::uint64_t>(word)) == before) std::this_thread::yield();
      before = now;
      // "  12345s": so many bytes are left, and then there is the new field.
      char type[sizeof now + 1] = {};
      std::memcpy(type, &now, sizeof now);
      const std::byte* const field = word + sizeof now + 1 + std::stoul(type);
      const auto label = "sizes.buckets." + std::to_string(n);
      std::uint16_t label_size = 0;
      std::memcpy(&label_size, field, sizeof label_size);
      wrong += label_size == label.size() && std::memcmp(field + 2, label.data(), label.size()) == 0 ? 0 : 1;
      seen.say(n + 1);
    }
  });
  for (std::uint32_t n = 0; n < kPowers; ++n) {
    sizes.add(static_cast<double>(std::uint64_t{1} << n));
    seen.wait_for(n + 1);
  }
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("who looks a combination up without a lock finds it whole") {
  constexpr std::uint32_t kCombinations = 1000;
  constexpr int kReaders = 3;
  const TemporaryFolder folder;
  Model model(quiet_in(folder));
  Family<Counter> family(model, "family", {"first", "second"},
                         {.unit = {}, .help = {}, .kind = {}, .max_series = 2 * kCombinations});
  Unordered made;
  Unordered running;
  std::atomic<int> ready = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      // This thread's file is made under a lock, which must not come to the product's help below.
      CHECK(model.open().has_value());
      ++ready;
      running.wait_for(1);
      for (std::uint32_t n = 0; n < kCombinations; ++n) {
        made.wait_for(n + 1);
        family.with(n, "second").incr();
      }
    });
  }
  while (ready < kReaders) std::this_thread::yield();
  running.say(1);
  for (std::uint32_t n = 0; n < kCombinations; ++n) {
    static_cast<void>(family.with(n, "second"));
    made.say(n + 1);
  }
  for (std::thread& reader : readers) reader.join();
  std::uint32_t wrong = 0;
  for (std::uint32_t n = 0; n < kCombinations; ++n)
    wrong += family.with(n, "second").total() == kReaders ? 0 : 1;
  CHECK(wrong == 0);
}

TEST_CASE("who finds the file of all threads finds what it begins with") {
  constexpr std::uint32_t kModels = 100;
  const TemporaryFolder folder;
  std::uint32_t wrong = 0;
  for (std::uint32_t n = 0; n < kModels; ++n) {
    Model model(quiet_in(folder));
    const SharedGauge<std::uint64_t> shared(model, "shared", {}, 41);
    Unordered made;
    std::thread reader([&] {
      made.wait_for(1);
      shared.add(1);
      wrong += shared.value() == 43 ? 0 : 1;
    });
    shared.add(1);
    made.say(1);
    reader.join();
  }
  CHECK(wrong == 0);
}

TEST_CASE("who finds an entry of a growing array finds it as it begins") {
  struct Entry {
    std::uint64_t value = 7;
  };
  constexpr std::uint32_t kEntries = 20'000;
  Growing<Entry> entries;
  Unordered made;
  std::uint32_t wrong = 0;
  std::thread reader([&] {
    for (std::uint32_t n = 0; n < kEntries; ++n) {
      made.wait_for(n + 1);
      const Entry* const entry = entries.find(n);
      wrong += entry == nullptr || entry->value != 7 ? 1 : 0;
    }
  });
  for (std::uint32_t n = 0; n < kEntries; ++n) {
    entries.at(n);
    made.say(n + 1);
  }
  reader.join();
  CHECK(wrong == 0);
}
