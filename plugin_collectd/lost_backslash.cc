#include "plugin_collectd/lost_backslash.h"

#include <algorithm>
#include <cstddef>

namespace mmstats::collectd {
namespace {

constexpr std::string_view kClasses = "dwsDWS";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80U;
}

bool all_one(std::string_view text, char c) { return text.find_first_not_of(c) == std::string_view::npos; }

}  // namespace

char lost_class(std::string_view pattern) {
  for (std::size_t begin = 0; begin < pattern.size();) {
    if (pattern[begin] == '\\') {
      begin += 2;  // that one is not lost
      continue;
    }
    if (!is_word(pattern[begin])) {
      ++begin;
      continue;
    }
    const auto end = static_cast<std::size_t>(
        std::find_if_not(pattern.begin() + static_cast<std::ptrdiff_t>(begin), pattern.end(), is_word) -
        pattern.begin());
    const auto word = pattern.substr(begin, end - begin);
    const char before = begin == 0 ? '\0' : pattern[begin - 1];
    const char after = end == pattern.size() ? '\0' : pattern[end];
    begin = end;
    if (word.find_first_not_of(kClasses) != std::string_view::npos) continue;
    const bool repeated = after == '+' || after == '*' || after == '?' || after == '{';
    const bool alone = before == '(' && after == ')';
    const bool digits = word.size() > 1 && all_one(word, 'd');
    if (repeated || alone || digits) return word.back();
  }
  return '\0';
}

}  // namespace mmstats::collectd
