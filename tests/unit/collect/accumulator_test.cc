// The values of several workers as one.
#include "collect/accumulator.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

using namespace mmstats;

TEST_CASE("values are put together as each aggregate says, and what is no number is left out") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  struct Row {
    std::vector<double> values;
    double sum, avg, min, max, nonzero_avg, nonzero_min;
  };
  for (const Row& row : {
           Row{{4}, 4, 4, 4, 4, 4, 4},
           Row{{2, 6}, 8, 4, 2, 6, 4, 2},
           Row{{6, 2}, 8, 4, 2, 6, 4, 2},
           Row{{-6, -2}, -8, -4, -6, -2, -4, -6},
           Row{{0, 2, 0, 6}, 8, 2, 0, 6, 4, 2},
           Row{{0, 0}, 0, 0, 0, 0, 0, 0},
           Row{{0, -2, 4}, 2, 2.0 / 3, -2, 4, 1, -2},
           Row{{kNan, 2, kNan, 6, kNan}, 8, 4, 2, 6, 4, 2},
       }) {
    const auto of = [&](Aggregate aggregate) {
      Accumulator all;
      for (const double value : row.values) accumulate(all, aggregate, value);
      return result(all, aggregate);
    };
    CAPTURE(row.values.size());
    CAPTURE(row.values[0]);
    CHECK(of(Aggregate::kSum) == row.sum);
    CHECK(of(Aggregate::kAvg) == row.avg);
    CHECK(of(Aggregate::kMin) == row.min);
    CHECK(of(Aggregate::kMax) == row.max);
    CHECK(of(Aggregate::kNonzeroAvg) == row.nonzero_avg);
    CHECK(of(Aggregate::kNonzeroMin) == row.nonzero_min);
  }
  Accumulator none;
  accumulate(none, Aggregate::kSum, kNan);
  CHECK(none.values == 0);
}
