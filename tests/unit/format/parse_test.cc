// Fields and damage: good bytes, bad bytes, and every way in which small good files can be cut or bent.
#include "mmstats/parse.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "sample.h"

using mmstats::Field;
using mmstats::parse;
using mmstats::ParsedFile;

namespace {

// Bytes that end exactly where a page begins that cannot be read: one byte too far is a crash.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t capacity) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    mapped_ = (capacity + page - 1) / page * page + page;
    void* at = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    begin_ = static_cast<std::byte*>(at);
    end_ = begin_ + mapped_ - page;
    REQUIRE(::mprotect(end_, page, PROT_NONE) == 0);
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { ::munmap(begin_, mapped_); }

  std::span<std::byte> hold(std::span<const std::byte> bytes) {
    std::byte* at = end_ - bytes.size();
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    return {at, bytes.size()};
  }

 private:
  std::byte* begin_ = nullptr;
  std::byte* end_ = nullptr;
  std::size_t mapped_ = 0;
};

std::uint64_t end_of(const Field& field) {
  return field.write_buffer_offset + 1 + (field.buffered ? 2 : 1) * field.type.size;
}

bool equal(const Field& a, const Field& b) {
  return a.label == b.label && a.type_text == b.type_text && a.buffered == b.buffered &&
         a.offset == b.offset && a.write_buffer_offset == b.write_buffer_offset &&
         a.type.size == b.type.size && a.type.code == b.type.code && std::ranges::equal(a.value, b.value);
}

// How many fields of `want`, from the first on, `got` has unchanged.
std::size_t in_common(const ParsedFile& got, const ParsedFile& want) {
  std::size_t common = 0;
  while (common < got.fields.size() && common < want.fields.size() &&
         equal(got.fields[common], want.fields[common])) {
    ++common;
  }
  return common;
}

// How many fields of `file` end at or before `offset`.
std::size_t ending_before(const ParsedFile& file, std::uint64_t offset) {
  return static_cast<std::size_t>(
      std::ranges::count_if(file.fields, [&](const Field& field) { return end_of(field) <= offset; }));
}

// What holds for every result. Touches all that it refers to, so that views out of bounds show.
void check_sound(const ParsedFile& file, std::span<const std::byte> bytes) {
  std::uint64_t at = bytes.empty() || bytes[0] != mmstats::kVersion1 ? 0 : 1;
  std::uint64_t sum = 0;
  for (const Field& field : file.fields) {
    if (field.offset != at) FAIL("a field does not begin where the one before it ends");
    at = end_of(field);
    for (const char c : field.label) sum += static_cast<unsigned char>(c);
    for (const char c : field.type_text) sum += static_cast<unsigned char>(c);
    for (const std::byte byte : field.value) sum += std::to_integer<unsigned>(byte);
    mmstats::for_each_item(field.type_text, field.value,
                           [&](const mmstats::Scalar& item) { sum += item.index(); });
  }
  if (file.end != at) FAIL("`end` is not the last field's end");
  if (at > bytes.size()) FAIL("fields lie outside the bytes");
  if (file.damage && (file.damage->offset < at || file.damage->offset > bytes.size())) {
    FAIL("damage inside a sound field, or outside the bytes");
  }
  if (file.cut && !file.damage) FAIL("cut without damage");
  if (file.terminated && file.damage) FAIL("terminated, and damaged all the same");
  CHECK(sum < ~std::uint64_t{0});
}

// The good files that are small, without the zeros behind their lists, by name.
std::map<std::string, std::vector<std::byte>> small_corpus() {
  std::map<std::string, std::vector<std::byte>> files;
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/corpus")) {
    if (entry.path().extension() != ".mmstats") continue;
    auto bytes = sample::read(entry.path().native());
    if (bytes.size() > 4096) continue;
    ParsedFile file;
    parse(bytes, file);
    bytes.resize(file.end + 2);
    files[entry.path().filename().native()] = bytes;
  }
  REQUIRE(files.size() >= 8);
  return files;
}

}  // namespace

