// A hash of short texts, as quick as can be, for tables that compare what they find, and that comparison. It
// begins with a secret number (keyed_hash.h), so that whoever chooses the texts cannot make them all meet.
// Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mmstats {

inline std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(hash ^ word) * 0x9E3779B97F4A7C15U;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

namespace detail {
template <class Word>
std::uint64_t word_at(const char* text) {
  Word word{};
  std::memcpy(&word, text, sizeof word);
  return word;
}
}  // namespace detail

inline std::uint64_t mix_text(std::uint64_t hash, std::string_view text) {
  using detail::word_at;
  const char* at = text.data();
  std::size_t left = text.size();
  hash = mix(hash, left);
  for (; left > 8; at += 8, left -= 8) hash = mix(hash, word_at<std::uint64_t>(at));
  // The rest in two parts that may overlap.
  if (left >= 4) return mix(hash, word_at<std::uint32_t>(at) << 32U | word_at<std::uint32_t>(at + left - 4));
  if (left == 0) return hash;
  return mix(hash, word_at<std::uint8_t>(at) << 16U | word_at<std::uint8_t>(at + left / 2) << 8U |
                       word_at<std::uint8_t>(at + left - 1));
}

// Whether `size` bytes at `a` and at `b` are the same.
inline bool same_text(const char* a, const char* b, std::size_t size) {
  using detail::word_at;
  // In two parts that may overlap: no function is called for what is short.
  const auto same = [&]<class Word>(Word) {
    const std::size_t last = size - sizeof(Word);
    return word_at<Word>(a) == word_at<Word>(b) && word_at<Word>(a + last) == word_at<Word>(b + last);
  };
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) return same(std::uint64_t{});
  if (size >= 4) return same(std::uint32_t{});
  if (size >= 2) return same(std::uint16_t{});
  return size == 0 || *a == *b;
}

}  // namespace mmstats
