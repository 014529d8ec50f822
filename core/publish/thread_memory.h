// The memory of each thread that classes of fields keep beside its file (Model::add_memory).
#pragma once

#include <cstddef>
#include <type_traits>

#include "mmstats/fields.h"

namespace mmstats {

// Whether `file` is no thread's, because there were not even addresses for it. All such threads write there
// at once, so nothing in it holds together.
bool is_nowhere(const std::byte* file);

// Memory of `size` bytes, all zeros, for each thread of the model.
inline detail::Place add_memory(Model& model, std::size_t size) {
  return {model.number(), model.add_memory(size)};
}

// This thread's T at `place`, all zeros at first. Null: there is none.
template <class T>
  requires std::is_trivially_copyable_v<T>
T* state_at(detail::Place place) noexcept {
  std::byte* const memory = place.in_thread();
  return is_nowhere(memory) ? nullptr : reinterpret_cast<T*>(memory);
}

}  // namespace mmstats
