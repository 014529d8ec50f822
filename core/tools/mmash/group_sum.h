// What several series, or several distributions, make together.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "collect/accumulator.h"
#include "collect/bucket_counts.h"
#include "tools/mmash/family_members.h"
#include "tools/mmash/growth.h"

namespace mmash {

// Of series of one kind alone, or of distributions alone.
class GroupSum {
 public:
  explicit GroupSum(mmstats::Aggregate aggregate) : aggregate_(aggregate) {}

  // What went since it was found adds nothing.
  void add(const Folded& now, Place place, const Growth& growth);

  [[nodiscard]] std::size_t members() const { return members_; }
  // Of a histogram: how many values there were. Not a number: there is none.
  [[nodiscard]] double number() const;
  // The same as JSON, in which a whole number has all its digits.
  [[nodiscard]] std::string number_text() const;
  // By how much it grew in the time that a rate is over; none: that is not known.
  [[nodiscard]] std::optional<double> gained() const { return gained_; }
  // Of a histogram.
  [[nodiscard]] const mmstats::BucketCounts& buckets() const { return buckets_; }
  // Members of a JSON object: `"series": N, "value": V`, a rate if it has one, and what a histogram tells.
  [[nodiscard]] std::string json(std::string_view kind, double seconds) const;

 private:
  __extension__ using Exact = __int128;

  void add_histogram(std::string& json) const;

  mmstats::Aggregate aggregate_;
  std::size_t members_ = 0;
  Exact exact_ = 0;
  bool is_exact_ = true;
  mmstats::Accumulator numbers_;
  mmstats::BucketCounts buckets_;
  std::optional<double> gained_;
};

}  // namespace mmash
