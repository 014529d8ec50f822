#include "plugin_pinba/forward/bucket_entries.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/buckets.h"

namespace mmstats::forward {

namespace {

// From here on two parts of a power of two are 1/26 of their values at most.
constexpr std::uint32_t kFirstOfPairs = 20;
constexpr std::uint64_t kMostOfBucket = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t kMostOfEntry = std::numeric_limits<std::uint32_t>::max();

struct Cell {
  std::uint32_t power;
  TimerEntry entry;
};

// Neighbours share an entry as long as it has no more hits than `most`.
std::vector<Cell> together(std::span<const Cell> cells, std::uint64_t most) {
  std::vector<Cell> fewer;
  for (const Cell& cell : cells) {
    if (!fewer.empty() && fewer.back().power == cell.power &&
        fewer.back().entry.hits + cell.entry.hits <= most) {
      fewer.back().entry.hits += cell.entry.hits;
      fewer.back().entry.value += cell.entry.value;
    } else {
      fewer.push_back(cell);
    }
  }
  return fewer;
}

}  // namespace

bool take_entries(const BucketCounts& total, BucketCounts& sent, std::vector<TimerEntry>& into) {
  std::vector<Cell> cells;
  for (const BucketCounts::Power& power : total.powers()) {
    const BucketCounts::Power* const before = sent.find(power.number);
    std::array<std::uint64_t, buckets::kMostParts> taken{};
    const std::uint32_t first = power.number << buckets::kMostBits;
    const auto take = [&](std::uint32_t part) {
      const std::uint64_t was_sent = before == nullptr ? 0 : before->parts[part];
      return taken[part] = std::min(power.parts[part] - was_sent, kMostOfBucket);
    };
    for (std::uint32_t part = 0; part < buckets::kMostParts;) {
      const std::uint32_t size = part < kFirstOfPairs ? 1 : 2;
      std::uint32_t begin = part + size;
      std::uint32_t end = part;
      std::uint64_t hits = 0;
      for (const std::uint32_t last = part + size; part < last; ++part) {
        const std::uint64_t added = take(part);
        if (added == 0) continue;
        begin = std::min(begin, part);
        end = part + 1;
        hits += added;
      }
      if (hits == 0) continue;
      const double middle = (buckets::lower(first + begin) + buckets::lower(first + end)) / 2;
      cells.push_back(
          {.power = power.number, .entry = {.hits = hits, .value = middle * static_cast<double>(hits)}});
    }
    sent.add(power.number, buckets::kMostBits, taken.data());
  }
  const bool too_many = cells.size() > kMostBucketEntries;
  if (too_many) {
    std::vector<Cell> fewer = cells;
    for (std::uint64_t most = 2; fewer.size() > kMostBucketEntries && most / 2 < kMostOfEntry; most *= 2)
      fewer = together(cells, std::min(most, kMostOfEntry));
    cells = std::move(fewer);
  }
  for (const Cell& cell : cells) into.push_back(cell.entry);
  return too_many;
}

}  // namespace mmstats::forward
