#include "tools/mmash/group_sum.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/buckets.h"
#include "mmstats/metadata.h"
#include "tools/mmash/value_json.h"

namespace mmash {

void GroupSum::add(const Folded& now, Place place, const Growth& growth) {
  const Member member(now, place);
  if (!member.is_there()) return;
  ++members_;
  if (const auto gained = growth.of(now, place)) gained_ = gained_.value_or(0) + *gained;
  if (member.distribution != nullptr) {
    exact_ += member.distribution->total.count();
    for (const auto& power : member.distribution->total.powers()) {
      buckets_.add(power.number, mmstats::buckets::kMostBits, power.parts.data());
    }
  } else if (member.series->integral) {
    exact_ += member.series->total;
  } else {
    is_exact_ = false;
    mmstats::accumulate(numbers_, aggregate_, member.series->value);
  }
}

double GroupSum::number() const {
  if (is_exact_ && members_ > 0) return static_cast<double>(exact_);
  if (numbers_.values == 0 && exact_ == 0) return std::numeric_limits<double>::quiet_NaN();
  return mmstats::result(numbers_, aggregate_) + static_cast<double>(exact_);
}

std::string GroupSum::number_text() const {
  return is_exact_ && members_ > 0 ? fmt::format("{}", exact_) : number_json(number());
}

std::string GroupSum::json(std::string_view kind, double seconds) const {
  const bool histogram = kind == kHistogramWord;
  std::string json = fmt::format(R"("series": {}, "value": {})", members_, number_text());
  if (histogram || kind == mmstats::to_string(mmstats::Kind::kCounter)) {
    json += fmt::format(R"(, "rate": {})", gained_ ? number_json(*gained_ / seconds) : "null");
  }
  if (histogram) add_histogram(json);
  return json;
}

void GroupSum::add_histogram(std::string& json) const {
  const bool any = buckets_.count() > 0;
  json += fmt::format(R"(, "mean": {})", any ? number_json(buckets_.mean()) : "null");
  for (const auto& [name, percent] : {std::pair("p50", 50.0), {"p90", 90.0}, {"p99", 99.0}, {"p999", 99.9}}) {
    json += fmt::format(R"(, "{}": {})", name, any ? number_json(buckets_.percentile(percent)) : "null");
  }
  json += R"(, "buckets": )";
  add_buckets(json, buckets_);
}

}  // namespace mmash
