// Distributions -> timers with an entry for each bucket, and what becomes of the series that are made of
// them.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "mmstats/error.h"
#include "plugin_pinba/forward/request_mapper.h"

namespace mmstats::forward {

namespace {

// As names and tags are made of series.
Series series_of(const Distribution& distribution) {
  Series series;
  series.binding = distribution.binding;
  series.slot = distribution.slot;
  return series;
}

}  // namespace

// New ones. True: there are some.
bool RequestMapper::extend(AllDistributions distributions) {
  const std::size_t first = buckets_.size();
  buckets_.resize(distributions.size());
  if (sent_buckets_.size() < distributions.size()) sent_buckets_.resize(distributions.size());
  for (std::size_t i = first; i < distributions.size(); ++i) {
    const Distribution* const one = distributions[i].get();
    if (one == nullptr || !one->shown) continue;
    const MetricConfig* const metric = metric_of(mapping_, series_of(*one));
    if (metric != nullptr && metric->as == As::kRequestField) continue;
    buckets_[i].used = true;
  }
  return first < distributions.size();
}

// A series of a distribution that goes into a timer is not sent again, unless a metric of its own is for it.
void RequestMapper::absorb(std::uint32_t index, const Series& series, AllDistributions distributions) {
  Source& source = sources_[index];
  if (series.distribution < 0 || source.use == Use::kField) return;
  const auto number = static_cast<std::size_t>(series.distribution);
  BucketSource& bucket = buckets_[number];
  if (!bucket.used) return;
  const std::int32_t rule = distributions[number]->rule();
  const bool is_sum = distributions[number]->sum == static_cast<std::int32_t>(index);
  const bool is_count = !is_sum && series.kind == Kind::kCounter;
  // Metrics that were written for count and sum alone name the timer.
  const bool is_for_both = (is_count || is_sum) && rule == kNoRule;
  if (series.rule() != rule && series.rule() != kNoRule && !is_for_both) return;
  if (is_count) bucket.count = index;
  if (is_sum) bucket.sum = index;
  source.use = Use::kNothing;
}

void RequestMapper::find_target(BucketSource& bucket, const Distribution& distribution, AllSeries all) {
  Series named = series_of(distribution);
  if (named.rule() == kNoRule && bucket.count != kNone && all[bucket.count].rule() != kNoRule)
    named = all[bucket.count];
  const std::string_view metric = distribution.family().empty() ? distribution.name() : distribution.family();
  bucket.target = find_timer(find_request(named), timer_tags(mapping_, named, metric));
}

void RequestMapper::gather(std::uint32_t index, AllDistributions distributions, AllSeries all) {
  BucketSource& bucket = buckets_[index];
  SentBuckets& sent = sent_buckets_[index];
  if (!distributions[index]) return;
  const Distribution& distribution = *distributions[index];
  if (!bucket.used) return sent.take(distribution.total);
  if (bucket.target == kNone) find_target(bucket, distribution, all);
  auto& entries = timers_[bucket.target].entries;
  const std::size_t first = entries.size();
  const std::uint64_t counted =
      distribution.total.count() - std::exchange(sent.counted, distribution.total.count());
  if (take_entries(distribution.total, sent.buckets, entries) && !std::exchange(bucket.told, true)) {
    complain(fmt::format(
        "label \"{}\": its values are in more than {} buckets; the rarest ones share an entry, with "
        "their mean",
        printable(distribution.name()), kMostBucketEntries));
  }
  for (std::size_t i = first; i < entries.size(); ++i) entries[i].value *= distribution.scale;
  gather_uncounted(bucket, counted, all);
  std::erase_if(entries, [&](const TimerEntry& entry) {
    if (entry.value >= 0 && entry.value <= std::numeric_limits<float>::max()) return false;
    if (!std::exchange(bucket.complained, true)) {
      complain(
          fmt::format("label \"{}\": {} cannot be sent, as Pinba takes numbers from 0 to 3.4e38; such values "
                      "are left out",
                      printable(distribution.name()), entry.value));
    }
    return true;
  });
}

// What workers counted that publish no buckets: it has the mean of all.
void RequestMapper::gather_uncounted(const BucketSource& bucket, std::uint64_t counted, AllSeries all) {
  double seconds = 0;
  if (bucket.sum != kNone) {
    seconds = all[bucket.sum].value - std::exchange(sent_[bucket.sum].value, all[bucket.sum].value);
    sent_[bucket.sum].total = all[bucket.sum].total;
  }
  if (bucket.count == kNone) return;
  const Series& count = all[bucket.count];
  const std::uint64_t added = count.total - std::exchange(sent_[bucket.count].total, count.total);
  sent_[bucket.count].value = count.value;
  if (!count.integral || added <= counted) return;
  const std::uint64_t hits = std::min(added - counted, kMostOfEntry);
  const double mean = seconds / static_cast<double>(added);
  timers_[bucket.target].entries.push_back({.hits = hits, .value = mean * static_cast<double>(hits)});
}

}  // namespace mmstats::forward
