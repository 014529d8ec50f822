#include "collect/ledger.h"

#include <algorithm>
#include <cmath>

#include "collect/accumulator.h"

namespace mmstats {
namespace {

constexpr std::size_t kMaxLostBytes = std::size_t{64} << 10U;  // labels, of one file

}  // namespace

void Ledger::reshape(const Layout* before, const Layout& now) {
  if (before != nullptr) {
    for (std::size_t i = 0; i < before->counters(); ++i) {
      const std::string& label = before->label(i);
      if (good[i] == 0 || lost_bytes_ + label.size() > kMaxLostBytes) continue;
      if (lost_.insert_or_assign(label, last[i]).second) lost_bytes_ += label.size();
    }
  }
  const std::size_t count = now.plans().size();
  last.assign(count, 0);
  good.assign(count, 0);
  all_good = count == 0;
  if (!lost_.empty()) {
    for (std::size_t i = 0; i < now.counters(); ++i) {
      const auto lost = lost_.find(now.label(i));
      if (lost == lost_.end()) continue;
      last[i] = lost->second;
      good[i] = 1;
      lost_bytes_ -= lost->first.size();
      lost_.erase(lost);
    }
  }
}

void Ledger::accept(const Layout& layout, std::span<const std::uint32_t> targets,
                    std::span<const std::uint64_t> values, std::vector<std::uint32_t>& unsettled,
                    SeriesTable& table, FoldStats& stats) {
  const auto plans = layout.plans();
  for (std::size_t i = 0; i < layout.counters(); ++i) {
    const std::uint32_t target = targets[i];
    if (values[i] == last[i] || target == kNoSeries) continue;
    const FieldPlan& plan = plans[i];
    if (i < layout.whole_counters()) {
      const std::uint64_t before = plan.counter(last[i]);
      const std::uint64_t now = plan.counter(values[i]);
      if (now < before) ++stats.resets;
      const std::uint64_t added = now < before ? now : now - before;
      if (plan.scale == 1.0) {
        table.series[target].total += added;
      } else {
        table.fractions[target] += static_cast<double>(added) * plan.scale;
      }
    } else {
      const double before = plan.number(last[i]);
      const double now = plan.number(values[i]);
      if (now < before) ++stats.resets;
      const double added = now < before ? now : now - before;
      if (added > 0 && std::isfinite(added)) table.fractions[target] += added * plan.scale;
    }
  }
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
