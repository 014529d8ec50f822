// Series as OpenMetrics 1.0 text, or as the older Prometheus text format 0.0.4. How labels become names:
// metrics.md. Pure but for the names, which stay what they were.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold.h"
#include "mmstats/error.h"

namespace mmash {

enum class MetricsFormat : std::uint8_t { kPrometheus, kOpenMetrics };

// What a client wants that sends this Accept header.
MetricsFormat metrics_format(std::string_view accept);
std::string_view content_type(MetricsFormat format);

// A family: its name without _total, its unit as far as the name ends with it.
struct MetricName {
  std::string family;
  std::string unit;
};

// Names of series, in their order; no two families, nor what they may write, have a name in common.
class MetricNames {
 public:
  // A family of the server's own, which no label gets. Before any series.
  void reserve(std::string_view family, mmstats::Kind kind) { take(family, endings_of(kind)); }

  using Distributions = std::span<const std::unique_ptr<mmstats::Distribution>>;

  // Names those series and distributions that have none yet. What a histogram tells is no family of its own:
  // it gets no name.
  void extend(std::span<const mmstats::Series> series, Distributions distributions = {});
  [[nodiscard]] const MetricName& histogram(std::size_t distribution) const {
    return histograms_[distribution];
  }
  [[nodiscard]] const MetricName& operator[](std::size_t series) const { return names_[series]; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  using Endings = std::span<const std::string_view>;  // of samples, other than none
  static Endings endings_of(mmstats::Kind kind);
  MetricName choose(std::string_view label, std::string_view unit, Endings endings, std::size_t index);
  bool take(std::string_view family, Endings endings);

  std::vector<MetricName> names_;
  std::vector<MetricName> histograms_;
  std::unordered_set<std::uint64_t> taken_;  // hashes
};

// Appends one family with one sample; `help` is foreign text. Nothing for a series without a value, or a
// counter whose value none can have (NaN, negative).
void write_family(MetricsFormat format, const MetricName& name, std::string_view help,
                  const mmstats::Series& series, std::string& into);

// Where the buckets of a histogram end that are shown.
struct BucketBounds {
  // So many a power of two, all of the range in use: 1, 2, 4, 8, 16 or 32.
  unsigned per_power = 4;
  // These instead, if there are any: ascending.
  std::vector<double> listed = {};
};

// "4", "all" (32 a power of two), or bounds as "0.1,0.5,2". Error: kInvalid.
mmstats::Expected<BucketBounds> parse_bucket_bounds(std::string_view text);

// Appends a histogram; `sum`: of its values, if it is known.
void write_histogram(MetricsFormat format, const MetricName& name, const mmstats::Distribution& distribution,
                     const mmstats::Series* sum, const BucketBounds& bounds, std::string& into);

// What a series says of itself: its help, or its label.
std::string help_of(const mmstats::Series& series);

}  // namespace mmash
