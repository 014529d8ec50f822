// Well-formed UTF-8 (Unicode, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace mmstats {

// Bytes of the well-formed character at the front of `text`; 0 if there is none. `text` is not empty.
std::size_t utf8_sequence(std::string_view text);

// Bytes at the front of `text` that are well-formed characters. ASCII is looked at 32 bytes at a time.
std::size_t utf8_prefix(std::string_view text);

bool is_utf8(std::string_view text);

// Bytes at the front of `text` that are printing ASCII, a blank to a tilde: what nearly all text is, and is
// shown as it is. Looks at eight bytes at a time.
std::size_t plain_prefix(std::string_view text);

// Whether the well-formed character commands where it is shown: C0, DEL and C1, which terminals obey, the
// separators of lines and paragraphs, and what turns the direction of the text around it.
bool steers_display(std::string_view character);

// Whether `byte` can begin a character: it is none of those that follow in a longer one.
constexpr bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

// As much of the front of `text` as has at most `max_bytes` and cuts no character. Of what is not UTF-8 it
// may leave less than that.
constexpr std::string_view whole_characters(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && !begins_character(text[max_bytes])) --max_bytes;
  return text.substr(0, max_bytes);
}

}  // namespace mmstats
