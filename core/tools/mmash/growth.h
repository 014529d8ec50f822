// By how much things grew between two requests: what rates for scripts are made of.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "tools/mmash/family_members.h"

namespace mmash {

// Counters and the counts of histograms grow: by how much since an earlier request, of any client. A copy
// keeps that.
class Growth {
 public:
  static constexpr std::chrono::seconds kLeastInterval{1};

  // At each request.
  void note(const Folded& now);
  // Not a number: there was no earlier one.
  [[nodiscard]] double seconds(const Folded& now) const;
  // Of a member. What was not there counts from 0. None: there was no earlier request.
  [[nodiscard]] std::optional<double> of(const Folded& now, Place place) const;

 private:
  // By index.
  struct Counts {
    std::chrono::steady_clock::time_point time;
    std::vector<double> series;
    std::vector<double> distributions;
  };
  static Counts take(const Folded& now);

  std::shared_ptr<const Counts> last_;    // the youngest
  std::shared_ptr<const Counts> before_;  // at least kLeastInterval older
};

}  // namespace mmash