TEST_CASE("a field has the published value, and says where it lies in the file") {
  const std::string text = sample::file(
      sample::field("first", "Q", 1, sample::number(11) + sample::number(12)) +
      sample::field("second", "   H", 0, "\x01\x02\x03\x04") + sample::field("third", "3s", 0xFF, "abc"));
  const auto bytes = sample::bytes(text);
  ParsedFile file;
  parse(bytes, file);
  REQUIRE(!file.damage);
  CHECK(file.terminated);
  CHECK(file.end == text.size() - 2);
  REQUIRE(file.fields.size() == 3);

  const Field& first = file.fields[0];
  CHECK(first.label == "first");
  CHECK(first.type_text == "Q");
  CHECK(first.buffered);
  CHECK(first.offset == 1);
  CHECK(first.write_buffer_offset == 11);
  CHECK(first.value.data() == bytes.data() + 12);  // write buffer 1: the writer is in the second
  CHECK(first.value.size() == 8);

  const Field& second = file.fields[1];
  CHECK(second.label == "second");
  CHECK(second.type_text == "   H");
  CHECK(second.type.code == 'H');
  CHECK(second.buffered);
  CHECK(second.offset == 28);
  CHECK(second.write_buffer_offset == 42);
  CHECK(second.value.data() == bytes.data() + 45);  // write buffer 0: the first buffer is in use
  CHECK(second.value.size() == 2);

  const Field& third = file.fields[2];
  CHECK_FALSE(third.buffered);
  CHECK(std::get<std::string_view>(mmstats::decode(third.type_text, third.value)[0]) == "abc");
}

TEST_CASE("labels are any bytes, and may be as long as their size can say") {
  const std::string longest(65535, 'x');
  const std::string odd("nul\0newline\n\xFF", 13);
  const std::string text =
      sample::file(sample::counter(longest, 1) + sample::counter(odd, 2) + sample::counter(odd, 3));
  ParsedFile file;
  parse(sample::bytes(text), file);
  REQUIRE(!file.damage);
  REQUIRE(file.fields.size() == 3);
  CHECK(file.fields[0].label == longest);
  CHECK(file.fields[1].label == odd);
  CHECK(file.fields[2].label == odd);
}

TEST_CASE("a type may be padded with any number of blanks, and may have no bytes at all") {
  for (const std::string type : {"Q", " Q", "       Q", "Q ", "\t\n\v\f\rQ", "@Q", "@ Q", "1Q"}) {
    CAPTURE(type);
    const std::string text =
        sample::file(sample::field("a", type, 0xFF, sample::number(5)) + sample::counter("b", 6));
    ParsedFile file;
    parse(sample::bytes(text), file);
    REQUIRE(file.fields.size() == 2);
    CHECK(file.fields[0].type.is_scalar_number());
    CHECK(std::get<std::uint64_t>(mmstats::decode(type, file.fields[0].value)[0]) == 5);
  }
  for (const std::string type : {"0s", "0x", "0Q"}) {
    CAPTURE(type);
    for (const std::uint8_t write_buffer : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{0xFF}}) {
      const std::string text =
          sample::file(sample::field("a", type, write_buffer, "") + sample::counter("b", 6));
      ParsedFile file;
      parse(sample::bytes(text), file);
      REQUIRE(file.fields.size() == 2);
      CHECK(file.fields[0].value.empty());
    }
  }
}

TEST_CASE("every type of a single letter is the same with and without the grammar's help") {
  for (int letter = 0; letter < 256; ++letter) {
    const std::string type(1, static_cast<char>(letter));
    CAPTURE(letter);
    const std::string text = sample::file(sample::field("a", type, 0xFF, std::string(8, '\0')));
    ParsedFile file;
    parse(sample::bytes(text), file);
    const auto want = mmstats::parse_type(type);
    REQUIRE(file.fields.empty() == !want.has_value());
    if (!want) continue;
    const auto& got = file.fields[0].type;
    CHECK(got.size == want->size);
    CHECK(got.items == want->items);
    CHECK(got.code == want->code);
    CHECK(got.swapped == want->swapped);
    CHECK(got.item_size == want->item_size);
    CHECK(got.first_item == want->first_item);
  }
}

