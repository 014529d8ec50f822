#include "mmstats/parse.h"

#include <array>
#include <cstring>
#include <string>

#include "base/utf8.h"
#include "format/struct_codes.h"

namespace mmstats {
namespace {

// The only owner of positions in the bytes: it compares what is wanted with what is left, and never
// adds a number that came from the file.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes)
      : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

  [[nodiscard]] std::uint64_t offset() const { return static_cast<std::uint64_t>(at_ - begin_); }
  [[nodiscard]] std::uint64_t left() const { return static_cast<std::uint64_t>(end_ - at_); }
  [[nodiscard]] const std::byte* at() const { return at_; }

  // `size` must not be larger than left().
  const std::byte* take(std::uint64_t size) {
    const std::byte* taken = at_;
    at_ += size;
    return taken;
  }

  // Preconditions: two bytes are left.
  std::uint16_t take_u16() {
    std::uint16_t number = 0;
    std::memcpy(&number, take(sizeof number), sizeof number);
    return number;
  }

  // Preconditions: `size` bytes are left.
  std::string_view take_text(std::uint64_t size) {
    return {reinterpret_cast<const char*>(take(size)), static_cast<std::size_t>(size)};
  }

 private:
  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
};

// Types that are a single letter, which is nearly all: no reading, only a look.
constexpr std::array<ValueType, 256> kOneLetterTypes = [] {
  std::array<ValueType, 256> types{};
  for (std::size_t letter = 0; letter < types.size(); ++letter) {
    const StructCode& code = kStructCodes[letter];
    if (code.kind == CodeClass::kUnknown) continue;
    types[letter].size = code.size;
    if (code.kind == CodeClass::kPad) continue;
    types[letter].items = 1;
    types[letter].code = static_cast<char>(letter);
    types[letter].item_size = code.is_number() ? code.size : 0;
  }
  return types;
}();

// The type's entry in the table above if it is one letter after any blanks that pad it, else null.
const ValueType* one_letter_type(std::string_view text) {
  if (text.empty()) return nullptr;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c != ' ') return nullptr;
  }
  const ValueType& type = kOneLetterTypes[static_cast<unsigned char>(text.back())];
  return type.size != 0 ? &type : nullptr;
}

constexpr std::size_t kLongestShown = 64;  // bytes of a label or type in a message

std::string shown(std::string_view foreign) {
  if (foreign.size() <= kLongestShown) return printable(foreign);
  return printable(whole_characters(foreign, kLongestShown)) + "...";
}

// "0x1F"
std::string shown(std::byte byte) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  const auto bits = std::to_integer<unsigned>(byte);
  return {'0', 'x', kDigits[bits >> 4U], kDigits[bits & 0xFU]};
}

// What is wrong with the field after the last sound one. All complaints are out of line and take copies,
// so that the loop below keeps everything in registers.
[[gnu::cold, gnu::noinline]] void complain(ParsedFile& into, std::string_view label, std::uint64_t offset,
                                           std::string_view what) {
  std::string message = "field " + std::to_string(into.fields.size() + 1);
  if (!label.empty()) message += " \"" + shown(label) + '"';
  into.damage = Damage{offset, message.append(": ").append(what)};
}

[[gnu::cold, gnu::noinline]] void complain_of_end(ParsedFile& into, std::string_view label,
                                                  std::string_view what, std::uint64_t wanted,
                                                  Cursor cursor) {
  into.cut = true;
  complain(into, label, cursor.offset(),
           std::string(what) + " needs " + std::to_string(wanted) + (wanted == 1 ? " byte" : " bytes") +
               " at byte " + std::to_string(cursor.offset()) + ", the file ends after " +
               std::to_string(cursor.left()));
}

// The type of the field after the last sound one, in `storage`; null if it is wrong, with a complaint.
const ValueType* find_type(ParsedFile& into, std::string_view label, std::string_view type,
                           std::uint64_t offset, ValueType& storage) {
  if (const ValueType* known = one_letter_type(type)) return known;
  const auto parsed = parse_type(type);
  if (!parsed) {
    complain(into, label, offset + parsed.error().offset,
             "type '" + shown(type) + "' at byte " + std::to_string(offset) + ": " + parsed.error().message);
    return nullptr;
  }
  storage = *parsed;
  return &storage;
}

[[gnu::cold, gnu::noinline]] void complain_of_write_buffer(ParsedFile& into, std::string_view label,
                                                           std::uint8_t write_buffer, std::uint64_t offset) {
  complain(into, label, offset,
           "write buffer " + shown(std::byte{write_buffer}) + " at byte " + std::to_string(offset) +
               " is neither 0, 1 nor 0xFF");
}

[[gnu::cold, gnu::noinline]] void complain_of_version(ParsedFile& into, std::span<const std::byte> bytes) {
  into.cut = bytes.empty();
  into.damage =
      Damage{0, bytes.empty() ? "the version needs 1 byte at byte 0, the file is empty"
                              : "version " + shown(bytes[0]) + " at byte 0 is not known, only 0x01 is"};
}

