#include "mmstats/metadata.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "format/bucket_field.h"
#include "format/metadata_index.h"

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

// `rest`: of a line, what is behind its label and the tab.
FieldMetadata read_line(std::string_view rest) {
  FieldMetadata found;
  found.kind = parse_kind(next_part(rest, '\t'));
  found.unit = next_part(rest, '\t');
  found.help = next_part(rest, '\t');
  return found;
}

// Whether the line `rest` is that of a histogram with buckets that are known here.
bool is_histogram(std::string_view rest) {
  if (next_part(rest, '\t') != kHistogramKind) return false;
  next_part(rest, '\t');
  next_part(rest, '\t');
  return is_bucket_scheme(next_part(rest, '\t'));
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
    if (next_part(line, '\t') == label) return read_line(line);
  }
  return {};
}

bool is_metadata_text(const Field& field) {
  return field.type.code == 's' && label_has_suffix(field.label, kMetadataLabel);
}

std::string_view metadata_text(const Field& field) {
  const std::string_view text(reinterpret_cast<const char*>(field.value.data()), field.value.size());
  return text.substr(0, text.find('\0'));
}

MetadataIndex::MetadataIndex(const ParsedFile& content) {
  if (std::none_of(content.fields.begin(), content.fields.end(), is_metadata_text)) return;
  // The labels that can be asked for come first, so that lines of no field take no memory.
  for (const Field& field : content.fields) {
    if (field.type.item_size != 0) lines_.try_emplace(field.label);
  }
  std::unordered_set<std::string_view, KeyedHash> told;
  for (const Field& field : content.fields) {
    if (!is_metadata_text(field)) continue;
    for (auto text = metadata_text(field); !text.empty();) {
      auto rest = next_part(text, '\n');
      const auto label = next_part(rest, '\t');
      if (rest.starts_with(kHistogramKind) && is_histogram(rest) && told.insert(label).second)
        histograms_.push_back({.label = label, .known = read_line(rest)});
      const auto known = lines_.find(label);
      if (known == lines_.end() || known->second.data() != nullptr) continue;
      known->second = rest;
    }
  }
}

FieldMetadata MetadataIndex::find(std::string_view label) const {
  const auto known = lines_.find(label);
  return known == lines_.end() ? FieldMetadata{} : read_line(known->second);
}

std::size_t MetadataIndex::longest_search() const {
  std::size_t longest = 0;
  for (std::size_t i = 0; i < lines_.bucket_count(); ++i) longest = std::max(longest, lines_.bucket_size(i));
  return longest;
}

}  // namespace mmstats
