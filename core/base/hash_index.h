// Finds numbers by the 64-bit hash of what each stands for: a table of nothing but the numbers, 5 to 11 bytes
// each, where the hashes are kept with what is numbered. For keyed hashes (keyed_hash.h) alone: nobody can
// make many that lie in one place, or two that are equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace mmstats {

class HashIndex {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  // Bytes for each number, at most.
  static constexpr std::size_t kMostBytes = 11;

  // `hash_of`, here and below: the hash of a number that is in it. kNone: none has that hash.
  template <class HashOf>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, HashOf&& hash_of) const {
    if (slots_.empty()) return kNone;
    std::size_t at = place(hash);
    while (slots_[at] != kNone && hash_of(slots_[at]) != hash) at = next(at);
    return slots_[at];
  }

  // Precondition: none in it has that hash.
  template <class HashOf>
  void insert(std::uint64_t hash, std::uint32_t number, HashOf&& hash_of) {
    if (4 * (size_ + 1) > 3 * slots_.size()) {
      const auto before =
          std::exchange(slots_, std::vector<std::uint32_t>(slots_.empty() ? 16 : 2 * slots_.size(), kNone));
      for (const std::uint32_t one : before) {
        if (one != kNone) put(hash_of(one), one);
      }
    }
    put(hash, number);
    ++size_;
  }

  // Precondition: it is in it.
  template <class HashOf>
  void erase(std::uint32_t number, HashOf&& hash_of) {
    std::size_t gap = place(hash_of(number));
    while (slots_[gap] != number) gap = next(gap);
    --size_;
    // What comes behind moves up, unless it would lie before its place.
    for (std::size_t at = next(gap); slots_[at] != kNone; at = next(at)) {
      const std::size_t wanted = place(hash_of(slots_[at]));
      if (((at - wanted) & (slots_.size() - 1)) < ((at - gap) & (slots_.size() - 1))) continue;
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap] = kNone;
  }

 private:
  [[nodiscard]] std::size_t place(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  void put(std::uint64_t hash, std::uint32_t number) {
    std::size_t at = place(hash);
    while (slots_[at] != kNone) at = next(at);
    slots_[at] = number;
  }

  std::vector<std::uint32_t> slots_;  // a power of two of them, a quarter of which are empty
  std::size_t size_ = 0;
};

}  // namespace mmstats
