// What readers see of a family's combinations: those that are removed, or not used for long, are hidden.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "publish/family_table.h"
#include "publish/file_set.h"
#include "publish/models.h"

namespace mmstats::detail {

// False: it stays hidden, as there may be no more, or as it is not in the file.
bool FamilyTable::show(Entry& entry, Clock::time_point now) {
  if ((entry.state.load(std::memory_order_relaxed) & kShown) != 0) return true;
  if (!entry.in_file || (!entry.is_other && shown_ >= max_series_)) return false;
  tell_readers(entry, false);
  entry.state.fetch_or(kShown, std::memory_order_relaxed);
  entry.used_at = now;
  if (!entry.is_other) ++shown_;
  full_ = shown_ >= max_series_;
  return true;
}

void FamilyTable::hide(Entry& entry) {
  // A field that was there before is not the family's: it stays.
  if ((entry.state.load(std::memory_order_relaxed) & kShown) == 0 || entry.fields.empty()) return;
  entry.hidden_as.clear();
  for_each_change(entry, [&](std::uint64_t change) { entry.hidden_as.push_back(change); });
  std::sort(entry.hidden_as.begin(), entry.hidden_as.end());
  entry.state.store(0, std::memory_order_relaxed);
  tell_readers(entry, true);
  if (!entry.is_other) --shown_;
  full_ = shown_ >= max_series_;
}

void FamilyTable::tell_readers(const Entry& entry, bool removed) {
  for (const PublishedField& field : entry.fields)
    (field.shared ? impl_.shared : impl_.per_thread).set_removed(field, removed);
}

void FamilyTable::for_each_change(const Entry& entry, const std::function<void(std::uint64_t)>& visit) const {
  for (const PublishedField& field : entry.fields)
    (field.shared ? impl_.shared : impl_.per_thread).for_each_change(field, visit);
}

std::uint64_t FamilyTable::digest(const Entry& entry) const {
  std::uint64_t all = 0;
  for_each_change(entry, [&](std::uint64_t change) { all += change; });
  return all;
}

// Not so by the end of a thread or by a fork, which take values away.
bool FamilyTable::was_written(const Entry& hidden) const {
  bool written = false;
  for_each_change(hidden, [&](std::uint64_t change) {
    written = written || !std::binary_search(hidden.hidden_as.begin(), hidden.hidden_as.end(), change);
  });
  return written;
}

std::size_t FamilyTable::expire(Clock::time_point now) {
  std::size_t removed = 0;
  for (std::size_t next = 0;;) {
    const Models::Lock lock(&impl_);
    if (!lock || !published_) return removed;
    removed += look_at(next, now);
    if (next == entries_.size()) return removed;
  }
}

// For whoever asks for a combination that is not shown: he waits for a part of them all.
void FamilyTable::expire_some(Clock::time_point now) {
  if (expire_after_.load(std::memory_order_relaxed) == 0 ||
      now.time_since_epoch().count() < expire_at_.load(std::memory_order_relaxed)) {
    return;
  }
  const Models::Lock lock(&impl_);
  if (!lock) return;
  look_at(next_to_look_, now);
  if (next_to_look_ < entries_.size()) return;
  next_to_look_ = 0;
  expire_at_ = now.time_since_epoch().count() + expire_after_ / 4;
}

// Hides those that were not used for long, and then shows those that were written; from `next` on, as many as
// take a millisecond. How many were hidden.
std::size_t FamilyTable::look_at(std::size_t& next, Clock::time_point now) {
  constexpr std::size_t kValues = 8192;
  const std::size_t begin = next;
  const Clock::duration expire_after(expire_after_.load());
  std::size_t removed = 0;
  for (std::size_t values = 0; next < entries_.size() && values < kValues; ++next) {
    Entry& entry = *entries_[next];
    if (entry.fields.empty()) continue;
    values += entry.fields.size() * std::max<std::size_t>(impl_.per_thread.regions().size(), 1);
    if ((entry.state.load(std::memory_order_relaxed) & kShown) == 0) continue;
    const std::uint64_t before = std::exchange(entry.digest, digest(entry));
    const bool asked = (entry.state.fetch_and(kShown, std::memory_order_relaxed) & kAsked) != 0;
    if (asked || before != entry.digest) {
      entry.used_at = now;
    } else if (expire_after > Clock::duration{0} && now - entry.used_at >= expire_after) {
      hide(entry);
      ++removed;
    }
  }
  for (std::size_t i = begin; i < next; ++i) {
    Entry& entry = *entries_[i];
    if ((entry.state.load(std::memory_order_relaxed) & kShown) != 0 || !was_written(entry)) continue;
    if (show(entry, now)) entry.digest = digest(entry);
  }
  return removed;
}

}  // namespace mmstats::detail
