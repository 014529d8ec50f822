#include "mmstats/parse.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string>

#include "struct_codes.h"

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
  std::size_t length = kLongestShown;
  // Not in the middle of a character.
  while (length > 0 && (static_cast<unsigned char>(foreign[length]) & 0xC0U) == 0x80) --length;
  return printable(foreign.substr(0, length)) + "...";
}

// Cold: what `parse` says about the field it is at.
class Complaint {
 public:
  Complaint(ParsedFile& into, const Cursor& cursor) : into_(into), cursor_(cursor) {}

  void label(std::string_view label) { label_ = label; }

  [[gnu::cold]] void too_short(std::string_view what, std::uint64_t wanted) {
    into_.cut = true;
    damage(cursor_.offset(), fmt::format("{} needs {} byte{} at byte {}, the file ends after {}", what,
                                         wanted, wanted == 1 ? "" : "s", cursor_.offset(), cursor_.left()));
  }

  [[gnu::cold]] void damage(std::uint64_t offset, std::string_view what) {
    std::string field = fmt::format("field {}", into_.fields.size() + 1);
    if (!label_.empty()) field += fmt::format(" \"{}\"", shown(label_));
    into_.damage = Damage{offset, fmt::format("{}: {}", field, what)};
  }

 private:
  ParsedFile& into_;
  const Cursor& cursor_;
  std::string_view label_;
};

[[gnu::cold]] void complain_of_version(std::span<const std::byte> bytes, ParsedFile& into) {
  into.cut = bytes.empty();
  into.damage = Damage{0, bytes.empty() ? "the version needs 1 byte at byte 0, the file is empty"
                                        : fmt::format("version 0x{:02X} at byte 0 is not known, only 0x01 is",
                                                      std::to_integer<unsigned>(bytes[0]))};
}

}  // namespace

void parse(std::span<const std::byte> bytes, ParsedFile& into) {
  into.fields.clear();
  into.damage.reset();
  into.terminated = false;
  into.cut = false;
  into.end = 0;
  if (bytes.empty() || bytes[0] != kVersion1) {
    complain_of_version(bytes, into);
    return;
  }

  Cursor cursor(bytes);
  cursor.take(1);
  Complaint complaint(into, cursor);
  for (;;) {
    into.end = cursor.offset();
    complaint.label({});
    Field field;
    field.offset = cursor.offset();

    if (cursor.left() < 2) {
      if (cursor.left() == 0 || *cursor.at() == std::byte{0}) return;
      return complaint.too_short("the label's size", 2);
    }
    const std::uint16_t label_size = cursor.take_u16();
    if (label_size == 0) {
      into.terminated = true;
      return;
    }
    if (cursor.left() < label_size) return complaint.too_short("the label", label_size);
    field.label = cursor.take_text(label_size);
    complaint.label(field.label);

    if (cursor.left() < 2) return complaint.too_short("the type's size", 2);
    const std::uint16_t type_size = cursor.take_u16();
    if (cursor.left() < type_size) return complaint.too_short("the type", type_size);
    const std::uint64_t type_offset = cursor.offset();
    field.type_text = cursor.take_text(type_size);
    if (const ValueType* known = one_letter_type(field.type_text)) {
      field.type = *known;
    } else if (const auto parsed = parse_type(field.type_text)) {
      field.type = *parsed;
    } else {
      return complaint.damage(type_offset + parsed.error().offset,
                              fmt::format("type '{}' at byte {}: {}", shown(field.type_text), type_offset,
                                          parsed.error().message));
    }

    field.write_buffer_offset = cursor.offset();
    if (cursor.left() < 1) return complaint.too_short("the write buffer", 1);
    const auto write_buffer = std::to_integer<std::uint8_t>(*cursor.take(1));
    field.buffered = write_buffer != kUnbuffered;
    if (field.buffered && write_buffer > 1) {
      return complaint.damage(field.write_buffer_offset,
                              fmt::format("write buffer 0x{:02X} at byte {} is neither 0, 1 nor 0xFF",
                                          write_buffer, field.write_buffer_offset));
    }

    const std::uint64_t size = field.type.size;
    const std::uint64_t values = field.buffered ? 2 : 1;
    if (size > cursor.left() / values) {
      return complaint.too_short(fmt::format("type '{}'", shown(field.type_text)), size * values);
    }
    const std::byte* first = cursor.take(size * values);
    // The writer works in the buffer that the byte names, the other one is published.
    field.value = {field.buffered && write_buffer == 0 ? first + size : first,
                   static_cast<std::size_t>(size)};
    into.fields.push_back(field);
  }
}

bool label_has_suffix(std::string_view label, std::string_view suffix) {
  if (!label.ends_with(suffix)) return false;
  return label.size() == suffix.size() || label[label.size() - suffix.size() - 1] == '.';
}

}  // namespace mmstats
