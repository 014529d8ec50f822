#include "base/keyed_hash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>

using mmstats::HashKey;
using mmstats::keyed_hash;
using mmstats::KeyedHash;
using mmstats::KeyedHasher;

namespace {

// As in the test vectors of SipHash: bytes 0, 1, 2...
constexpr HashKey kVectorKey{0x0706050403020100U, 0x0F0E0D0C0B0A0908U};

std::string counting_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}

std::uint64_t hash_with(const HashKey& key, std::string_view bytes) {
  KeyedHasher hasher(key);
  hasher.add(bytes);
  return hasher.finish();
}

// The steps of MurmurHash64A, which libstdc++ has behind std::hash of texts, and one of them backwards.
constexpr std::uint64_t kMul = 0xC6A4A7935BD1E995U;
constexpr std::uint64_t inverse_of_mul() {
  std::uint64_t inverse = kMul;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kMul * inverse;
  return inverse;
}
constexpr std::uint64_t shift_mix(std::uint64_t value) { return value ^ (value >> 47U); }
static_assert(kMul * inverse_of_mul() == 1);

// A text of 16 bytes that begins with `number` and has the same std::hash as all others that are made so.
std::string colliding(std::uint64_t number) {
  constexpr std::uint64_t kSeed = 0xC70F6907U;
  constexpr std::uint64_t kBeforeLast = 0x123456789ABCDEF0U;  // what the last eight bytes lead to
  const std::uint64_t first = (kSeed ^ (16 * kMul)) ^ (shift_mix(number * kMul) * kMul);
  // last = inverse of: (first * mul) ^ (shift_mix(last * mul) * mul) == kBeforeLast
  const std::uint64_t last = shift_mix(((first * kMul) ^ kBeforeLast) * inverse_of_mul()) * inverse_of_mul();
  std::string text(16, '\0');
  std::memcpy(text.data(), &number, sizeof number);
  std::memcpy(text.data() + sizeof number, &last, sizeof last);
  return text;
}

template <class Set>
std::size_t longest_bucket(const Set& set) {
  std::size_t longest = 0;
  for (std::size_t i = 0; i < set.bucket_count(); ++i) longest = std::max(longest, set.bucket_size(i));
  return longest;
}

}  // namespace

TEST_CASE("SipHash-1-3 hashes as others have it") {
  // The first are in the tests of Rust's library, all come from another implementation.
  const std::pair<std::size_t, std::uint64_t> vectors[] = {
      {0, 0xABAC0158050FC4DCU},  {1, 0xC9F49BF37D57CA93U},  {7, 0xD3927D989BB11140U},
      {8, 0x369095118D299A8EU},  {9, 0x25A48EB36C063DE4U},  {15, 0xD320D86D2A519956U},
      {16, 0xCC4FDD1A7D908B66U}, {63, 0x9D199062B7BBB3A8U},
  };
  for (const auto& [size, want] : vectors) {
    CAPTURE(size);
    CHECK(hash_with(kVectorKey, counting_bytes(size)) == want);
  }
}

TEST_CASE("bytes that come in parts hash as they do together") {
  const std::string bytes = counting_bytes(40);
  for (std::size_t first = 0; first <= bytes.size(); ++first) {
    for (std::size_t second = first; second <= bytes.size(); ++second) {
      KeyedHasher hasher(kVectorKey);
      hasher.add(std::string_view(bytes).substr(0, first));
      hasher.add(std::string_view(bytes).substr(first, second - first));
      hasher.add(std::string_view(bytes).substr(second));
      REQUIRE(hasher.finish() == hash_with(kVectorKey, bytes));
    }
  }
  KeyedHasher numbers(kVectorKey);
  numbers.add(std::uint64_t{0x0706050403020100U});
  CHECK(numbers.finish() == hash_with(kVectorKey, counting_bytes(8)));
  CHECK(keyed_hash(1, 2) != keyed_hash(2, 1));
}

TEST_CASE("each key gives another hash, and each program another key") {
  CHECK(hash_with({1, 2}, "label") != hash_with({1, 3}, "label"));
  CHECK(hash_with({1, 2}, "label") != hash_with({0, 2}, "label"));
  CHECK(keyed_hash("label") == keyed_hash("label"));
  CHECK(keyed_hash("label") == hash_with(mmstats::process_hash_key(), "label"));
  const auto& key = mmstats::process_hash_key();
  CHECK(std::set<std::uint64_t>{0, key.low, key.high}.size() == 3);
}

TEST_CASE("texts that are made to meet in std::hash do not meet here") {
  std::unordered_set<std::string, KeyedHash, std::equal_to<>> keyed;
  std::set<std::size_t> std_hashes;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const std::string text = colliding(i);
    std_hashes.insert(std::hash<std::string>{}(text));
    keyed.insert(text);
  }
  if (std_hashes.size() != 1) MESSAGE("std::hash is not the one that these were made for");
  CHECK(keyed.size() == 20'000);
  // By chance alone, 20 in one bucket would be seen once in 10^15 runs.
  CHECK(longest_bucket(keyed) < 20);
  CHECK(keyed.contains(std::string_view(colliding(7))));
}
