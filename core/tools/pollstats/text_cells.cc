#include "tools/pollstats/text_cells.h"

#include <algorithm>
#include <bit>
#include <cwchar>
#include <vector>

#include "mmstats/error.h"

namespace pollstats {
namespace {

struct Character {
  char32_t code = 0;
  std::string_view bytes;
};

// The first character of well-formed UTF-8. A byte that begins none counts as one.
Character front(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const auto ones = static_cast<std::size_t>(std::countl_one(first));
  const std::size_t size = ones < 2 || ones > 4 || ones > text.size() ? 1 : ones;
  char32_t code = size == 1 ? first : first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {code, text.substr(0, size)};
}

std::size_t width_of(char32_t code) {
  if (code < 0x80) return 1;
  const int width = ::wcwidth(static_cast<wchar_t>(code));
  return width < 0 ? 1 : static_cast<std::size_t>(width);
}

// Bytes of the longest beginning that is at most `width` cells.
std::size_t bytes_of_first(std::string_view text, std::size_t width) {
  std::size_t bytes = 0;
  for (std::size_t used = 0; bytes < text.size();) {
    const Character next = front(text.substr(bytes));
    used += width_of(next.code);
    if (used > width) break;
    bytes += next.bytes.size();
  }
  return bytes;
}

}  // namespace

std::size_t cells(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character next = front(text);
    width += width_of(next.code);
    text.remove_prefix(next.bytes.size());
  }
  return width;
}

std::string shown(std::string_view foreign, bool unicode) {
  const std::string text = mmstats::printable(foreign);
  std::string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const Character next = front(rest);
    const bool can = next.code < 0x80 || (unicode && ::wcwidth(static_cast<wchar_t>(next.code)) >= 0);
    if (can) {
      out += next.bytes;
    } else {
      out += unicode ? "\uFFFD" : "?";
    }
    rest.remove_prefix(next.bytes.size());
  }
  return out;
}

std::string first_cells(std::string_view text, std::size_t width) {
  return std::string(text.substr(0, bytes_of_first(text, width)));
}

std::string last_cells(std::string_view text, std::size_t width, std::string_view mark) {
  std::size_t total = cells(text);
  if (total <= width) return std::string(text);
  if (width == 0) return {};
  while (total > width - 1) {
    const Character next = front(text);
    total -= width_of(next.code);
    text.remove_prefix(next.bytes.size());
  }
  // What belongs to a letter that was cut would sit on the mark.
  while (!text.empty() && width_of(front(text).code) == 0) text.remove_prefix(front(text).bytes.size());
  return std::string(mark).append(text);
}

std::string outer_cells(std::string_view text, std::size_t width, std::string_view mark) {
  if (cells(text) <= width) return std::string(text);
  if (width < 3) return first_cells(text, width);
  // The end tells more: labels begin alike.
  const std::string begin = first_cells(text, (width - 1) / 3);
  return begin + last_cells(text, width - cells(begin), mark);
}

std::string left_aligned(std::string_view text, std::size_t width) {
  const std::size_t used = cells(text);
  return std::string(text).append(used < width ? width - used : 0, ' ');
}

std::string right_aligned(std::string_view text, std::size_t width) {
  const std::size_t used = cells(text);
  return std::string(used < width ? width - used : 0, ' ').append(text);
}

std::string centred(std::string_view text, std::size_t width) {
  const std::size_t used = cells(text);
  const std::size_t blanks = used < width ? width - used : 0;
  return std::string(blanks / 2, ' ').append(text).append(blanks - blanks / 2, ' ');
}

}  // namespace pollstats
