#include "collect/fair_complaints.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

namespace mmstats {

void FairComplaints::begin_scan() {
  kept_.clear();
  numbers_.clear();
}

void FairComplaints::add(const Error& error, uid_t owner) {
  const std::size_t number = numbers_[owner]++;
  if (number < most_) kept_.push_back({error, owner, number});
}

void FairComplaints::take(std::vector<Error>& errors, std::vector<uid_t>& owners) {
  std::ranges::sort(kept_, {}, [&](const One& one) {
    return std::tuple(one.number, numbers_.find(one.owner)->second, one.owner);
  });
  if (kept_.size() > most_) kept_.resize(most_);
  errors.clear();
  owners.clear();
  for (One& one : kept_) {
    errors.push_back(std::move(one.error));
    owners.push_back(one.owner);
  }
}

}  // namespace mmstats
