// Series as OpenMetrics 1.0 text, or as the older Prometheus text format 0.0.4: metrics.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold.h"
#include "mmstats/error.h"
#include "tools/mmash/metric_names.h"

namespace mmash {

enum class MetricsFormat : std::uint8_t { kPrometheus, kOpenMetrics };

// What a client wants that sends this Accept header.
MetricsFormat metrics_format(std::string_view accept);
std::string_view content_type(MetricsFormat format);

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

// Writes all families, piece by piece. All samples of a family stand together.
class MetricsText {
 public:
  // All these outlive it. Families that come later are left out.
  MetricsText(MetricsFormat format, const MetricNames& names, const BucketBounds& bounds)
      : format_(format), names_(names), bounds_(bounds), end_(names.size()) {}

  // Appends about `size` bytes of what the names have been extended to. False: that was the last of it.
  bool write(std::span<const mmstats::Series> series, MetricNames::Distributions distributions,
             std::size_t size, std::string& into);

 private:
  using Distributions = MetricNames::Distributions;
  static const mmstats::Distribution* counted(std::uint32_t index, std::span<const mmstats::Series> series,
                                              Distributions distributions);
  void begin(const MetricNames::Family& family, std::span<const mmstats::Series> series,
             Distributions distributions);
  void write_sample(const MetricNames::Family& family, const mmstats::Series& series, std::string& into);
  void write_histogram(const MetricNames::Family& family, std::uint32_t index,
                       std::span<const mmstats::Series> series, Distributions distributions,
                       std::string& into);

  // Powers of two.
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t end = 0;
  };

  MetricsFormat format_;
  const MetricNames& names_;
  const BucketBounds& bounds_;
  std::size_t end_;
  std::size_t place_ = 0;  // the family that is written
  std::size_t at_ = 0;     // of its series, the next one
  bool headed_ = false;    // it has its head
  Range range_;            // of its buckets
};

}  // namespace mmash
