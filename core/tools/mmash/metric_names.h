// Which family of Prometheus' each series belongs to, and what that is called: metrics.md. Names stay what
// they were when others come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold.h"

namespace mmash {

inline constexpr std::string_view kTotal = "_total";  // a counter's sample ends with it

// A family: its name without _total, its unit as far as the name ends with it.
struct MetricName {
  std::string family;
  std::string unit;
};

// Dimensions as in braces, without them: method="GET",status="200". What is empty is left out, as Prometheus
// does.
std::string labels_text(const std::vector<mmstats::Dimension>& dimensions);

// No two families, nor what they may write, have a name in common; and no two samples have name and labels in
// common: a combination that would be written as another one is, is a family of its own, without labels.
class MetricNames {
 public:
  struct Family {
    MetricName name;
    bool labelled = false;                   // its samples have labels: the dimensions of their series
    bool histogram = false;                  // its series are the counts of histograms
    std::vector<std::uint32_t> series = {};  // more come behind them; of other families are those that moved
  };

  // A family of the server's own, which no label gets. Before any series.
  void reserve(std::string_view family, mmstats::Kind kind) { take(family, endings_of(kind)); }

  using Distributions = std::span<const std::unique_ptr<mmstats::Distribution>>;

  // Names those series and distributions that have none yet. What a histogram tells is no family of its own:
  // it gets no name.
  void extend(std::span<const mmstats::Series> series, Distributions distributions = {});

  // All families that have series, in the order of their first ones. More come behind them.
  [[nodiscard]] std::size_t size() const { return order_.size(); }
  [[nodiscard]] const Family& family(std::size_t place) const { return families_[order_[place]]; }
  // Whether the series is in it, and is not what was moved into another.
  [[nodiscard]] bool has(std::size_t place, std::uint32_t series) const {
    return series_[series] == order_[place];
  }

  [[nodiscard]] const MetricName& histogram(std::size_t distribution) const {
    return families_[histograms_[distribution]].name;
  }
  // Empty: the series has none of its own.
  [[nodiscard]] const MetricName& operator[](std::size_t series) const;

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  using Endings = std::span<const std::string_view>;  // of samples, other than none
  static Endings endings_of(mmstats::Kind kind);

  // Finds or makes one for a series or a distribution.
  template <class One>
  std::uint32_t family_of(const One& one, Endings endings, std::size_t index);
  void put(std::uint32_t series, std::uint32_t family);
  MetricName choose(std::string_view label, std::string_view unit, Endings endings, std::size_t index);
  bool take(std::string_view family, Endings endings);

  std::vector<Family> families_;
  std::vector<std::uint32_t> order_;                           // of families_
  std::vector<std::uint32_t> series_;                          // by series, its family
  std::vector<std::uint32_t> histograms_;                      // by distribution, likewise
  std::unordered_map<std::uint64_t, std::uint32_t> labelled_;  // by hash of what all series of one share
  std::unordered_set<std::uint64_t> taken_;                    // hashes of names, and of samples with labels
};

}  // namespace mmash
