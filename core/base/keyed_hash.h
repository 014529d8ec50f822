// The hash of maps whose keys come from foreign files. Its key is secret, and another in each process: nobody
// can make keys that share a bucket, or two that share all 64 bits. So it may stand for what it is a hash
// of, but must never leave the process. SipHash-1-3 (Aumasson, Bernstein), as Rust and Python use it for the
// same. From any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mmstats {

struct HashKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

// Of this process, from getrandom(2): the same at each call.
const HashKey& process_hash_key();

// SipHash-1-3 of bytes that come in parts.
class KeyedHasher {
 public:
  explicit KeyedHasher(const HashKey& key = process_hash_key());

  // Where one part ends makes no difference: what is to be told apart needs its size before it.
  void add(std::string_view bytes);
  // The eight bytes of a number.
  void add(std::uint64_t number) {
    std::array<char, sizeof number> bytes;
    std::memcpy(bytes.data(), &number, sizeof number);
    add(std::string_view(bytes.data(), bytes.size()));
  }

  // Of all that was added. Nothing may be added after it.
  [[nodiscard]] std::uint64_t finish();

 private:
  void round();
  void compress(std::uint64_t word);

  std::uint64_t v0_;
  std::uint64_t v1_;
  std::uint64_t v2_;
  std::uint64_t v3_;
  std::uint64_t rest_ = 0;  // bytes that make no whole word yet, the first of them the lowest
  std::uint64_t size_ = 0;  // of all that was added
};

// Of one text, with the key of this process.
std::uint64_t keyed_hash(std::string_view bytes);
// Of one or two numbers.
std::uint64_t keyed_hash(std::uint64_t number, std::uint64_t other = 0);

// For unordered containers of texts, which can be asked with a std::string_view then, and of numbers.
struct KeyedHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view bytes) const { return keyed_hash(bytes); }
};
struct KeyedNumberHash {
  std::size_t operator()(std::uint64_t number) const { return keyed_hash(number); }
};

}  // namespace mmstats
