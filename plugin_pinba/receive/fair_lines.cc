#include "plugin_pinba/receive/fair_lines.h"

#include <algorithm>
#include <iterator>

namespace mmstats::receive {
namespace {

// With its end.
std::size_t cost_of(const OwnedLine& line) { return std::max(line.text.size() + 1, FairLines::kLeast); }

}  // namespace

void FairLines::add(OwnedLine line) {
  const std::size_t cost = cost_of(line);
  const std::uint64_t owner = line.owner;
  // Whatever can fail comes first.
  std::list<OwnedLine> fresh;
  fresh.push_back(std::move(line));
  std::list<Place> place{fresh.begin()};
  Share& share = shares_[owner];
  if (share.bytes == 0) {
    try {
      by_size_.emplace(cost, owner);
    } catch (...) {
      shares_.erase(owner);
      throw;
    }
  } else {
    auto known = by_size_.extract({share.bytes, owner});
    known.value().first = share.bytes + cost;
    by_size_.insert(std::move(known));
  }
  share.bytes += cost;
  share.places.splice(share.places.end(), place);
  lines_.splice(lines_.end(), fresh);
  bytes_ += cost;
  while (bytes_ > most_) drop_of_greediest();
}

void FairLines::drop_of_greediest() {
  auto known = by_size_.extract(std::prev(by_size_.end()));
  const auto entry = shares_.find(known.value().second);
  Share& share = entry->second;
  const std::size_t cost = cost_of(*share.places.front());
  lines_.erase(share.places.front());
  share.places.pop_front();
  share.bytes -= cost;
  bytes_ -= cost;
  if (share.places.empty()) {
    shares_.erase(entry);
    return;
  }
  known.value().first = share.bytes;
  by_size_.insert(std::move(known));
}

void FairLines::move_to(FairLines& to) {
  for (OwnedLine& line : lines_) to.add(std::move(line));
  lines_.clear();
  shares_.clear();
  by_size_.clear();
  bytes_ = 0;
}

}  // namespace mmstats::receive
