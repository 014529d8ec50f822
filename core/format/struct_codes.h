// The codes of Python's `struct` module: what each letter of a format stands for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mmstats {

enum class CodeClass : std::uint8_t { kUnknown, kPad, kText, kBool, kSigned, kUnsigned, kFloat };

struct StructCode {
  CodeClass kind = CodeClass::kUnknown;
  std::uint8_t size = 0;     // of one item, and its alignment in native mode
  bool native_only = false;  // unknown after `=`, `<`, `>` or `!`

  [[nodiscard]] constexpr bool is_number() const { return kind >= CodeClass::kBool; }
};

// By letter. After an order, `l` and `L` have 4 bytes and so are `i` and `I`; all others have the
// same size everywhere.
inline constexpr std::array<StructCode, 256> kStructCodes = [] {
  std::array<StructCode, 256> codes{};
  codes['x'] = {CodeClass::kPad, 1};
  codes['c'] = {CodeClass::kText, 1};
  codes['s'] = {CodeClass::kText, 1};
  codes['p'] = {CodeClass::kText, 1};
  codes['?'] = {CodeClass::kBool, 1};
  codes['b'] = {CodeClass::kSigned, 1};
  codes['B'] = {CodeClass::kUnsigned, 1};
  codes['h'] = {CodeClass::kSigned, 2};
  codes['H'] = {CodeClass::kUnsigned, 2};
  codes['i'] = {CodeClass::kSigned, 4};
  codes['I'] = {CodeClass::kUnsigned, 4};
  codes['l'] = {CodeClass::kSigned, sizeof(long)};
  codes['L'] = {CodeClass::kUnsigned, sizeof(unsigned long)};
  codes['q'] = {CodeClass::kSigned, 8};
  codes['Q'] = {CodeClass::kUnsigned, 8};
  codes['n'] = {CodeClass::kSigned, sizeof(std::ptrdiff_t), true};
  codes['N'] = {CodeClass::kUnsigned, sizeof(std::size_t), true};
  codes['P'] = {CodeClass::kUnsigned, sizeof(void*), true};
  codes['e'] = {CodeClass::kFloat, 2};
  codes['f'] = {CodeClass::kFloat, 4};
  codes['d'] = {CodeClass::kFloat, 8};
  return codes;
}();

constexpr const StructCode& struct_code(char letter) {
  return kStructCodes[static_cast<unsigned char>(letter)];
}

constexpr bool is_fraction(char letter) { return struct_code(letter).kind == CodeClass::kFloat; }

// What Python's struct skips between items.
constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace mmstats
