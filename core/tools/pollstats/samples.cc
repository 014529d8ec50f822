#include "tools/pollstats/samples.h"

#include <limits>

namespace pollstats {

void Samples::take(std::span<const mmstats::Series> series, std::chrono::steady_clock::time_point at) {
  const bool first = scans_ == 0;
  const double elapsed = std::chrono::duration<double>(at - last_).count();
  last_ = at;
  samples_.resize(series.size());
  past_.resize(series.size() * history_, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < series.size(); ++i) {
    const mmstats::Series& now = series[i];
    Sample& sample = samples_[i];
    const bool counter = now.kind == mmstats::Kind::kCounter;
    const bool known = counter || (sample.present && now.present);
    // A counter that was of whole numbers alone until now gave its sum as `value`, too.
    const double before = sample.value;
    sample.kind = now.kind;
    sample.whole = counter && now.integral;
    sample.added = now.total - sample.total;
    sample.total = now.total;
    sample.value = now.value;
    sample.change.reset();
    sample.rate.reset();
    if (known) sample.change = sample.whole ? static_cast<double>(sample.added) : now.value - before;
    if (counter && !first && elapsed > 0) sample.rate = *sample.change / elapsed;
    sample.present = now.present;
    if (history_ == 0) continue;
    const auto drawn = counter ? sample.rate : now.present ? std::optional(now.value) : std::nullopt;
    past_[i * history_ + scans_ % history_] =
        drawn ? static_cast<float>(*drawn) : std::numeric_limits<float>::quiet_NaN();
  }
  ++scans_;
}

void Samples::history(std::size_t series, std::span<float> into) const {
  const float* const past = past_.data() + series * history_;
  for (std::size_t back = 0; back < into.size(); ++back) {
    into[into.size() - 1 - back] =
        back < scans_ ? past[(scans_ - 1 - back) % history_] : std::numeric_limits<float>::quiet_NaN();
  }
}

std::int64_t Cadence::advance(std::chrono::steady_clock::time_point now) {
  next_ += interval_;
  if (now < next_) return 0;
  const auto missed = (now - next_) / interval_ + 1;
  next_ += missed * interval_;
  return missed;
}

}  // namespace pollstats
