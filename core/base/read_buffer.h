// A buffer that files are read into. It begins at a multiple of 64 bytes, as the kernel's copy of file bytes
// depends on where they go: a processor may take three times as long to copy to a place that lies up to 32
// bytes behind the source's within a page, and that is where malloc() puts what is large.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace mmstats {

template <class T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  CacheLineAllocator() = default;
  template <class Other>
  explicit CacheLineAllocator(const CacheLineAllocator<Other>& /*other*/) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kAlignment)); }
  void deallocate(T* memory, std::size_t /*count*/) { ::operator delete(memory, kAlignment); }
  bool operator==(const CacheLineAllocator&) const = default;
};

using ReadBuffer = std::vector<std::byte, CacheLineAllocator<std::byte>>;

}  // namespace mmstats
