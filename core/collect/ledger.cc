#include "collect/ledger.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "collect/accumulator.h"

namespace mmstats {

Ledger::Counted Ledger::counted(const Layout& layout, std::size_t i) const {
  if (apart_) {
    if (const auto resumed = apart_->resumed.find(i); resumed != apart_->resumed.end())
      return resumed->second;
  }
  const FieldPlan& plan = layout.plans()[i];
  if (i < layout.whole_counters()) {
    const std::uint64_t whole = plan.counter(last[i]);
    return {.whole = whole, .fraction = static_cast<double>(whole)};
  }
  const double number = plan.number(last[i]);
  return {.whole = number >= 1 && number < 18446744073709551616.0 ? static_cast<std::uint64_t>(number) : 0,
          .fraction = number};
}

void Ledger::reshape(const Layout* before, const Layout& now) {
  std::unordered_map<std::uint64_t, std::size_t> had;  // by hash of the label
  for (std::size_t i = 0; before != nullptr && i < before->counters(); ++i) {
    if (good[i] != 0) had.emplace(before->label(i), i);
  }
  const std::size_t count = now.plans().size();
  std::vector<std::uint64_t> values(count, 0);
  std::vector<std::uint8_t> known(count, 0);
  Apart apart;
  if (apart_) apart.lost = std::move(apart_->lost);
  for (std::size_t i = 0; i < now.counters(); ++i) {
    const std::uint64_t label = now.label(i);
    if (const auto same = had.find(label); before != nullptr && same != had.end()) {
      const std::size_t was = same->second;
      if (now.plans()[i].same_type(before->plans()[was]) && !(apart_ && apart_->resumed.contains(was))) {
        values[i] = last[was];
      } else {
        apart.resumed.emplace(i, counted(*before, was));
      }
      had.erase(same);
    } else if (const auto lost = apart.lost.find(label); lost != apart.lost.end()) {
      apart.resumed.emplace(i, lost->second);
      apart.lost.erase(lost);
    } else {
      continue;
    }
    known[i] = 1;
  }
  if (before != nullptr) {
    for (const auto& [label, i] : had) apart.lost.insert_or_assign(label, counted(*before, i));
  }
  last = std::move(values);
  good = std::move(known);
  all_good = count == 0;
  const bool none = apart.lost.empty() && apart.resumed.empty();
  apart_ = none ? nullptr : std::make_unique<Apart>(std::move(apart));
}

void Ledger::accept(const Layout& layout, std::span<const std::uint32_t> targets,
                    std::span<const std::uint64_t> values, std::vector<std::uint32_t>& unsettled,
                    SeriesTable& table, FoldStats& stats) {
  const auto plans = layout.plans();
  const auto resumed = [&](std::size_t i) -> const Counted* {
    if (!apart_) return nullptr;
    const auto found = apart_->resumed.find(i);
    return found == apart_->resumed.end() ? nullptr : &found->second;
  };
  const auto add = [&](std::size_t i, std::uint64_t before, std::uint64_t now) {
    if (now < before) ++stats.resets;
    table.count(targets[i], now < before ? now : now - before, plans[i].scale);
  };
  // The usual case by itself, as this is what every value of every busy file goes through.
  const std::size_t plain = apart_ ? 0 : layout.plain_counters();
  for (std::size_t i = 0; i < plain; ++i) {
    if (values[i] != last[i] && targets[i] != kNoSeries) add(i, last[i], values[i]);
  }
  for (std::size_t i = plain; i < layout.counters(); ++i) {
    const std::uint32_t target = targets[i];
    if (values[i] == last[i] || target == kNoSeries) continue;
    const FieldPlan& plan = plans[i];
    const Counted* const from = resumed(i);
    if (i < layout.whole_counters()) {
      add(i, from != nullptr ? from->whole : plan.counter(last[i]), plan.counter(values[i]));
    } else {
      const double before = from != nullptr ? from->fraction : plan.number(last[i]);
      const double now = plan.number(values[i]);
      if (now < before) ++stats.resets;
      const double added = now < before ? now : now - before;
      if (added > 0 && std::isfinite(added)) table.count(target, added * plan.scale);
    }
  }
  if (apart_)
    std::erase_if(apart_->resumed, [&](const auto& one) { return values[one.first] != last[one.first]; });
  std::copy(values.begin(), values.end(), last.begin());
  // What did not settle is as good as it was.
  std::erase_if(unsettled, [&](std::uint32_t i) { return good[i] != 0; });
  std::fill(good.begin(), good.end(), 1);
  for (const std::uint32_t i : unsettled) good[i] = 0;
  all_good = unsettled.empty();
}

void Ledger::add_gauges(const Layout& layout, std::span<const std::uint32_t> targets,
                        SeriesTable& table) const {
  const auto plans = layout.plans();
  for (std::size_t i = layout.counters(); i < plans.size(); ++i) {
    if (good[i] == 0 || targets[i] == kNoSeries) continue;
    const FieldPlan& plan = plans[i];
    const double value = plan.number(last[i]) * plan.scale;
    accumulate(table.accumulators[targets[i]], table.aggregates[targets[i]], value);
  }
}

}  // namespace mmstats
