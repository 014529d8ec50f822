#include "tools/shared/dimensions_text.h"

#include "mmstats/error.h"

namespace mmstats {
namespace {

void append_value(std::string_view value, std::string& into) {
  const auto shown = [&](std::string_view line) {
    for (const char c : printable(line)) {
      if (c == '\\' || c == '"') into += '\\';
      into += c;
    }
  };
  for (auto end = value.find('\n'); end != std::string_view::npos; end = value.find('\n')) {
    shown(value.substr(0, end));
    into += "\\n";
    value.remove_prefix(end + 1);
  }
  shown(value);
}

}  // namespace

std::string dimensions_text(const std::vector<Dimension>& dimensions, EmptyValues empty) {
  std::string text;
  for (const auto& [name, value] : dimensions) {
    if (value.empty() && empty == EmptyValues::kLeftOut) continue;
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    append_value(value, text);
    text += '"';
  }
  return text;
}

std::string full_name(std::string_view label, const std::vector<Dimension>& dimensions) {
  std::string text(label);
  if (dimensions.empty()) return text;
  return text += "{" + dimensions_text(dimensions, EmptyValues::kShown) + "}";
}

}  // namespace mmstats
