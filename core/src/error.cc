#include "mmstats/error.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace mmstats {
namespace {

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 if there is none: no overlong
// forms, no surrogates, nothing above U+10FFFF (Unicode, table 3-7).
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto in = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const auto tail = [&](std::size_t i) { return in(i, 0x80, 0xBF); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool second = in(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = in(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// C0, DEL, and C1, which terminals obey in its UTF-8 form too.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7F;
  return sequence.size() == 2 && first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
}

}  // namespace

std::string printable(std::string_view foreign) {
  std::string out;
  out.reserve(foreign.size());
  while (!foreign.empty()) {
    const std::size_t length = utf8_sequence(foreign);
    const std::string_view sequence = foreign.substr(0, length == 0 ? 1 : length);
    if (length == 0 || is_control(sequence)) {
      for (const char c : sequence) {
        constexpr const char* kDigits = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        out += {'\\', 'x', kDigits[byte >> 4U], kDigits[byte & 0xFU]};
      }
    } else {
      out += sequence;
    }
    foreign.remove_prefix(sequence.size());
  }
  return out;
}

std::string Error::text() const {
  std::string out;
  if (!path.empty()) out = printable(path) + ": ";
  out += message;
  if (sys_errno != 0) out += ": " + std::generic_category().message(sys_errno);
  return out;
}

}  // namespace mmstats
