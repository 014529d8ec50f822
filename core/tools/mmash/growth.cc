#include "tools/mmash/growth.h"

#include <cmath>
#include <utility>

namespace mmash {
namespace {

using mmstats::Distribution;
using mmstats::Kind;
using mmstats::Series;

// Of a counter; of a distribution, how many values it has.
double counted(const Series& series) {
  if (series.kind != Kind::kCounter) return 0;
  return series.integral ? static_cast<double>(series.total) : series.value;
}
double counted(const std::unique_ptr<Distribution>& distribution) {
  return distribution ? static_cast<double>(distribution->total.count()) : 0;
}

}  // namespace

Growth::Counts Growth::take(const Folded& now) {
  Counts taken{.time = now.time, .series = {}, .distributions = {}};
  taken.series.reserve(now.series.size());
  for (const auto& one : now.series) taken.series.push_back(counted(one));
  taken.distributions.reserve(now.distributions.size());
  for (const auto& one : now.distributions) taken.distributions.push_back(counted(one));
  return taken;
}

void Growth::note(const Folded& now) {
  if (last_ && now.time - last_->time >= kLeastInterval) before_ = std::exchange(last_, nullptr);
  if (!last_) last_ = std::make_shared<const Counts>(take(now));
}

double Growth::seconds(const Folded& now) const {
  return before_ ? std::chrono::duration<double>(now.time - before_->time).count() : std::nan("");
}

std::optional<double> Growth::of(const Folded& now, Place place) const {
  if (!before_) return std::nullopt;
  const auto since = [&](const auto& one, const std::vector<double>& before) {
    return counted(one) - (place.index < before.size() ? before[place.index] : 0);
  };
  return place.is_distribution != 0 ? since(now.distributions[place.index], before_->distributions)
                                    : since(now.series[place.index], before_->series);
}

}  // namespace mmash
