#include "tools/pinba_dump/numbering.h"

#include <utility>

namespace pinba_dump {
namespace {

// Numbers that are further apart are of another process that has the port now, or are none.
constexpr std::uint32_t kFarAway = 1'000'000;
constexpr std::uint32_t kRemembered = 64;  // bits of Sender::come

}  // namespace

std::uint32_t Numbering::Sender::step(std::uint32_t number) {
  const std::uint32_t forward = number - last;  // they may begin at 0 again after 2^32 - 1
  const std::uint32_t back = last - number;
  if (forward == 0) return 0;
  // Not numbered, of a program that numbers others.
  if (number == 0 && forward != 1) return 0;
  if (forward <= kFarAway) {
    ++(forward == 1 ? ones : others);
    come = forward < kRemembered ? come << forward | 1U : 1U;
    last = number;
    missing += forward - 1;
    return forward - 1;
  }
  if (back >= kRemembered) {
    // Another process, if a second one follows it. What that lacks is not known.
    ++others;
    if (number == anew) {
      last = number;
      come = ~std::uint64_t{0};
    }
    anew = number + 1;
    return 0;
  }
  const std::uint64_t bit = std::uint64_t{1} << back;
  if ((come & bit) != 0) {
    ++others;
    return 0;
  }
  // Late: the step that left it out was none of more than one.
  come |= bit;
  --missing;
  ++ones;
  if (others > 0) --others;
  return 0;
}

std::uint32_t Numbering::add(const Way& way, std::uint32_t number) {
  auto known = younger_.find(way);
  if (known == younger_.end()) {
    if (younger_.size() >= kMost) {
      count(older_, forgotten_);
      older_ = std::exchange(younger_, {});
    }
    if (auto old = older_.extract(way)) {
      known = younger_.insert(std::move(old)).position;
    } else {
      younger_.emplace(way, Sender{.last = number});
      return 0;
    }
  }
  Sender& sender = known->second;
  const std::uint32_t missing = sender.step(number);
  return sender.numbers() ? missing : 0;
}

void Numbering::count(const Senders& senders, Totals& totals) {
  for (const auto& [way, sender] : senders) {
    if (!sender.numbers() || sender.missing == 0) continue;
    totals.missing += sender.missing;
    ++totals.senders;
  }
}

Numbering::Totals Numbering::totals() const {
  Totals totals = forgotten_;
  count(younger_, totals);
  count(older_, totals);
  return totals;
}

}  // namespace pinba_dump
