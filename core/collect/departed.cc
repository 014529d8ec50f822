#include "collect/departed.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/keyed_hash.h"

namespace mmstats {

std::uint64_t DepartedLives::key(const Owner& owner) {
  return keyed_hash(owner.pid, std::bit_cast<std::uint64_t>(owner.created));
}

void DepartedLives::add(uid_t user, Life&& life, const std::string& path, const FileId& file,
                        std::chrono::steady_clock::time_point now) {
  Held one(number_, user);
  while (!one.hold(1)) {
    if (!drop_oldest(user)) return;
  }
  const Owner owner = life.layout->owner(life.mark);
  Lives& lives = lives_[user];
  lives.push_back({user, std::move(life), std::move(one), keyed_hash(path), file, now});
  by_owner_.emplace(key(owner), std::prev(lives.end()));
}

std::optional<Life> DepartedLives::take(uid_t user, const Owner& owner, const std::string& path,
                                        const FileId& file) {
  if (lives_.empty()) return std::nullopt;
  const std::uint64_t name = keyed_hash(path);
  const auto [begin, end] = by_owner_.equal_range(key(owner));
  const auto known = std::find_if(begin, end, [&](const auto& entry) {
    const Departed& one = *entry.second;
    const Owner other = one.life.layout->owner(one.life.mark);
    return other.pid == owner.pid && other.created == owner.created &&
           ((one.path == name && one.user == user) || (one.file != FileId{} && one.file == file));
  });
  if (known == end) return std::nullopt;
  const auto found = known->second;
  const auto of_user = lives_.find(found->user);
  Life life = std::move(found->life);
  by_owner_.erase(known);
  of_user->second.erase(found);
  if (of_user->second.empty()) lives_.erase(of_user);
  return life;
}

void DepartedLives::drop(Lives& of_user, Lives::iterator life) {
  const auto [begin, end] = by_owner_.equal_range(key(life->life.layout->owner(life->life.mark)));
  by_owner_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == life; }));
  of_user.erase(life);
}

bool DepartedLives::drop_oldest(uid_t user) {
  const auto of_user = lives_.find(user);
  if (of_user == lives_.end()) return false;
  drop(of_user->second, of_user->second.begin());
  if (of_user->second.empty()) lives_.erase(of_user);
  return true;
}

void DepartedLives::expire(std::chrono::steady_clock::time_point now) {
  for (auto of_user = lives_.begin(); of_user != lives_.end();) {
    Lives& lives = of_user->second;
    while (!lives.empty() && now - lives.front().since > kKept) drop(lives, lives.begin());
    of_user = lives.empty() ? lives_.erase(of_user) : std::next(of_user);
  }
}

}  // namespace mmstats
