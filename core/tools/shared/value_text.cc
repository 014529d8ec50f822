#include "tools/shared/value_text.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "format/scalar_number.h"
#include "mmstats/error.h"
#include "tools/shared/json_text.h"

namespace mmstats {
namespace {

constexpr std::size_t kLongestFloat = 32;  // -2.2250738585072014e-308 has 24 characters

template <class Number>
void append_whole(std::string& out, Number value) {
  const fmt::format_int digits(value);
  out.append(digits.data(), digits.size());
}

void append_float(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  // What is counted is mostly whole: its digits are those of the whole number. Beyond, there is an exponent.
  constexpr double kFewDigits = 1e15;
  if (std::trunc(value) == value && std::abs(value) < kFewDigits && (value != 0 || !std::signbit(value))) {
    append_whole(out, static_cast<std::int64_t>(value));
    out += ".0";
    return;
  }
  std::array<char, kLongestFloat> text{};
  const char* const end = fmt::format_to(text.data(), FMT_COMPILE("{}"), value);
  const std::string_view written(text.data(), static_cast<std::size_t>(end - text.data()));
  out += written;
  if (written.find_first_not_of("-0123456789") == std::string_view::npos) out += ".0";
}

}  // namespace

std::string float_text(double value) {
  std::string text;
  append_float(text, value);
  return text;
}

void append_item_text(std::string& out, const Scalar& item) {
  std::visit(
      [&](const auto& value) {
        using Item = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Item, bool>) {
          out += value ? "True" : "False";
        } else if constexpr (std::is_same_v<Item, double>) {
          append_float(out, value);
        } else if constexpr (std::is_same_v<Item, std::string_view>) {
          out += printable(value);
        } else if constexpr (!std::is_same_v<Item, std::monostate>) {
          append_whole(out, value);
        }
      },
      item);
}

void append_item_json(std::string& out, const Scalar& item) {
  std::visit(
      [&](const auto& value) {
        using Item = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Item, std::monostate>) {
          out += "null";
        } else if constexpr (std::is_same_v<Item, bool>) {
          out += value ? "true" : "false";
        } else if constexpr (std::is_same_v<Item, double>) {
          if (std::isnan(value)) {
            out += "null";
          } else if (std::isfinite(value)) {
            append_float(out, value);
          } else {
            append_json(out, float_text(value));
          }
        } else if constexpr (std::is_same_v<Item, std::string_view>) {
          append_json(out, value);
        } else {
          append_whole(out, value);
        }
      },
      item);
}

std::string item_text(const Scalar& item) {
  std::string text;
  append_item_text(text, item);
  return text;
}

std::string item_json(const Scalar& item) {
  std::string text;
  append_item_json(text, item);
  return text;
}

void append_value(std::string& out, const Field& field, std::string_view none,
                  void (*append_item)(std::string&, const Scalar&), const std::function<void()>& after_item) {
  // Nearly every value is one number.
  if (field.type.is_scalar_number()) return append_item(out, scalar_number(field.type, field.value));
  const bool several = field.type.items > 1;
  if (field.type.items == 0) out += none;
  if (several) out += '[';
  bool first = true;
  for_each_item(field.type_text, field.value, [&](const Scalar& item) {
    if (!std::exchange(first, false)) out += ", ";
    append_item(out, item);
    if (several && after_item) after_item();
  });
  if (several) out += ']';
}

}  // namespace mmstats
