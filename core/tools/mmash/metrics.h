// Series as OpenMetrics 1.0 text, or as the older Prometheus text format 0.0.4. How labels become names:
// metrics.md. Pure but for the names, which stay what they were.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "collect/fold.h"

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
  void reserve(std::string_view family, mmstats::Kind kind) { take(family, kind); }

  // Names those series that have none yet.
  void extend(std::span<const mmstats::Series> series);
  [[nodiscard]] const MetricName& operator[](std::size_t series) const { return names_[series]; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  MetricName choose(const mmstats::Series& series, std::size_t index);
  bool take(std::string_view family, mmstats::Kind kind);

  std::vector<MetricName> names_;
  std::unordered_set<std::uint64_t> taken_;  // hashes
};

// Appends one family with one sample; `help` is foreign text. Nothing for a series without a value, or a
// counter whose value none can have (NaN, negative).
void write_family(MetricsFormat format, const MetricName& name, std::string_view help,
                  const mmstats::Series& series, std::string& into);

// What a series says of itself: its help, or its label.
std::string help_of(const mmstats::Series& series);

}  // namespace mmash
