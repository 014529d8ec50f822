#include "base/keyed_hash.h"

#include <sys/auxv.h>
#include <sys/random.h>

#include <bit>
#include <cstring>
#include <span>

namespace mmstats {
namespace {

std::uint64_t load_word(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

// Fewer than eight bytes, the first of them the lowest.
std::uint64_t load_rest(const char* bytes, std::size_t size) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < size; ++i) {
    word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8U * i);
  }
  return word;
}

HashKey random_key() {
  HashKey key;
  // An agent that starts before the kernel has its first random numbers must not wait for them.
  if (::getrandom(&key, sizeof key, GRND_NONBLOCK) == static_cast<ssize_t>(sizeof key)) return key;
  // The kernel gives each program that it starts 16 bytes which nobody else can guess.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel says where
  if (const auto* bytes = reinterpret_cast<const void*>(::getauxval(AT_RANDOM)); bytes != nullptr) {
    std::memcpy(&key, bytes, sizeof key);
  }
  return key;
}

}  // namespace

const HashKey& process_hash_key() {
  static const HashKey key = random_key();
  return key;
}

KeyedHasher::KeyedHasher(const HashKey& key)
    : v0_(key.low ^ 0x736F6D6570736575U),
      v1_(key.high ^ 0x646F72616E646F6DU),
      v2_(key.low ^ 0x6C7967656E657261U),
      v3_(key.high ^ 0x7465646279746573U) {}

[[gnu::always_inline]] inline void KeyedHasher::round() {
  v0_ += v1_;
  v1_ = std::rotl(v1_, 13) ^ v0_;
  v0_ = std::rotl(v0_, 32);
  v2_ += v3_;
  v3_ = std::rotl(v3_, 16) ^ v2_;
  v0_ += v3_;
  v3_ = std::rotl(v3_, 21) ^ v0_;
  v2_ += v1_;
  v1_ = std::rotl(v1_, 17) ^ v2_;
  v2_ = std::rotl(v2_, 32);
}

[[gnu::always_inline]] inline void KeyedHasher::compress(std::uint64_t word) {
  v3_ ^= word;
  round();
  v0_ ^= word;
}

void KeyedHasher::add(std::string_view bytes) {
  std::span<const char> rest(bytes);
  const std::size_t pending = size_ % 8;
  size_ += rest.size();
  if (pending != 0) {
    const std::size_t taken = rest.size() < 8 - pending ? rest.size() : 8 - pending;
    rest_ |= load_rest(rest.data(), taken) << (8U * pending);
    if (pending + taken < 8) return;
    compress(rest_);
    rest_ = 0;
    rest = rest.subspan(taken);
  }
  for (; rest.size() >= 8; rest = rest.subspan(8)) compress(load_word(rest.data()));
  rest_ = load_rest(rest.data(), rest.size());
}

std::uint64_t KeyedHasher::finish() {
  compress(rest_ | (size_ << 56U));
  v2_ ^= 0xFF;
  round();
  round();
  round();
  return v0_ ^ v1_ ^ v2_ ^ v3_;
}

std::uint64_t keyed_hash(std::string_view bytes) {
  KeyedHasher hasher;
  hasher.add(bytes);
  return hasher.finish();
}

std::uint64_t keyed_hash(std::uint64_t number, std::uint64_t other) {
  KeyedHasher hasher;
  hasher.add(number);
  hasher.add(other);
  return hasher.finish();
}

}  // namespace mmstats
