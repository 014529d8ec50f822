#include "mmstats/metadata.h"

#include <array>
#include <string_view>
#include <utility>

namespace mmstats {
namespace {

constexpr std::array<std::pair<std::string_view, Kind>, 5> kKinds{{
    {"counter", Kind::kCounter},
    {"gauge", Kind::kGauge},
    {"timestamp", Kind::kTimestamp},
    {"state", Kind::kState},
    {"property", Kind::kProperty},
}};

// Takes the part before the next `separator` off the front of `text`.
std::string_view next_part(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  const auto part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

}  // namespace

std::string_view to_string(Kind kind) {
  for (const auto& [word, value] : kKinds) {
    if (value == kind) return word;
  }
  return "";
}

std::optional<Kind> parse_kind(std::string_view word) {
  for (const auto& [name, kind] : kKinds) {
    if (name == word) return kind;
  }
  return std::nullopt;
}

FieldMetadata find_metadata(std::string_view metadata, std::string_view label) {
  metadata = metadata.substr(0, metadata.find('\0'));
  // A label that holds one of the separators cannot have a line of its own.
  if (label.find_first_of("\t\n") != std::string_view::npos) return {};
  while (!metadata.empty()) {
    auto line = next_part(metadata, '\n');
    if (next_part(line, '\t') != label) continue;
    FieldMetadata found;
    found.kind = parse_kind(next_part(line, '\t'));
    found.unit = next_part(line, '\t');
    found.help = next_part(line, '\t');
    return found;
  }
  return {};
}

}  // namespace mmstats
