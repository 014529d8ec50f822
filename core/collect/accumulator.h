// How the values of several workers become one value of a series.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "collect/rules.h"

namespace mmstats {

// Puts what workers say about one series together.
struct Accumulator {
  double value = 0;
  std::uint32_t values = 0;
  std::uint32_t nonzero = 0;
};

inline void accumulate(Accumulator& into, Aggregate aggregate, double value) {
  if (std::isnan(value)) return;
  const bool first = into.values++ == 0;
  switch (aggregate) {
    case Aggregate::kMin:
      into.value = first ? value : std::min(into.value, value);
      break;
    case Aggregate::kMax:
      into.value = first ? value : std::max(into.value, value);
      break;
    case Aggregate::kNonzeroMin:
      if (value != 0) into.value = into.nonzero++ == 0 ? value : std::min(into.value, value);
      break;
    case Aggregate::kNonzeroAvg:
      if (value != 0) {
        into.value += value;
        ++into.nonzero;
      }
      break;
    default:
      into.value += value;
      break;
  }
}

inline double result(const Accumulator& from, Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::kAvg:
      return from.value / from.values;
    case Aggregate::kNonzeroAvg:
      return from.nonzero == 0 ? 0 : from.value / from.nonzero;
    default:
      return from.value;
  }
}

}  // namespace mmstats
