#include "plugin_pinba/receive/fair_bound.h"

namespace mmstats::receive {

bool FairBound::take(Source source, std::size_t count) {
  const std::lock_guard lock(mutex_);
  const auto known = of_source_.find(source);
  const std::size_t mine = known == of_source_.end() ? 0 : known->second;
  const std::size_t others = taken_ - mine;
  const std::size_t left = most_ > others ? most_ - others : 0;
  if (mine + count > left - left / 4) return false;
  of_source_[source] = mine + count;
  taken_ += count;
  return true;
}

void FairBound::give(Source source, std::size_t count) {
  const std::lock_guard lock(mutex_);
  const auto known = of_source_.find(source);
  taken_ -= count;
  known->second -= count;
  if (known->second == 0) of_source_.erase(known);
}

void FairBound::set_most(std::size_t most) {
  const std::lock_guard lock(mutex_);
  most_ = most;
}

std::size_t FairBound::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

bool FairBound::is_full() const {
  const std::lock_guard lock(mutex_);
  return taken_ >= most_;
}

}  // namespace mmstats::receive
