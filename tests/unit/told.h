// A field's value as JSON has it, to be compared with what other readers say.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <variant>

#include "mmstats/format.h"
#include "mmstats/parse.h"

// No number is infinite or NaN in JSON.
inline nlohmann::json told(const mmstats::Scalar& item) {
  return std::visit(
      [](const auto& value) -> nlohmann::json {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<Value, double>) {
          if (std::isnan(value)) return "nan";
          if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
          return value;
        } else {
          return value;
        }
      },
      item);
}

// The published value; a list, if it has several items.
inline nlohmann::json told(const mmstats::Field& field) {
  const auto items = mmstats::decode(field.type_text, field.value);
  REQUIRE(!items.empty());
  if (items.size() == 1) return told(items[0]);
  auto list = nlohmann::json::array();
  for (const auto& item : items) list.push_back(told(item));
  return list;
}
