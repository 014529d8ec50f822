#include "collect/departed.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace mmstats {

std::size_t DepartedLives::key(const Owner& owner) {
  return std::hash<std::uint64_t>{}(owner.pid * 0x9E3779B97F4A7C15U ^
                                    std::bit_cast<std::uint64_t>(owner.created));
}

void DepartedLives::add(Life&& life, const std::string& path, const FileId& file,
                        std::chrono::steady_clock::time_point now) {
  const Owner owner = life.layout->owner(life.mark);
  values_ += life.values();
  lives_.push_back({std::move(life), std::hash<std::string>{}(path), file, now});
  by_owner_.emplace(key(owner), std::prev(lives_.end()));
  while (lives_.size() > kMaxLives || values_ > kMaxValues) drop(lives_.begin());
}

std::optional<Life> DepartedLives::take(const Owner& owner, const std::string& path, const FileId& file) {
  if (lives_.empty()) return std::nullopt;
  const std::size_t name = std::hash<std::string>{}(path);
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
