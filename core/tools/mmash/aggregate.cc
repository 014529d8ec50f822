#include "tools/mmash/aggregate.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

#include "format/scalar_number.h"
#include "tools/shared/json_text.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::Field;
using mmstats::Scalar;

constexpr std::array<std::pair<std::string_view, Aggregation>, 7> kWords{{
    {"avg", Aggregation::kAvg},
    {"one", Aggregation::kOne},
    {"max", Aggregation::kMax},
    {"min", Aggregation::kMin},
    {"sum", Aggregation::kSum},
    {"nonzero-min", Aggregation::kNonzeroMin},
    {"nonzero-avg", Aggregation::kNonzeroAvg},
}};

__extension__ using Whole = __int128;  // holds what both int64_t and uint64_t do

// Of a number or a bool.
template <class Number>
Number as(const Scalar& item) {
  return std::visit(
      [](const auto& value) -> Number {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
          return static_cast<Number>(value);
        } else {
          return 0;
        }
      },
      item);
}

bool is_fraction(const Scalar& item) { return std::holds_alternative<double>(item); }

bool less(const Scalar& a, const Scalar& b) {
  return is_fraction(a) || is_fraction(b) ? as<long double>(a) < as<long double>(b)
                                          : as<Whole>(a) < as<Whole>(b);
}

void append_item_json(std::string& json, const Scalar& item) {
  if (const auto* text = std::get_if<std::string_view>(&item)) {
    mmstats::append_json(json, *text, mmstats::JsonTexts::kAscii);
  } else {
    mmstats::append_item_json(json, item);
  }
}

std::string item_json(const Scalar& item) {
  std::string json;
  append_item_json(json, item);
  return json;
}

}  // namespace

std::optional<Aggregation> parse_aggregation(std::string_view word) {
  for (const auto& [known, aggregation] : kWords) {
    if (word == known) return aggregation;
  }
  return std::nullopt;
}

void append_value_json(std::string& json, const Field& field) {
  mmstats::append_value(json, field, "null", append_item_json);
}

bool Aggregate::applies(Aggregation aggregation, const Field& field) {
  return aggregation == Aggregation::kOne || field.type.is_scalar_number();
}

void Aggregate::add(Aggregation aggregation, const Field& field) {
  if (aggregation == Aggregation::kOne) {
    if (values_++ == 0) append_value_json(first_, field);
    return;
  }
  // All the others apply to one number.
  const Scalar item = mmstats::scalar_number(field.type, field.value);
  if (is_fraction(item) && std::isnan(std::get<double>(item))) return;
  any_ = true;
  const bool nonzero = aggregation == Aggregation::kNonzeroMin || aggregation == Aggregation::kNonzeroAvg;
  if (nonzero && as<double>(item) == 0) return;
  const bool least = aggregation == Aggregation::kMin || aggregation == Aggregation::kNonzeroMin;
  if (values_++ == 0 || (least ? less(item, best_) : less(best_, item))) best_ = item;
  if (is_fraction(item)) {
    fractional_ = true;
    fractions_ += std::get<double>(item);
  } else {
    whole_ += as<Whole>(item);
  }
}

std::string Aggregate::json(Aggregation aggregation) const {
  if (!any_) return aggregation == Aggregation::kOne ? first_ : "null";
  const double sum = static_cast<double>(whole_) + fractions_;
  switch (aggregation) {
    case Aggregation::kOne:
      return first_;
    case Aggregation::kAvg:
    case Aggregation::kNonzeroAvg:
      return item_json(values_ == 0 ? 0.0 : sum / static_cast<double>(values_));
    case Aggregation::kSum:
      return fractional_ ? item_json(sum) : fmt::to_string(whole_);
    default:
      return item_json(best_);
  }
}

}  // namespace mmash
