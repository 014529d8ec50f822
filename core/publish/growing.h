// An array by number whose entries stay where they are while it grows: a thread may read it, without a lock,
// while another one makes it larger.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace mmstats {

// Of entries that begin as T{}. at() is for one thread at a time; find() for any, and for signal handlers.
template <class T>
class Growing {
 public:
  constexpr Growing() = default;
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;
  ~Growing() {
    for (auto& part : parts_) delete[] part.load(std::memory_order_relaxed);
  }

  // Null: there is no entry yet.
  [[nodiscard]] T* find(std::uint32_t number) const noexcept {
    const At at(number);
    if (at.part >= kParts) return nullptr;
    T* const entries = parts_[at.part].load(std::memory_order_acquire);
    return entries == nullptr ? nullptr : entries + at.index;
  }

  // Makes all entries up to that one. Preconditions: number < 65,000. Throws std::bad_alloc.
  T& at(std::uint32_t number) {
    for (std::uint32_t part = 0; part <= At(number).part; ++part) {
      if (parts_[part].load(std::memory_order_relaxed) != nullptr) continue;
      parts_[part].store(new T[std::size_t{kFirst} << part]{}, std::memory_order_release);
    }
    return *find(number);
  }

  // Calls act(number, entry) for each entry.
  template <class Act>
  void for_each(Act&& act) {
    std::uint32_t number = 0;
    for (std::uint32_t part = 0; part < kParts; ++part) {
      T* const entries = parts_[part].load(std::memory_order_relaxed);
      if (entries == nullptr) return;
      for (std::uint32_t i = 0; i < kFirst << part; ++i) act(number++, entries[i]);
    }
  }

 private:
  static constexpr std::uint32_t kFirst = 32;
  static constexpr std::uint32_t kParts = 11;  // each is twice as large as the one before

  struct At {
    explicit At(std::uint32_t number)
        : part(static_cast<std::uint32_t>(std::bit_width(number / kFirst + 1)) - 1),
          index(number - kFirst * ((1U << part) - 1)) {}
    std::uint32_t part, index;
  };

  std::array<std::atomic<T*>, kParts> parts_{};
};

}  // namespace mmstats
