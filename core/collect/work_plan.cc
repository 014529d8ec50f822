#include "collect/work_plan.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace mmstats {
namespace {

// Who used far more than he may is bound for so many scans at most.
constexpr std::uint64_t kMostDebt = 40;

}  // namespace

WorkPlan::WorkPlan(std::uint64_t limit, uid_t self)
    : limit_(std::max<std::uint64_t>(limit, 1)), self_(self) {}

void WorkPlan::begin() {
  if (done_ > share_ || put_off_ > 0) {
    scarce_until_ = scan_ + kCalm;
    spent_.each([&](uid_t owner, std::uint64_t) { accounts_[owner]; });
  }
  debts_ = false;
  for (auto entry = accounts_.begin(); entry != accounts_.end();) {
    auto& [owner, account] = *entry;
    const std::uint64_t used = spent_.held(owner) + std::exchange(account.excess, 0);
    account.lately = std::max(used, account.lately / 8 * 7);
    if (account.debt > 0 && used > share_ / 4) account.trusted = false;
    account.debt = std::min(account.debt + used - std::min(account.debt + used, share_), kMostDebt * share_);
    if (account.debt == 0) account.trusted = true;
    debts_ = debts_ || account.debt > 0;
    const bool over = account.lately == 0 && account.debt == 0 && account.late_until < scan_;
    entry = over ? accounts_.erase(entry) : std::next(entry);
  }
  const std::uint64_t limit = scan_ == 0 ? kFirst * limit_ : limit_;
  share_ = limit - limit / 4;
  spent_ = Shares(limit, self_);
  done_ = put_off_ = 0;
  ++scan_;
}

void WorkPlan::expect(FileKey file, std::uint64_t work) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  of(file).work = static_cast<std::uint32_t>(std::min(work, kMost));
}

std::vector<uid_t> WorkPlan::late() const {
  std::vector<uid_t> late;
  for (const auto& [owner, account] : accounts_) {
    if (account.late_until >= scan_) late.push_back(owner);
  }
  return late;
}

bool WorkPlan::has_room(const Known& known, uid_t owner) const {
  const auto account = accounts_.find(owner);
  const std::uint64_t debt = account == accounts_.end() ? 0 : account->second.debt;
  const std::uint64_t used = spent_.held(owner) + (account == accounts_.end() ? 0 : account->second.excess);
  const std::uint64_t may_use = spent_.may_hold(owner);
  // A quarter stays for his small files while he pays, as long as they are as small as it seemed.
  const std::uint64_t left = debt > 0 && account->second.trusted ? may_use / 4 : 0;
  if (used + known.work <= std::max(may_use - std::min(debt, may_use), left)) return true;
  return debt == 0 && used == 0 && done_ < spent_.limit();
}

void WorkPlan::did_much(uid_t owner, std::uint64_t work) {
  const std::uint64_t taken = std::min<std::uint64_t>(work, spent_.room(owner));
  spent_.take_anyway(owner, taken);
  if (taken < work) accounts_[owner].excess += work - taken;
}

void WorkPlan::put_off(uid_t owner) {
  accounts_[owner].late_until = scan_ + kCalm;
  ++put_off_;
}

std::span<const FileKey> WorkPlan::sort_queue() {
  std::map<uid_t, std::uint64_t> wanted;
  for (const Queued& one : queue_) wanted[one.owner] += is_bound(one.owner) ? of(one.file).work : 0;
  for (const auto& [owner, work] : wanted) {
    if (is_bound(owner)) accounts_.try_emplace(owner, Account{.lately = work});
  }
  for (Queued& one : queue_) one.lately = is_bound(one.owner) ? accounts_[one.owner].lately : 0;
  std::sort(queue_.begin(), queue_.end());
  for (auto begin = queue_.begin(); begin != queue_.end();) {
    const auto end =
        std::find_if(begin, queue_.end(), [&](const Queued& one) { return one.owner != begin->owner; });
    const auto longest = std::max_element(
        begin, end, [&](const Queued& a, const Queued& b) { return of(a.file).waited < of(b.file).waited; });
    if (of(longest->file).waited >= kOverdue) std::rotate(begin, longest, longest + 1);
    begin = end;
  }
  order_.clear();
  for (const Queued& one : queue_) order_.push_back(one.file);
  return order_;
}

}  // namespace mmstats
