// Equal timers -> entries of a request.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "pinba/hash_slots.h"
#include "pinba/request.h"
#include "pinba/value_bucket.h"

namespace pinba {
namespace {

constexpr std::uint32_t kMostHits = std::numeric_limits<std::uint32_t>::max();  // of an entry

// Does not depend on the order of the tags.
std::uint32_t hash_of(std::span<const TagRef> tags) {
  std::uint64_t sum = 0;
  for (const TagRef& tag : tags) {
    const std::uint64_t mixed = ((std::uint64_t{tag.name} << 32U) | tag.value) * 0x9E3779B97F4A7C15U;
    sum += mixed ^ (mixed >> 29U);
  }
  return static_cast<std::uint32_t>(sum ^ (sum >> 32U));
}

bool same_tags(std::span<const TagRef> a, std::span<const TagRef> b) {
  return std::ranges::equal(a, b) || std::ranges::is_permutation(a, b);
}

// False if an entry has no room for so many more hits.
bool add_to(Timer& timer, std::uint64_t hit_count, double value, double ru_utime, double ru_stime) {
  if (hit_count > kMostHits - timer.hit_count) return false;
  timer.hit_count += static_cast<std::uint32_t>(hit_count);
  timer.value += value;
  timer.ru_utime += ru_utime;
  timer.ru_stime += ru_stime;
  return true;
}

}  // namespace

int bucket_of(double seconds) {
  constexpr int kNothing = std::numeric_limits<int>::min() / 2;
  if (!(seconds > 0) || !std::isfinite(seconds)) return kNothing;
  static const double per_bucket = 1 / std::log(1.04);
  return static_cast<int>(std::floor(std::log(seconds) * per_bucket));
}

void TimerMerge::add(Request& request, std::span<const TagRef> tags, std::uint64_t hit_count, double value,
                     double ru_utime, double ru_stime) {
  if (hit_count == 0) return;
  const auto append = [&] {
    // The last of the entries that are added here is the one which still has room.
    request.add_timer(tags, hit_count, value, ru_utime, ru_stime);
    return static_cast<std::uint32_t>(request.timers.size() - 1);
  };
  if (equal_timers_ == EqualTimers::kSeparate) {
    append();
    return;
  }
  Entry& entry = entry_of(request, tags);
  if (entry.count == 0 || (equal_timers_ == EqualTimers::kByValue && entry.count < kApart)) {
    ++entry.count;
    entry.timer = append();
    entry.first_tag = static_cast<std::uint32_t>(request.timer_tags.size() - tags.size());
    return;
  }
  if (equal_timers_ == EqualTimers::kOne) {
    if (add_to(request.timers[entry.timer], hit_count, value, ru_utime, ru_stime)) return;
    entry.timer = append();
    entry.first_tag = static_cast<std::uint32_t>(request.timer_tags.size() - tags.size());
    return;
  }
  if (entry.parts == kNoParts) {
    if (used_parts_ == parts_.size()) parts_.emplace_back();
    parts_[used_parts_].clear();
    entry.parts = static_cast<std::uint32_t>(used_parts_++);
  }
  Part& part =
      part_of(parts_[entry.parts], bucket_of(value / static_cast<double>(hit_count)), kMostEntries - kApart);
  if (part.timer != kNoTimer && add_to(request.timers[part.timer], hit_count, value, ru_utime, ru_stime))
    return;
  part.timer = append();
}

// Where the timer with these tags is, or is to be: then it counts none yet.
TimerMerge::Entry& TimerMerge::entry_of(const Request& request, std::span<const TagRef> tags) {
  const std::uint32_t hash = hash_of(tags);
  if (2 * (entries_.size() + 1) > slots_.size()) rebuild_slots(slots_, entries_);
  const std::size_t slot = find_slot(slots_, entries_, hash, [&](const Entry& entry) {
    return same_tags(
        tags, std::span(request.timer_tags).subspan(entry.first_tag, request.timers[entry.timer].tag_count));
  });
  if (slots_[slot] == 0) {
    entries_.push_back({.hash = hash});
    slots_[slot] = static_cast<std::uint32_t>(entries_.size());
  }
  return entries_[slots_[slot] - 1];
}

void TimerMerge::add(Request& request, const Tags& tags, std::uint64_t hit_count, double value,
                     double ru_utime, double ru_stime) {
  scratch_.clear();
  for (const auto& [name, text] : tags.pairs()) scratch_.push_back(request.intern(name, text));
  add(request, scratch_, hit_count, value, ru_utime, ru_stime);
}

void TimerMerge::clear() {
  entries_.clear();
  std::ranges::fill(slots_, 0);
  used_parts_ = 0;
}

}  // namespace pinba
