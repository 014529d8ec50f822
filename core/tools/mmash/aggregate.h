// Several files' values of one label made one, as the original's functions of these names do, in Python; but
// NaN is no value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mmstats/format.h"
#include "mmstats/parse.h"

namespace mmash {

enum class Aggregation : std::uint8_t {
  kAvg,  // a fraction
  kOne,  // the first, whatever it is
  kMax,
  kMin,
  kSum,         // of whole numbers exact, and of any size
  kNonzeroMin,  // of those that are not 0; 0 if all are
  kNonzeroAvg,  // likewise
};

std::optional<Aggregation> parse_aggregation(std::string_view word);

// Appends a value as JSON, as the original writes it; several items as a list.
void append_value_json(std::string& json, const mmstats::Field& field);

class Aggregate {
 public:
  // Whether it can be made of such values: all but kOne need a number or a bool.
  static bool applies(Aggregation aggregation, const mmstats::Field& field);

  // Precondition: applies().
  void add(Aggregation aggregation, const mmstats::Field& field);

  // Precondition: there was an add(). "null": there was no value.
  [[nodiscard]] std::string json(Aggregation aggregation) const;

 private:
  __extension__ using Whole = __int128;  // room for 2^63 values

  std::string first_;
  mmstats::Scalar best_ = std::int64_t{0};  // the least or the greatest
  std::size_t values_ = 0;                  // that count
  bool any_ = false;                        // also of those that do not
  Whole whole_ = 0;
  double fractions_ = 0;
  bool fractional_ = false;
};

}  // namespace mmash
