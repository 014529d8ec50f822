#include "publish/fresh_values.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "publish/region.h"

namespace mmstats {
namespace {

template <class T>
void store_whole(std::byte* value, const std::byte* from) {
  T whole{};
  std::memcpy(&whole, from, sizeof whole);
  std::atomic_ref(*reinterpret_cast<T*>(value)).store(whole, std::memory_order_relaxed);
}

// By one store, if there is one for the size: then values of that size are aligned.
bool store_at_once(std::byte* value, const std::vector<std::byte>& from) {
  switch (from.size()) {
    case 1:
      store_whole<std::uint8_t>(value, from.data());
      return true;
    case 2:
      store_whole<std::uint16_t>(value, from.data());
      return true;
    case 4:
      store_whole<std::uint32_t>(value, from.data());
      return true;
    case 8:
      store_whole<std::uint64_t>(value, from.data());
      return true;
    default:
      return false;
  }
}

// Pages of their own are given back to the system.
void clear(std::byte* memory, std::size_t size) {
  constexpr std::size_t kWorthIt = 4 * kPage;
  if (size >= kWorthIt) {
    const std::size_t head = (kPage - reinterpret_cast<std::uintptr_t>(memory) % kPage) % kPage;
    const std::size_t pages = (size - head) / kPage * kPage;
    if (::madvise(memory + head, pages, MADV_DONTNEED) == 0) {
      std::memset(memory, 0, head);
      std::memset(memory + head + pages, 0, size - head - pages);
      return;
    }
  }
  std::memset(memory, 0, size);
}

}  // namespace

void FreshValues::add_field(std::size_t offset, const detail::FieldSpec& spec) {
  Field field{.offset = offset, .buffered = spec.buffered, .initial = std::vector<std::byte>(spec.size)};
  if (spec.initial != nullptr) std::memcpy(field.initial.data(), spec.initial, spec.size);
  fields_.push_back(std::move(field));
}

void FreshValues::add_memory(std::size_t offset, std::size_t size) {
  if (!memory_.empty() && memory_.back().offset + memory_.back().size == offset) {
    memory_.back().size += size;
  } else {
    memory_.push_back({offset, size});
  }
}

bool FreshValues::has(std::size_t offset) const {
  const auto field = std::lower_bound(fields_.begin(), fields_.end(), offset,
                                      [](const Field& one, std::size_t at) { return one.offset + 1 < at; });
  if (field != fields_.end() && field->offset + 1 == offset) return true;
  const auto behind = std::upper_bound(memory_.begin(), memory_.end(), offset,
                                       [](std::size_t at, const Memory& one) { return at < one.offset; });
  return behind != memory_.begin() && offset < (behind - 1)->offset + (behind - 1)->size;
}

void FreshValues::restore(std::byte* file) const {
  for (const Field& field : fields_) {
    const std::size_t size = field.initial.size();
    std::byte* const write_buffer = file + field.offset;
    std::byte* const values = write_buffer + 1;
    if (store_at_once(values, field.initial)) {
      if (field.buffered) store_at_once(values + size, field.initial);
    } else if (!field.buffered) {
      std::memcpy(values, field.initial.data(), size);
    } else {
      // Twice, so that the published buffer is the one that it was: some writers never change that.
      for (int twice = 0; twice < 2; ++twice) {
        const std::atomic_ref byte(*reinterpret_cast<std::uint8_t*>(write_buffer));
        const auto mine = static_cast<std::uint8_t>(byte.load(std::memory_order_relaxed) & 1U);
        std::memcpy(values + mine * size, field.initial.data(), size);
        byte.store(mine ^ 1U, std::memory_order_release);
      }
    }
  }
  for (const Memory& memory : memory_) clear(file + memory.offset, memory.size);
}

}  // namespace mmstats
