#include "collect/folder_errors.h"

#include <algorithm>
#include <utility>

namespace mmstats {

void FolderErrors::begin() {
  for (One& one : kept_) one.seen = false;
}

void FolderErrors::end(Shares& room) {
  std::erase_if(kept_, [&](const One& one) {
    if (one.seen) return false;
    room.give(one.owner, 1);
    if (!one.of_folder) --names_;
    return true;
  });
}

void FolderErrors::clear(Shares& room) {
  for (const One& one : kept_) room.give(one.owner, 1);
  kept_.clear();
  names_ = 0;
}

FolderErrors::One* FolderErrors::find(std::uint64_t name, bool of_folder) {
  const auto known = std::ranges::find_if(
      kept_, [&](const One& one) { return one.name == name && one.of_folder == of_folder; });
  return known == kept_.end() ? nullptr : &*known;
}

bool FolderErrors::see(std::uint64_t name) {
  One* const known = find(name, false);
  if (known != nullptr) known->seen = true;
  return known != nullptr;
}

std::size_t FolderErrors::count(uid_t owner) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(kept_, [&](const One& one) { return !one.of_folder && one.owner == owner; }));
}

// The newest of one who has at least two more than `to`; or kept_.size().
std::size_t FolderErrors::loser(uid_t to) const {
  std::size_t most = count(to) + 1;
  std::size_t found = kept_.size();
  for (std::size_t i = kept_.size(); i-- > 0;) {
    if (kept_[i].of_folder) continue;
    const std::size_t has = count(kept_[i].owner);
    if (has <= most) continue;
    most = has;
    found = i;
  }
  return found;
}

bool FolderErrors::may_add(const Shares& room, uid_t owner) const {
  return room.room(owner) > 0 && (names_ < kMaxNames || loser(owner) < kept_.size());
}

bool FolderErrors::add(Shares& room, uid_t owner, std::uint64_t name, Error error) {
  One* place = find(name, false);
  if (place == nullptr) {
    if (!may_add(room, owner)) return false;
    if (names_ < kMaxNames) {
      ++names_;
      place = &kept_.emplace_back();
    } else {
      place = &kept_[loser(owner)];
      room.give(place->owner, 1);
    }
    static_cast<void>(room.take(owner, 1));
  } else if (place->owner != owner) {
    if (!room.take(owner, 1)) return false;
    room.give(place->owner, 1);
  }
  *place = {.error = std::move(error), .owner = owner, .name = name};
  return true;
}

void FolderErrors::add_of_folder(Shares& room, uid_t owner, unsigned number, Error error) {
  One* place = find(number, true);
  if (place == nullptr) {
    if (!room.take(owner, 1)) return;
    place = &kept_.emplace_back();
  }
  *place = {.error = std::move(error), .owner = owner, .name = number, .of_folder = true};
}

}  // namespace mmstats
