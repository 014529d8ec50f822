#include "tools/shared/json_text.h"

#include <cmath>

#include "tools/shared/value_text.h"

namespace mmstats {
namespace {

std::string leaf(const Json& value, JsonTexts texts) {
  return value.dump(-1, ' ', texts == JsonTexts::kAscii, Json::error_handler_t::replace);
}

}  // namespace

std::string json_text(const Json& value, JsonTexts texts) {
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    return std::isfinite(number) ? float_text(number) : "null";
  }
  if (!value.is_structured()) return leaf(value, texts);
  std::string text;
  for (const auto& [key, item] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += leaf(key, texts) + ": ";
    text += json_text(item, texts);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

}  // namespace mmstats
