#include "tools/mmash/csv_text.h"

#include <algorithm>
#include <array>

#include "mmstats/error.h"

namespace mmash {
namespace {

// What begins a formula, or ours; the wide forms are what Asian keyboards write.
constexpr std::array<std::string_view, 9> kSigns{"=", "+", "-", "@", "'", "＝", "＋", "－", "＠"};

bool needs_sign(std::string_view part) {
  if (part.starts_with('\'')) return true;
  part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
  return std::ranges::any_of(kSigns, [&](std::string_view sign) { return part.starts_with(sign); });
}

}  // namespace

void add_csv_field(std::string& into, std::string_view foreign) {
  const std::string text = mmstats::printable(foreign);
  std::string field;
  for (std::size_t at = 0; at < text.size();) {
    const auto part =
        std::string_view(text).substr(at, std::min(text.find(';', at), text.size() - 1) + 1 - at);
    if (needs_sign(part)) field += '\'';
    field += part;
    at += part.size();
  }
  if (field.find_first_of("\",;") == std::string::npos && !field.starts_with(' ') && !field.ends_with(' ')) {
    into += field;
    return;
  }
  into += '"';
  for (const char c : field) {
    if (c == '"') into += '"';
    into += c;
  }
  into += '"';
}

}  // namespace mmash
