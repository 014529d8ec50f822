// mmstats file format, version 1: its constants, and the value types, which are written as
// formats of Python's `struct` module. The whole layout: core/doc/format.md.
// Everything here is a pure function of its arguments and may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"

namespace mmstats {

inline constexpr std::byte kVersion1{0x01};
inline constexpr std::uint8_t kUnbuffered = 0xFF;  // write buffer: one value follows, not two

// A type, as far as a reader needs it to find and decode values.
struct ValueType {
  std::uint64_t size = 0;   // bytes of one value, padding included
  std::uint64_t items = 0;  // how many items it decodes to; `s` and `p` count as one
  // The struct code of its items; '\0' if there is none, or they differ or do not lie back to back.
  // `l` and `L` of 4 bytes are given as `i` and `I`, so that a code alone tells its size.
  char code = '\0';
  bool swapped = false;          // items are in the other byte order than this machine's
  std::uint8_t item_size = 0;    // bytes of one item where code is a number; 0 otherwise
  std::uint64_t first_item = 0;  // bytes of padding before the first item

  // A number or bool that stands alone: what can become a series without a suffix.
  [[nodiscard]] bool is_scalar_number() const { return items == 1 && item_size != 0; }
};

// Reads a struct format: an optional order `@ = < > !`, then items `[count]code`, with blanks
// between items anywhere. Native sizes and alignment apply without an order or with `@`, as in
// Python. Error: kInvalid, with the reason (unknown code, count too large, nothing in it); its
// path is empty and its offset is the byte in `text`. Never allocates on success.
MMSTATS_API Expected<ValueType> parse_type(std::string_view text);

// One decoded item. Text (`s`, `p`, `c`) is raw bytes up to the first NUL, which may not be UTF-8,
// and points into the bytes that were decoded. monostate: a value with no item (`x`).
using Scalar = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string_view>;

// Decodes all items of one value. `text` must have passed parse_type and `value` must hold
// ValueType::size bytes; the result is empty otherwise. Scalars live as long as `value`.
MMSTATS_API std::vector<Scalar> decode(std::string_view text, std::span<const std::byte> value);

// The same, item by item: a foreign file may hold millions of them in one value.
MMSTATS_API void for_each_item(std::string_view text, std::span<const std::byte> value,
                               const std::function<void(const Scalar&)>& visit);

// `text` without its blanks, as people and JSON want to see it: "   Q" is "Q".
MMSTATS_API std::string trimmed_type(std::string_view text);

// How the raw bits of a number become a double: for every code with an item_size, 0 for others.
// Exact up to 2^53. `raw` holds the item's bytes in its low bytes, in file order: as memcpy of them
// to its beginning leaves it on a little-endian machine.
MMSTATS_API double to_double(char code, bool swapped, std::uint64_t raw);

}  // namespace mmstats