TEST_CASE("a type of blanks and a letter is what the grammar makes of it, with or without bytes behind it") {
  GuardedBytes guarded(256);
  ParsedFile file;
  std::size_t sound = 0;
  const auto check = [&](const std::string& type, std::uint8_t write_buffer, std::size_t behind) {
    const auto want = mmstats::parse_type(type);
    const bool known = write_buffer <= 1 || write_buffer == 0xFF;
    const std::size_t values = (want ? want->size : 8) * (write_buffer == 0xFF ? 1 : 2);
    std::string text = "\x01" + sample::field("ab", type, write_buffer, std::string(values, '\7'));
    const std::size_t end = text.size();
    text.append(behind, '\0');
    const auto held = guarded.hold(sample::bytes(text));
    parse(held, file);
    check_sound(file, held);
    if (file.fields.empty() == (want && known)) return false;
    if (file.damage.has_value() == (want && known)) return false;
    if (!want || !known) return !file.cut && (!want || file.damage->offset == 7 + type.size());
    ++sound;
    const Field& field = file.fields[0];
    const std::size_t published = 8 + type.size() + (write_buffer == 0 ? want->size : 0);
    if (field.label != "ab" || field.type_text != type || field.buffered != (write_buffer != 0xFF) ||
        field.type.code != want->code || field.type.size != want->size || field.type.items != want->items ||
        field.type.swapped != want->swapped || field.type.first_item != want->first_item ||
        field.value.data() != held.data() + published || field.value.size() != want->size ||
        file.end != end) {
      return false;
    }
    // Without its last byte it is cut.
    if (behind != 0) return true;
    const auto less = guarded.hold(sample::bytes(std::string_view(text).substr(0, end - 1)));
    parse(less, file);
    return file.fields.empty() && file.cut;
  };
  for (std::size_t size = 1; size <= 10; ++size) {
    for (const char letter : {'Q', 'd', 'I', 's', 'Z', ' '}) {
      for (std::size_t odd = 0; odd < size; ++odd) {
        for (const char c : {' ', '2', '0', 'x', 'Q', '\t', '@', '>', '\0'}) {
          std::string type(size, ' ');
          type[odd] = c;
          type.back() = letter;
          for (const int write_buffer : {0, 1, 2, 0x7F, 0xFE, 0xFF}) {
            for (const std::size_t behind : {0U, 1U, 2U, 100U}) {
              if (check(type, static_cast<std::uint8_t>(write_buffer), behind)) continue;
              FAIL_CHECK("type '" << mmstats::printable(type) << "', write buffer " << write_buffer << ", "
                                  << behind << " bytes behind");
            }
          }
        }
      }
    }
  }
  CHECK(sound > 1000);
}

TEST_CASE("a label is shown in whole up to 64 bytes") {
  ParsedFile file;
  for (const std::size_t size : {63U, 64U, 65U}) {
    CAPTURE(size);
    const std::string label(size, 'x');
    parse(sample::bytes("\x01" + sample::field(label, "Q", 7, sample::number(0))), file);
    REQUIRE(file.damage);
    CHECK(file.damage->message.find('"' + std::string(std::min<std::size_t>(size, 64), 'x') +
                                    (size > 64 ? "..." : "") + '"') != std::string::npos);
  }
}

