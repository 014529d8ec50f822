// Indices of a list by hash, in open addressing: 0 is free, else it is an index + 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pinba {

// The slot where `entry` is found for which same(entry) holds, or the free one where it
// belongs.
template <class Entries, class Same>
std::size_t find_slot(const std::vector<std::uint32_t>& slots, const Entries& entries, std::uint32_t hash,
                      Same&& same) {
  const std::size_t mask = slots.size() - 1;
  std::size_t slot = hash & mask;
  while (slots[slot] != 0) {
    const auto& entry = entries[slots[slot] - 1];
    if (entry.hash == hash && same(entry)) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

template <class Entries>
void rebuild_slots(std::vector<std::uint32_t>& slots, const Entries& entries) {
  slots.assign(slots.empty() ? 64 : 2 * slots.size(), 0);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    slots[find_slot(slots, entries, entries[i].hash, [](const auto&) { return false; })] =
        static_cast<std::uint32_t>(i + 1);
  }
}

}  // namespace pinba
