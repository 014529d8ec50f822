#include "format/bucket_field.h"

#include <bit>
#include <charconv>

#include "base/buckets.h"

namespace mmstats {
namespace {

constexpr std::string_view kInfix = ".buckets.";
constexpr std::string_view kScheme = "log-linear";

}  // namespace

std::optional<BucketField> bucket_field(const Field& field) {
  const ValueType& type = field.type;
  if (field.buffered || type.code != 'Q' || type.swapped || type.first_item != 0 ||
      !std::has_single_bit(type.items) || type.items > buckets::kMostParts || type.size != 8 * type.items) {
    return std::nullopt;
  }
  const auto infix = field.label.rfind(kInfix);
  if (infix == std::string_view::npos || infix == 0) return std::nullopt;
  const auto digits = field.label.substr(infix + kInfix.size());
  int power = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), power);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  if (power < buckets::kLowestExponent || power >= buckets::kHighestExponent) return std::nullopt;
  return BucketField{.stem = field.label.substr(0, infix),
                     .power = power,
                     .bits = static_cast<unsigned>(std::countr_zero(type.items))};
}

std::string bucket_label(std::string_view stem, int power) {
  return std::string(stem) + std::string(kInfix) + std::to_string(power);
}

std::string_view histogram_stem(std::string_view label) {
  const auto dot = label.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  const auto name = label.substr(dot + 1);
  const bool percentile =
      name.size() > 1 && name[0] == 'p' && name.find_first_not_of("0123456789", 1) == std::string_view::npos;
  return percentile || name == "count" || name == "min" || name == "max" ? label.substr(0, dot)
                                                                         : std::string_view{};
}

std::string bucket_scheme(unsigned bits) {
  return std::string(kScheme) + ' ' + std::to_string(1U << bits) + ' ' +
         std::to_string(buckets::kLowestExponent) + ' ' + std::to_string(buckets::kHighestExponent);
}

bool is_bucket_scheme(std::string_view scheme) {
  return scheme == kScheme || (scheme.starts_with(kScheme) && scheme[kScheme.size()] == ' ');
}

}  // namespace mmstats