TEST_CASE("the list ends with a size of 0, with the bytes, or with one byte that is 0") {
  struct Row {
    const char* name;
    std::string bytes;
    bool terminated;
  };
  const std::string fields = "\x01" + sample::counter("a", 1);
  const Row rows[] = {
      {"size 0", fields + std::string(2, '\0'), true},
      {"size 0 and a tail of zeros", fields + std::string(100, '\0'), true},
      {"size 0 and a tail of anything", fields + std::string(2, '\0') + "\xFFgarbage", true},
      {"end of bytes", fields, false},
      {"one zero byte", fields + std::string(1, '\0'), false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    ParsedFile file;
    parse(sample::bytes(row.bytes), file);
    CHECK(!file.damage);
    CHECK(!file.cut);
    CHECK(file.terminated == row.terminated);
    CHECK(file.fields.size() == 1);
    CHECK(file.end == fields.size());
  }
  ParsedFile file;
  parse(sample::bytes("\x01"), file);
  CHECK(!file.damage);
  CHECK(file.fields.empty());
  CHECK(file.end == 1);
}

TEST_CASE("each bad file gives the fields before the damage, and says what is wrong at which byte") {
  struct Row {
    std::string name;
    std::size_t fields;
    std::uint64_t offset;
    bool cut;
    const char* message;
  };
  constexpr bool kCut = true;
  constexpr bool kWhole = false;
  const Row rows[] = {
      {"all-zeros", 0, 0, kWhole, "version 0x00 at byte 0 is not known, only 0x01 is"},
      {"empty", 0, 0, kCut, "the version needs 1 byte at byte 0, the file is empty"},
      {"label-cut", 2, 61, kCut, "field 3: the label needs 5 bytes at byte 61, the file ends after 3"},
      {"label-long-before-damage", 2, 1064, kWhole,
       "field 3 \"éééééééééééééééééééééééééééééééé...\": write buffer 0x07 at byte 1064 is neither"},
      {"label-missing", 2, 61, kCut, "field 3: the label needs 5 bytes at byte 61, the file ends after 0"},
      {"label-of-65535-bytes-cut", 2, 61, kCut,
       "the label needs 65535 bytes at byte 61, the file ends after 100"},
      {"label-size-cut", 2, 59, kCut,
       "field 3: the label's size needs 2 bytes at byte 59, the file ends after 1"},
      {"label-with-escape-sequence", 2, 76, kWhole,
       "field 3 \"\\x1B]0;pwned\\x07\\x0A\\xFF\": write buffer 0x07"},
      {"random-bytes", 0, 3, kCut, "field 1: the label needs 46136 bytes at byte 3, the file ends after 253"},
      {"text-file", 0, 0, kWhole, "version 0x68 at byte 0 is not known, only 0x01 is"},
      {"type-count-alone", 2, 68, kWhole, "field 3 \"web.x\": type '4' at byte 68: count without a code"},
      {"type-count-then-blank", 2, 69, kWhole, "type '4 d' at byte 68: unknown code ' '"},
      {"type-count-too-large", 2, 68, kWhole, "type '99999999999999999999s' at byte 68: count too large"},
      {"type-cut", 2, 68, kCut,
       "field 3 \"web.x\": the type needs 4 bytes at byte 68, the file ends after 2"},
      {"type-missing", 2, 68, kCut, "the type needs 1 byte at byte 68, the file ends after 0"},
      {"type-native-only-code", 2, 69, kWhole,
       "type '>n' at byte 68: code 'n' is known in native order only"},
      {"type-of-blanks", 2, 71, kWhole, "type '   ' at byte 68: nothing in it"},
      {"type-of-no-bytes", 2, 68, kWhole, "type '' at byte 68: nothing in it"},
      {"type-order-alone", 2, 69, kWhole, "type '>' at byte 68: nothing in it"},
      {"type-order-not-first", 2, 69, kWhole, "type ' <Q' at byte 68: unknown code '<'"},
      {"type-size-cut", 2, 66, kCut, "the type's size needs 2 bytes at byte 66, the file ends after 1"},
      {"type-size-missing", 2, 66, kCut, "the type's size needs 2 bytes at byte 66, the file ends after 0"},
      {"type-size-too-large", 2, 88, kWhole, "type '9223372036854775807xQ' at byte 68: size too large"},
      {"type-unknown-code", 2, 69, kWhole, "field 3 \"web.x\": type '2Z' at byte 68: unknown code 'Z'"},
      {"type-unknown-order", 2, 68, kWhole, "type '*Q' at byte 68: unknown code '*'"},
      {"type-with-escape-sequence", 2, 68, kWhole, "type '\\x1B[2J' at byte 68: unknown code '\\x1B'"},
      {"type-with-nul", 2, 69, kWhole, "type 'Q\\x00' at byte 68: unknown code '\\x00'"},
      {"value-cut", 2, 70, kCut,
       "field 3 \"web.x\": type 'Q' needs 8 bytes at byte 70, the file ends after 7"},
      {"value-missing", 2, 70, kCut, "type 'Q' needs 8 bytes at byte 70, the file ends after 0"},
      {"value-of-8-exabytes", 2, 89, kCut,
       "needs 9223372036854775807 bytes at byte 89, the file ends after 8"},
      {"value-of-8-exabytes-buffered", 2, 89, kCut, "needs 18446744073709551614 bytes at byte 89"},
      {"value-of-many-items-cut", 2, 89, kCut, "needs 18446744073709551600 bytes at byte 89"},
      {"value-second-cut", 2, 70, kCut, "type 'Q' needs 16 bytes at byte 70, the file ends after 14"},
      {"value-second-missing", 2, 70, kCut, "type 'Q' needs 16 bytes at byte 70, the file ends after 8"},
      {"version-0-with-fields", 0, 0, kWhole, "version 0x00 at byte 0 is not known, only 0x01 is"},
      {"version-2", 0, 0, kWhole, "version 0x02 at byte 0 is not known, only 0x01 is"},
      {"write-buffer-0xfe", 2, 69, kWhole, "write buffer 0xFE at byte 69 is neither 0, 1 nor 0xFF"},
      {"write-buffer-2", 2, 69, kWhole, "write buffer 0x02 at byte 69 is neither 0, 1 nor 0xFF"},
      {"write-buffer-missing", 2, 69, kCut,
       "the write buffer needs 1 byte at byte 69, the file ends after 0"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const auto bytes = sample::read(TEST_DATA "/bad/" + row.name + ".mmstats");
    GuardedBytes guarded(bytes.size());
    const auto held = guarded.hold(bytes);
    ParsedFile file;
    parse(held, file);
    check_sound(file, held);
    REQUIRE(file.damage);
    CHECK(file.damage->offset == row.offset);
    CHECK(file.cut == row.cut);
    CHECK_MESSAGE(file.damage->message.find(row.message) != std::string::npos, file.damage->message);
    REQUIRE(file.fields.size() == row.fields);
    if (row.fields == 2) {
      CHECK(file.end == 59);
      CHECK(std::get<std::uint64_t>(mmstats::decode("Q", file.fields[0].value)[0]) == 7);
      CHECK(std::get<double>(mmstats::decode("d", file.fields[1].value)[0]) == 0.5);
    }
  }
  // A bad file without a row would prove nothing.
  for (const auto& entry : boost::filesystem::directory_iterator(TEST_DATA "/bad")) {
    const auto name = entry.path().stem().native();
    CAPTURE(name);
    CHECK(std::ranges::any_of(rows, [&](const Row& row) { return row.name == name; }));
  }
}

TEST_CASE("of a good file that is cut at any byte, all fields before the cut are there") {
  for (const auto& good : small_corpus()) {
    CAPTURE(good.first);
    const auto& bytes = good.second;
    ParsedFile want;
    parse(bytes, want);
    GuardedBytes guarded(bytes.size());
    ParsedFile file;
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(size);
      const auto held = guarded.hold(std::span(bytes).first(size));
      parse(held, file);
      check_sound(file, held);
      const std::size_t whole = ending_before(want, size);
      if (file.fields.size() != whole || in_common(file, want) != whole) FAIL("other fields than before");
      // The list may end between two fields, and one zero byte may follow.
      const bool at_end =
          size > 0 && (size == file.end || (size == file.end + 1 && held.back() == std::byte{0}));
      CHECK(file.damage.has_value() == !at_end);
      CHECK(file.cut == !at_end);
    }
  }
}

TEST_CASE("of a good file with any bit flipped, all fields before it are as they were") {
  for (const auto& good : small_corpus()) {
    CAPTURE(good.first);
    const auto& bytes = good.second;
    ParsedFile want;
    parse(bytes, want);
    GuardedBytes guarded(bytes.size());
    const auto held = guarded.hold(bytes);
    ParsedFile file;
    for (std::size_t bit = 0; bit < 8 * held.size(); ++bit) {
      CAPTURE(bit);
      const std::byte mask{static_cast<unsigned char>(1U << (bit % 8))};
      held[bit / 8] ^= mask;
      parse(held, file);
      check_sound(file, held);
      if (in_common(file, want) < ending_before(want, bit / 8))
        FAIL("a field before the flipped bit is another");
      held[bit / 8] ^= mask;
    }
  }
}

TEST_CASE("a large file that is cut anywhere gives all fields before the cut") {
  const auto bytes = sample::read(TEST_DATA "/corpus/many_pages.mmstats");
  ParsedFile want;
  parse(bytes, want);
  REQUIRE(want.fields.size() == 2006);
  GuardedBytes guarded(bytes.size());
  ParsedFile file;
  for (std::size_t size = 0; size < want.end; size += 97) {
    const auto held = guarded.hold(std::span(bytes).first(size));
    parse(held, file);
    const std::size_t whole = ending_before(want, size);
    CAPTURE(size);
    if (file.fields.size() != whole || in_common(file, want) != whole) FAIL("other fields than before");
  }
}

TEST_CASE("a result that is used again keeps nothing of what it held") {
  ParsedFile file;
  parse(sample::bytes("\x01\x05"), file);
  REQUIRE(file.damage);
  REQUIRE(file.cut);
  const std::string text = sample::file(sample::counter("a", 1));
  parse(sample::bytes(text), file);
  CHECK(!file.damage);
  CHECK(!file.cut);
  CHECK(file.terminated);
  REQUIRE(file.fields.size() == 1);
  const Field* storage = file.fields.data();
  parse({}, file);
  CHECK(file.fields.empty());
  CHECK(!file.terminated);
  CHECK(file.end == 0);
  parse(sample::bytes(text), file);
  CHECK(file.fields.data() == storage);
}

TEST_CASE("a suffix of a label is the label or its end, with a dot before it or without") {
  struct Row {
    std::string_view label;
    bool want;
  };
  const Row rows[] = {
      {"sys.pid", true},    {"web.sys.pid", true}, {".sys.pid", true},   {"a.b.sys.pid", true},
      {"websys.pid", true}, {"sys.pid.", false},   {"sys.pid.x", false}, {"web.sys.p", false},
      {"", false},          {"pid", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.label);
    CHECK(mmstats::label_has_suffix(row.label, "sys.pid") == row.want);
  }
}

TEST_CASE("foreign bytes are printed so that they cannot command a terminal") {
  struct Row {
    std::string_view foreign;
    const char* want;
  };
  const Row rows[] = {
      {"plain text, with \\ and \"", "plain text, with \\ and \""},
      {"naïve café ☃ 🎉", "naïve café ☃ 🎉"},
      {std::string_view("\0\t\n\r\x1b\x7f", 6), "\\x00\\x09\\x0A\\x0D\\x1B\\x7F"},
      {"\xC2\x9B"
       "2J",
       "\\xC2\\x9B2J"},                                       // C1 control in UTF-8
      {"\xC2\x80\xC2\x9F", "\\xC2\\x80\\xC2\\x9F"},           // the first and the last of C1
      {"\xC2\xA0", "\xC2\xA0"},                               // the first after C1
      {"\x9B\xFF\xC3", "\\x9B\\xFF\\xC3"},                    // no UTF-8, and a sequence that is cut
      {"\xC0\xAF\xE0\x80\xAF", "\\xC0\\xAF\\xE0\\x80\\xAF"},  // overlong
      {"\xF0\x8F\xBF\xBF", "\\xF0\\x8F\\xBF\\xBF"},
      {"\xED\xA0\x80", "\\xED\\xA0\\x80"},           // a surrogate
      {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},  // above U+10FFFF
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},      // the last one
      {"\xF0\x9F\x8E", "\\xF0\\x9F\\x8E"},
      // What turns the direction of text, and what ends a line or paragraph; not what joins letters.
      {"a\u061Cb\u200Ec\u200F", "a\\xD8\\x9Cb\\xE2\\x80\\x8Ec\\xE2\\x80\\x8F"},
      {"\u202A\u202E\u2066\u2069", "\\xE2\\x80\\xAA\\xE2\\x80\\xAE\\xE2\\x81\\xA6\\xE2\\x81\\xA9"},
      {"\u2028\u2029", "\\xE2\\x80\\xA8\\xE2\\x80\\xA9"},
      {"\u061B\u061D\u200C\u200D\u2010\u2027\u202F\u2065\u206A",
       "\u061B\u061D\u200C\u200D\u2010\u2027\u202F\u2065\u206A"},
  };
  for (const Row& row : rows) CHECK(mmstats::printable(row.foreign) == row.want);
}

TEST_CASE("an error is one line: path, message, and what the system says") {
  mmstats::Error error{.kind = mmstats::ErrorKind::kIo,
                       .path = "/tmp/a\nb",
                       .offset = 0,
                       .sys_errno = ENOENT,
                       .message = "cannot be read"};
  CHECK(error.text() == "/tmp/a\\x0Ab: cannot be read: No such file or directory");
  error.sys_errno = 0;
  CHECK(error.text() == "/tmp/a\\x0Ab: cannot be read");
  error.path.clear();
  CHECK(error.text() == "cannot be read");
}