// Whether the last of `size` bytes at `text`, one to eight, has nothing but blanks before it. Looks at
// eight bytes at once, which must be there, the first of them the lowest.
bool is_padded_letter(const std::byte* text, std::size_t size) {
  constexpr std::uint64_t kBlanks = 0x2020202020202020U;
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, text, sizeof bytes);
  const std::uint64_t before_last = ~(~std::uint64_t{0} << 8U * (size - 1));
  return ((bytes ^ kBlanks) & before_last) == 0;
}

// Takes what nearly every field is: buffered, of eight bytes, its type one letter after any blanks that
// pad it. One comparison with the bytes left covers all it reads, and no more is remembered on the way
// than registers hold: half the time of the general way. False, with nothing taken: it is another
// kind, or not sound, or near the end.
[[gnu::always_inline]] inline bool take_usual_field(Cursor& cursor, ParsedFile& into) {
  constexpr std::uint64_t kValueSize = 8;
  constexpr std::uint64_t kMostTypeSize = 8;
  constexpr std::uint64_t kMostWithoutLabel = 2 + 2 + kMostTypeSize + 1 + 2 * kValueSize;
  if (cursor.left() < kMostWithoutLabel) return false;
  Cursor ahead = cursor;
  const std::uint16_t label_size = ahead.take_u16();
  if (label_size == 0 || label_size > cursor.left() - kMostWithoutLabel) return false;
  const std::string_view label = ahead.take_text(label_size);

  const std::uint16_t type_size = ahead.take_u16();
  if (type_size == 0 || type_size > kMostTypeSize) return false;
  if (type_size != 1 && !is_padded_letter(ahead.at(), type_size)) return false;
  // Two branches, so that with one letter the next step need not wait for the size to come from memory.
  const std::string_view type_text = type_size == 1 ? ahead.take_text(1) : ahead.take_text(type_size);
  const ValueType& type = kOneLetterTypes[static_cast<unsigned char>(type_text.back())];
  const std::uint64_t write_buffer_offset = ahead.offset();
  const auto write_buffer = std::to_integer<std::uint8_t>(*ahead.take(1));
  if (type.size != kValueSize || write_buffer > 1) return false;

  const std::byte* values = ahead.take(2 * kValueSize);
  const std::byte* published = write_buffer == 0 ? values + kValueSize : values;
  into.fields.emplace_back(label, type_text, type, true, std::span(published, kValueSize), cursor.offset(),
                           write_buffer_offset);
  cursor = ahead;
  return true;
}

}  // namespace

void parse(std::span<const std::byte> bytes, ParsedFile& into) {
  into.fields.clear();
  into.damage.reset();
  into.terminated = false;
  into.cut = false;
  into.end = 0;
  if (bytes.empty() || bytes[0] != kVersion1) return complain_of_version(into, bytes);

  Cursor cursor(bytes);
  cursor.take(1);
  ValueType longer;
  for (;;) {
    while (take_usual_field(cursor, into)) {
    }
    const std::uint64_t offset = cursor.offset();
    into.end = offset;

    if (cursor.left() < 2) {
      if (cursor.left() == 0 || *cursor.at() == std::byte{0}) return;
      return complain_of_end(into, {}, "the label's size", 2, cursor);
    }
    const std::uint16_t label_size = cursor.take_u16();
    if (label_size == 0) {
      into.terminated = true;
      return;
    }
    if (cursor.left() < label_size) return complain_of_end(into, {}, "the label", label_size, cursor);
    const std::string_view label = cursor.take_text(label_size);

    if (cursor.left() < 2) return complain_of_end(into, label, "the type's size", 2, cursor);
    const std::uint16_t type_size = cursor.take_u16();
    if (cursor.left() < type_size) return complain_of_end(into, label, "the type", type_size, cursor);
    const std::string_view type_text = cursor.take_text(type_size);
    const ValueType* type = find_type(into, label, type_text, cursor.offset() - type_size, longer);
    if (type == nullptr) return;

    const std::uint64_t write_buffer_offset = cursor.offset();
    if (cursor.left() < 1) return complain_of_end(into, label, "the write buffer", 1, cursor);
    const auto write_buffer = std::to_integer<std::uint8_t>(*cursor.take(1));
    const bool buffered = write_buffer != kUnbuffered;
    if (buffered && write_buffer > 1) {
      return complain_of_write_buffer(into, label, write_buffer, write_buffer_offset);
    }

    const std::uint64_t size = type->size;
    const unsigned doubled = buffered ? 1 : 0;
    if (size > cursor.left() >> doubled) {
      return complain_of_end(into, label, "type '" + shown(type_text) + '\'', size << doubled, cursor);
    }
    const std::byte* values = cursor.take(size << doubled);
    // The writer works in the buffer that the byte names, the other one is published.
    const std::byte* published = write_buffer == 0 ? values + size : values;
    into.fields.emplace_back(label, type_text, *type, buffered, std::span(published, size), offset,
                             write_buffer_offset);
  }
}

bool label_has_suffix(std::string_view label, std::string_view suffix) { return label.ends_with(suffix); }

}  // namespace mmstats
