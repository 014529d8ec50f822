#include "collect/series_parts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "collect/fold_state.h"

namespace mmstats {

SeriesParts::SeriesParts(const Fold& fold, std::span<const std::uint32_t> series,
                         std::span<const std::uint32_t> distributions)
    : fold_(fold),
      series_(series.begin(), series.end()),
      distributions_(distributions.begin(), distributions.end()) {
  for (std::uint32_t at = 0; at < series_.size(); ++at) place_.emplace(series_[at], at);
  for (std::uint32_t at = 0; at < distributions_.size(); ++at)
    distribution_place_.emplace(distributions_[at], at);
}

// The same for all files of a user that have one shape: so it is looked for once.
const SeriesParts::Wanted& SeriesParts::wanted(const BoundSeries& series) {
  const auto [known, fresh] = wanted_.try_emplace(&series);
  Wanted& all = known->second;
  if (!fresh) return all;
  for (std::uint32_t plan = 0; plan < series.indices.size(); ++plan) {
    if (const auto place = place_.find(series.indices[plan]); place != place_.end())
      all.plans.emplace_back(plan, place->second);
  }
  all.histograms.resize(series.histograms.size());
  for (std::size_t i = 0; i < series.histograms.size(); ++i) {
    for (const std::uint32_t index : {series.histograms[i].together, series.histograms[i].apart}) {
      if (const auto place = distribution_place_.find(index); place != distribution_place_.end())
        all.histograms[i].push_back(place->second);
    }
  }
  return all;
}

void SeriesParts::add(FileKey key, std::size_t holder) {
  if (holder >= holders_) {
    holders_ = holder + 1;
    cells_.resize(holders_ * series_.size());
    counted_.resize(holders_ * distributions_.size());
  }
  const auto& impl = *fold_.impl_;
  if (key >= impl.files.size() || !impl.files[key].layout) return;
  const auto& file = impl.files[key];
  const Wanted& all = wanted(*file.series);
  for (const auto& [plan, place] : all.plans) {
    const std::uint32_t index = series_[place];
    add_value(fold_, key, plan, impl.table.series[index].integral, impl.table.aggregates[index],
              cells_[holder * series_.size() + place]);
  }
  const auto counted = [&](std::uint32_t place) -> Counted& {
    return counted_[holder * distributions_.size() + place];
  };
  bool any = false;
  for (const auto& places : all.histograms) {
    for (const std::uint32_t place : places) any = counted(place).held = true;
  }
  if (!any) return;
  file.known_buckets().visit([&](std::uint32_t histogram, std::uint32_t, unsigned bits,
                                 const std::uint64_t* counts) {
    for (const std::uint32_t place : all.histograms[histogram])
      counted(place).count += std::accumulate(counts, counts + (std::size_t{1} << bits), std::uint64_t{0});
  });
}

// As Ledger::accept and Ledger::add_gauges give it to the series.
void SeriesParts::add_value(const Fold& fold, FileKey key, std::uint32_t plan_number, bool integral,
                            Aggregate aggregate, Cell& cell) {
  const auto& file = fold.impl_->files[key];
  const Layout& layout = *file.layout;
  const FieldPlan& plan = layout.plans()[plan_number];
  const std::uint64_t raw = file.ledger.last[plan_number];
  cell.held = true;
  if (file.ledger.good[plan_number] == 0) return;
  if (plan_number >= layout.counters()) {
    if (file.gives_gauges) accumulate(cell.gauge, aggregate, plan.number(raw) * plan.scale);
    return;
  }
  if (plan_number < layout.whole_counters()) {
    const std::uint64_t whole = plan.counter(raw);
    if (integral) {
      cell.total += whole;
    } else {
      cell.gauge.value += static_cast<double>(whole) * plan.scale;
    }
  } else if (const double number = plan.number(raw); std::isfinite(number)) {
    cell.gauge.value += number * plan.scale;
  } else {
    return;
  }
  cell.present = true;
}

SeriesParts::Part SeriesParts::part(std::size_t holder, std::size_t at) const {
  Part part;
  if (holder >= holders_) return part;
  const Cell& cell = cells_[holder * series_.size() + at];
  part.held = cell.held;
  if (!cell.held) return part;
  const std::uint32_t index = series_[at];
  const Series& series = fold_.impl_->table.series[index];
  if (series.kind == Kind::kCounter) {
    part.present = cell.present;
    part.integral = series.integral;
    part.total = cell.total;
    part.value = cell.gauge.value;
  } else if (cell.gauge.values > 0) {
    const Aggregate aggregate = fold_.impl_->table.aggregates[index];
    part.value = result(cell.gauge, aggregate);
    // As SeriesTable::finish() has it.
    part.present = !std::isnan(part.value) && (aggregate != Aggregate::kSum || std::isfinite(part.value));
  }
  return part;
}

bool SeriesParts::holds_distribution(std::size_t holder, std::size_t at) const {
  return holder < holders_ && counted_[holder * distributions_.size() + at].held;
}

std::uint64_t SeriesParts::count(std::size_t holder, std::size_t at) const {
  return holder < holders_ ? counted_[holder * distributions_.size() + at].count : 0;
}

void SeriesParts::add_buckets(FileKey key, std::size_t at, BucketCounts& into) {
  const auto& impl = *fold_.impl_;
  if (key >= impl.files.size() || !impl.files[key].layout) return;
  const auto& file = impl.files[key];
  const Wanted& all = wanted(*file.series);
  file.known_buckets().visit(
      [&](std::uint32_t histogram, std::uint32_t power, unsigned bits, const std::uint64_t* counts) {
        if (std::ranges::find(all.histograms[histogram], at) == all.histograms[histogram].end()) return;
        if (std::any_of(counts, counts + (std::size_t{1} << bits), [](std::uint64_t n) { return n != 0; }))
          into.add(power, bits, counts);
      });
}

std::vector<std::uint8_t> SeriesParts::who_has(const Fold& fold, std::span<const FileKey> files) {
  const auto& impl = *fold.impl_;
  std::vector<std::uint8_t> held(impl.table.series.size(), 0);
  std::set<std::pair<const BoundSeries*, bool>> seen;
  for (const FileKey key : files) {
    if (key >= impl.files.size() || !impl.files[key].layout) continue;
    const auto& file = impl.files[key];
    const bool dead = file.owner == OwnerState::kDead;
    if (!seen.emplace(file.series.get(), dead).second) continue;
    for (const std::uint32_t index : file.series->indices) {
      if (index != kNoSeries) held[index] |= dead ? kHeldByDead : kHeldByLiving;
    }
  }
  return held;
}

}  // namespace mmstats
