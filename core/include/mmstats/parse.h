// Bytes -> fields. Pure, bounded and total: every sequence of bytes gives a result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"
#include "mmstats/format.h"

namespace mmstats {

// One field. All views point into the parsed bytes and live as long as they do.
struct Field {
  std::string_view label;      // raw bytes: not checked to be UTF-8, may hold NUL
  std::string_view type_text;  // as in the file, blanks included
  ValueType type;
  bool buffered = false;                  // two values in the file, one published
  std::span<const std::byte> value;       // the published value's bytes
  std::uint64_t offset = 0;               // in the file: of the label's size
  std::uint64_t write_buffer_offset = 0;  // in the file: of the write buffer byte; values follow it

  Field() = default;
  // Builds a field in its place in a vector: to build it elsewhere and copy it doubles parse's time.
  Field(std::string_view label_, std::string_view type_text_, const ValueType& type_, bool buffered_,
        std::span<const std::byte> value_, std::uint64_t offset_, std::uint64_t write_buffer_offset_)
      : label(label_),
        type_text(type_text_),
        type(type_),
        buffered(buffered_),
        value(value_),
        offset(offset_),
        write_buffer_offset(write_buffer_offset_) {}
};

struct ParsedFile {
  std::vector<Field> fields;     // in file order; the same label may occur twice
  std::optional<Damage> damage;  // what ended the list early; there is no way to go on after it
  bool terminated = false;       // the list ended with a label size of 0, not with the bytes
  bool cut = false;              // damage because the bytes end too early: more of them may mend it
  std::uint64_t end = 0;         // offset after the last sound field
};

// Parses one file's bytes, or the beginning of them. `into` is overwritten; its capacity is kept,
// so a caller that reuses it does not allocate unless there is damage. The list ends with a label size
// of 0, with the last byte, or with one last byte that is 0.
// Damage: no version byte or another than 1 (at offset 0), a size that leads beyond the bytes, a
// type that parse_type refuses, a write buffer other than 0, 1 and 0xFF. One O(fields) pass.
MMSTATS_API void parse(std::span<const std::byte> bytes, ParsedFile& into);

// Whether `label` ends with `suffix`: how sys.* fields are found whatever prefix a model has. There need be
// no dot before it: the original puts its prefix before labels as it is.
MMSTATS_API bool label_has_suffix(std::string_view label, std::string_view suffix);

}  // namespace mmstats
