#include "base/utf8.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace mmstats {
namespace {

constexpr std::uint64_t kHighBits = 0x8080808080808080U;

// Eight bytes, of which those at lower addresses are the lower ones.
std::uint64_t word_at(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

// Behind the ASCII that [at, end) begins with.
const char* skip_ascii(const char* at, const char* end) {
  for (; end - at >= 32; at += 32) {
    if (((word_at(at) | word_at(at + 8) | word_at(at + 16) | word_at(at + 24)) & kHighBits) != 0) break;
  }
  for (; end - at >= 8; at += 8) {
    const std::uint64_t high = word_at(at) & kHighBits;
    if (high != 0) return at + std::countr_zero(high) / 8;
  }
  while (at < end && static_cast<unsigned char>(*at) < 0x80) ++at;
  return at;
}

// Behind the characters of two bytes that [at, end) begins with.
const char* skip_pairs(const char* at, const char* end) {
  const auto is_pair = [](const char* pair) {
    const auto first = static_cast<unsigned char>(pair[0]);
    return first >= 0xC2 && first <= 0xDF && !begins_character(pair[1]);
  };
  while (end - at >= 2 && is_pair(at)) at += 2;
  return at;
}

}  // namespace

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

std::size_t utf8_prefix(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    // Nearly all text is ASCII, and most of the rest are the letters of one alphabet.
    at = skip_pairs(skip_ascii(at, end), end);
    if (at == end) return text.size();
    const std::size_t length = utf8_sequence({at, static_cast<std::size_t>(end - at)});
    if (length == 0) return static_cast<std::size_t>(at - text.data());
    at += length;
  }
}

std::size_t plain_prefix(std::string_view text) {
  constexpr std::uint64_t kEach = 0x0101010101010101U;
  // The high bit of some byte is set if any of them is below a blank, above a tilde, or not ASCII.
  const auto is_plain = [](std::uint64_t word) {
    return (((word - 0x20 * kEach) | (word + kEach) | word) & kHighBits) == 0;
  };
  const char* at = text.data();
  const char* const end = at + text.size();
  while (end - at >= 8 && is_plain(word_at(at))) at += 8;
  // The last word again, from its end: most texts are of one piece.
  if (text.size() >= 8 && end - at < 8 && is_plain(word_at(end - 8))) return text.size();
  while (at < end && *at >= ' ' && *at <= '~') ++at;
  return static_cast<std::size_t>(at - text.data());
}

bool is_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }

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
