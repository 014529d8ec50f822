// The memory of each thread that classes of fields keep beside its file (detail::FieldSpec::memory).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "mmstats/fields.h"

namespace mmstats {

// Whether `address` is no field's: the one that a thread without memory for it is given.
bool is_nowhere(const std::byte* address) noexcept;

// This thread's T at `place`, all zeros at first. Null: there is none.
template <class T>
T* state_at(detail::Place place) noexcept {
  // What is in the thread's table is memory.
  if (std::byte* const memory = place.known_in_thread()) [[likely]]
    return reinterpret_cast<T*>(memory);
  std::byte* const memory = detail::enter_thread(place);
  return is_nowhere(memory) ? nullptr : reinterpret_cast<T*>(memory);
}

// How many values, and how many seconds, a class of fields may be told to keep.
inline std::uint32_t bounded_size(std::size_t size) {
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(size, 1, 65'536));
}
inline std::uint32_t bounded_seconds(std::size_t seconds) {
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(seconds, 1, 3'600));
}

}  // namespace mmstats
