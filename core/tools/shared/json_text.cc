#include "tools/shared/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "base/utf8.h"
#include "tools/shared/value_text.h"

namespace mmstats {
namespace {

// Escapes what would command a terminal and need not be escaped in JSON.
std::string without_steering(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const auto character = json.substr(0, std::max<std::size_t>(utf8_sequence(json), 1));
    if (!steers_display(character)) {
      out += character;
    } else {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
      const unsigned code = character.size() == 1 ? byte(0)
                            : character.size() == 2
                                ? (byte(0) & 0x1FU) << 6U | (byte(1) & 0x3FU)
                                : (byte(0) & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
      out += fmt::format("\\u{:04x}", code);
    }
    json.remove_prefix(character.size());
  }
  return out;
}

std::string leaf(const Json& value, JsonTexts texts) {
  std::string text = value.dump(-1, ' ', texts == JsonTexts::kAscii, Json::error_handler_t::replace);
  // First bytes of all such characters: mostly there is none.
  return text.find_first_of("\x7F\xC2\xD8\xE2") == std::string::npos ? text : without_steering(text);
}

}  // namespace

void append_json(std::string& out, std::string_view text, JsonTexts texts) {
  if (plain_prefix(text) == text.size() && text.find('"') == std::string_view::npos &&
      text.find('\\') == std::string_view::npos) {
    out += '"';
    out += text;
    out += '"';
  } else {
    out += leaf(text, texts);
  }
}

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
