#include "collect/departed.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/keyed_hash.h"

namespace mmstats {

namespace {

std::uint64_t owner_key(const Owner& owner) {
  return keyed_hash(owner.pid, std::bit_cast<std::uint64_t>(owner.created));
}

}  // namespace

std::uint64_t DepartedLives::path_key(uid_t user, const Owner& owner, const std::string& path) {
  return keyed_hash(owner_key(owner), keyed_hash(user, keyed_hash(path)));
}

std::uint64_t DepartedLives::file_key(const Owner& owner, const FileId& file) {
  return keyed_hash(owner_key(owner), keyed_hash(file.device, file.inode));
}

void DepartedLives::erase(Index& index, std::uint64_t key, Lives::iterator life) {
  const auto [begin, end] = index.equal_range(key);
  index.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == life; }));
}

void DepartedLives::add(uid_t user, Life&& life, const std::string& path, const FileId& file,
                        std::chrono::steady_clock::time_point now) {
  Held one(number_, user);
  while (!one.hold(1)) {
    if (!drop_oldest(user)) return;
  }
  const Owner owner = life.layout->owner(life.mark);
  Departed departed{.life = std::move(life),
                    .one = std::move(one),
                    .by_path = path_key(user, owner, path),
                    .by_file = std::nullopt,
                    .since = now};
  if (file != FileId{}) departed.by_file = file_key(owner, file);
  Lives& lives = lives_[user];
  lives.push_back(std::move(departed));
  const auto added = std::prev(lives.end());
  by_path_.emplace(added->by_path, added);
  if (added->by_file) by_file_.emplace(*added->by_file, added);
}

std::optional<Life> DepartedLives::take(uid_t user, const Owner& owner, const std::string& path,
                                        const FileId& file) {
  if (lives_.empty()) return std::nullopt;
  auto known = by_path_.find(path_key(user, owner, path));
  if (known == by_path_.end()) {
    known = by_file_.find(file_key(owner, file));
    if (known == by_file_.end()) return std::nullopt;
  }
  const auto found = known->second;
  const auto of_user = lives_.find(found->one.owner());
  Life life = std::move(found->life);
  drop(of_user->second, found);
  if (of_user->second.empty()) lives_.erase(of_user);
  return life;
}

void DepartedLives::drop(Lives& of_user, Lives::iterator life) {
  erase(by_path_, life->by_path, life);
  if (life->by_file) erase(by_file_, *life->by_file, life);
  of_user.erase(life);
}

std::size_t DepartedLives::most_alike() const {
  std::size_t most = 0;
  for (const Index* index : {&by_path_, &by_file_}) {
    for (const auto& [key, life] : *index) most = std::max(most, index->count(key));
  }
  return most;
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
