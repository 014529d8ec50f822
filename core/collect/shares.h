// Who may have how much of what is bounded: memory, series, files, the work of a scan. Files come from
// anybody, so one user's never take what another's need. No locks; one thread at a time.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <unordered_map>
#include <utility>

namespace mmstats {

class Shares {
 public:
  // `self`: who is trusted as root is: the user that we run as.
  explicit Shares(std::size_t limit, uid_t self = ::geteuid()) : limit_(limit), self_(self) {}

  // Takes `amount` for `owner`. False, with nothing taken: he would have more than may_hold().
  [[nodiscard]] bool take(uid_t owner, std::size_t amount) {
    if (amount == 0) return true;
    if (amount > room(owner)) return false;
    held_[owner] += amount;
    total_ += amount;
    return true;
  }

  // The same for what is known only afterwards: he may have more than he may then, and others have less.
  void take_anyway(uid_t owner, std::size_t amount) {
    if (amount == 0) return;
    held_[owner] += amount;
    total_ += amount;
  }

  // Precondition: `owner` holds as much.
  void give(uid_t owner, std::size_t amount) {
    const auto entry = held_.find(owner);
    if (entry == held_.end()) return;
    total_ -= amount;
    entry->second -= amount;
    if (entry->second == 0) held_.erase(entry);
  }

  // How much `owner` may have in all now: what others leave, of which one who is not trusted gets three
  // quarters. So there is room for whoever comes next, however many came before.
  [[nodiscard]] std::size_t may_hold(uid_t owner) const {
    const std::size_t others = total_ - held(owner);
    const std::size_t left = limit_ > others ? limit_ - others : 0;
    return owner == 0 || owner == self_ ? left : left - left / 4;
  }

  [[nodiscard]] std::size_t room(uid_t owner) const {
    const std::size_t most = may_hold(owner);
    const std::size_t has = held(owner);
    return most > has ? most - has : 0;
  }

  [[nodiscard]] std::size_t held(uid_t owner) const {
    const auto entry = held_.find(owner);
    return entry == held_.end() ? 0 : entry->second;
  }
  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] std::size_t owners() const { return held_.size(); }  // who hold anything
  // Calls with(owner, amount) for each who holds anything, in no order.
  template <class With>
  void each(With&& with) const {
    for (const auto& [owner, amount] : held_) with(owner, amount);
  }

 private:
  std::size_t limit_;
  uid_t self_;
  std::size_t total_ = 0;
  std::unordered_map<uid_t, std::size_t> held_;
};

// What one thing takes of its owner's share, given back with it. The Shares live longer.
class Held {
 public:
  Held() = default;  // of nobody's share: hold() is not for it
  Held(Shares& shares, uid_t owner) : shares_(&shares), owner_(owner) {}
  Held(Held&& other) noexcept
      : shares_(other.shares_), owner_(other.owner_), amount_(std::exchange(other.amount_, 0)) {}
  Held& operator=(Held&& other) noexcept {
    if (this == &other) return *this;
    clear();
    shares_ = other.shares_;
    owner_ = other.owner_;
    amount_ = std::exchange(other.amount_, 0);
    return *this;
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { clear(); }

  // Holds `amount` instead of what it holds. False, and it is as it was: the owner may not have as much. Less
  // is always good.
  [[nodiscard]] bool hold(std::size_t amount) {
    if (amount > amount_) {
      if (!shares_->take(owner_, amount - amount_)) return false;
    } else if (shares_ != nullptr) {
      shares_->give(owner_, amount_ - amount);
    }
    amount_ = amount;
    return true;
  }
  void clear() { static_cast<void>(hold(0)); }

  [[nodiscard]] std::size_t amount() const { return amount_; }
  [[nodiscard]] uid_t owner() const { return owner_; }

 private:
  Shares* shares_ = nullptr;
  uid_t owner_ = 0;
  std::size_t amount_ = 0;
};

}  // namespace mmstats
