#include "base/hash.h"

#include <algorithm>

namespace mmstats {

std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash) {
  constexpr std::uint64_t kPrime = 0x100000001B3U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return hash;
}

std::string name_hash(std::string_view label, std::uint64_t salt) {
  std::uint64_t hash = fnv1a(label);
  if (salt != 0) hash = fnv1a(std::to_string(salt), hash);
  hash ^= hash >> 48U;
  std::string digits(kNameHashDigits, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, hash >>= 4U)
    *digit = "0123456789abcdef"[hash & 0xFU];
  return digits;
}

bool ends_like_name_hash(std::string_view name, char mark) {
  if (name.size() < 1 + kNameHashDigits) return false;
  const auto end = name.substr(name.size() - 1 - kNameHashDigits);
  return end[0] == mark && std::all_of(end.begin() + 1, end.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace mmstats
