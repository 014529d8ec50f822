#include "collect/departed.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/keyed_hash.h"

namespace mmstats {

std::uint64_t DepartedLives::key(const Owner& owner) {
  return keyed_hash(owner.pid, std::bit_cast<std::uint64_t>(owner.created));
}

void DepartedLives::add(Life&& life, const std::string& path, const FileId& file,
                        std::chrono::steady_clock::time_point now) {
  const Owner owner = life.layout->owner(life.mark);
  values_ += life.values();
  lives_.push_back({std::move(life), keyed_hash(path), file, now});
  by_owner_.emplace(key(owner), std::prev(lives_.end()));
  while (lives_.size() > kMaxLives || values_ > kMaxValues) drop(lives_.begin());
}

std::optional<Life> DepartedLives::take(const Owner& owner, const std::string& path, const FileId& file) {
  if (lives_.empty()) return std::nullopt;
  const std::uint64_t name = keyed_hash(path);
  const auto [begin, end] = by_owner_.equal_range(key(owner));
  const auto known = std::find_if(begin, end, [&](const auto& entry) {
    const Departed& one = *entry.second;
    const Owner other = one.life.layout->owner(one.life.mark);
    return other.pid == owner.pid && other.created == owner.created &&
           (one.path == name || (one.file != FileId{} && one.file == file));
  });
  if (known == end) return std::nullopt;
  const auto found = known->second;
  Life life = std::move(found->life);
  found->life = {};
  values_ -= life.values();
  by_owner_.erase(known);
  lives_.erase(found);
  return life;
}

void DepartedLives::drop(Lives::iterator life) {
  const auto [begin, end] = by_owner_.equal_range(key(life->life.layout->owner(life->life.mark)));
  by_owner_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == life; }));
  values_ -= life->life.values();
  lives_.erase(life);
}

void DepartedLives::expire(std::chrono::steady_clock::time_point now) {
  while (!lives_.empty() && now - lives_.front().since > kKept) drop(lives_.begin());
}

void DepartedLives::clear() {
  while (!lives_.empty()) drop(lives_.begin());
}

}  // namespace mmstats
