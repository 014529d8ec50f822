// The series of a file, or of all files of one user with the same shape: bound for as long as it is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collect/distributions.h"
#include "collect/layout.h"
#include "collect/series_table.h"

namespace mmstats {

struct BoundSeries {
  // Of one histogram: those of its parts, and where its buckets count: over all workers, and apart.
  struct Histogram {
    std::vector<std::uint32_t> parts;
    std::uint32_t together = DistributionTable::kNone;
    std::uint32_t apart = DistributionTable::kNone;
  };

  SeriesTable& table;
  DistributionTable& distributions;
  uid_t owner;
  std::vector<std::uint32_t> indices{};  // by plan; kNoSeries: it was refused
  std::vector<Histogram> histograms{};   // by their number in the layout
  std::size_t refused = 0;               // of indices

  BoundSeries(SeriesTable& table_, DistributionTable& distributions_, uid_t owner_)
      : table(table_), distributions(distributions_), owner(owner_) {}
  BoundSeries(const BoundSeries&) = delete;
  BoundSeries& operator=(const BoundSeries&) = delete;
  ~BoundSeries() {
    const auto unbind = [&](std::uint32_t index) {
      if (index != kNoSeries) table.unbind(index);
    };
    for (const std::uint32_t index : indices) unbind(index);
    for (const Histogram& histogram : histograms) {
      for (const std::uint32_t index : histogram.parts) unbind(index);
      for (const std::uint32_t index : {histogram.together, histogram.apart}) {
        if (index != DistributionTable::kNone) distributions.unbind(index);
      }
    }
  }

  // Bytes that it takes for files of this shape.
  static std::size_t memory(const Layout& layout) {
    std::size_t bytes = layout.plans().size() * sizeof(std::uint32_t);
    for (const HistogramBinding& histogram : layout.histograms())
      bytes += sizeof(Histogram) + histogram.parts.size() * sizeof(std::uint32_t) + 16;
    return bytes;
  }
};

}  // namespace mmstats
