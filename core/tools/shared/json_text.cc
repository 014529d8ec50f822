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

bool is_plain(char c) { return c >= ' ' && c <= '~'; }

// Of printing ASCII two are escaped.
void append_plain(std::string& out, std::string_view plain) {
  for (;;) {
    // find_first_of() takes a call for each character.
    const auto* at = std::ranges::find_if(plain, [](char c) { return c == '"' || c == '\\'; });
    out.append(plain.begin(), at);
    if (at == plain.end()) return;
    out += '\\';
    out += *at;
    plain.remove_prefix(static_cast<std::size_t>(at - plain.begin()) + 1);
  }
}

std::string leaf(const Json& value, JsonTexts texts) {
  std::string text = value.dump(-1, ' ', texts == JsonTexts::kAscii, Json::error_handler_t::replace);
  // First bytes of all such characters: mostly there is none.
  return text.find_first_of("\x7F\xC2\xD8\xE2") == std::string::npos ? text : without_steering(text);
}

}  // namespace

// Plain text, and what is in most of sys.metadata, is appended at once. The rest takes a call for each piece,
// which is dear: after a few of them, all that is left is one.
void append_json(std::string& out, std::string_view text, JsonTexts texts) {
  constexpr int kMostPieces = 8;
  out += '"';
  for (int pieces = 0; !text.empty();) {
    const std::size_t plain = plain_prefix(text);
    append_plain(out, text.substr(0, plain));
    text.remove_prefix(plain);
    const auto* end = std::ranges::find_if(text, is_plain);
    auto rest = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    if (rest == "\n") {
      out += "\\n";
    } else if (rest == "\t") {
      out += "\\t";
    } else if (!rest.empty()) {
      if (++pieces == kMostPieces) rest = text;
      const std::string quoted = leaf(rest, texts);
      out.append(quoted, 1, quoted.size() - 2);
    }
    text.remove_prefix(rest.size());
  }
  out += '"';
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
