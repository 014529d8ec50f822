#include "tools/shared/value_text.h"

#include <fmt/format.h>

#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

#include "mmstats/error.h"
#include "tools/shared/json_text.h"

namespace mmstats {

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string item_text(const Scalar& item) {
  return std::visit(
      [](const auto& value) -> std::string {
        using Item = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Item, std::monostate>) {
          return {};
        } else if constexpr (std::is_same_v<Item, bool>) {
          return value ? "True" : "False";
        } else if constexpr (std::is_same_v<Item, double>) {
          return float_text(value);
        } else if constexpr (std::is_same_v<Item, std::string_view>) {
          return printable(value);
        } else {
          return fmt::to_string(value);
        }
      },
      item);
}

std::string item_json(const Scalar& item) {
  return std::visit(
      [](const auto& value) -> std::string {
        using Item = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Item, std::monostate>) {
          return "null";
        } else if constexpr (std::is_same_v<Item, bool>) {
          return value ? "true" : "false";
        } else if constexpr (std::is_same_v<Item, double>) {
          if (std::isnan(value)) return "null";
          return std::isfinite(value) ? float_text(value) : json_text(float_text(value));
        } else if constexpr (std::is_same_v<Item, std::string_view>) {
          return json_text(value);
        } else {
          return fmt::to_string(value);
        }
      },
      item);
}

void write_value(const Field& field, std::string_view none, std::string (*text_of)(const Scalar&),
                 const std::function<void(std::string_view)>& write) {
  const bool several = field.type.items > 1;
  if (field.type.items == 0) write(none);
  if (several) write("[");
  bool first = true;
  for_each_item(field.type_text, field.value, [&](const Scalar& item) {
    if (!std::exchange(first, false)) write(", ");
    write(text_of(item));
  });
  if (several) write("]");
}

}  // namespace mmstats
