#include "base/utf8.h"

namespace mmstats {

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

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool steers_display(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  const auto last = [&](unsigned low, unsigned high) {
    return byte(character.size() - 1) >= low && byte(character.size() - 1) <= high;
  };
  switch (character.size()) {
    case 1:
      return byte(0) < 0x20 || byte(0) == 0x7F;
    case 2:  // C1; U+061C
      return (byte(0) == 0xC2 && last(0x80, 0x9F)) || (byte(0) == 0xD8 && last(0x9C, 0x9C));
    case 3:  // U+200E, U+200F; U+2028 to U+202E; U+2066 to U+2069
      return byte(0) == 0xE2 && ((byte(1) == 0x80 && (last(0x8E, 0x8F) || last(0xA8, 0xAE))) ||
                                 (byte(1) == 0x81 && last(0xA6, 0xA9)));
    default:
      return false;
  }
}

}  // namespace mmstats
