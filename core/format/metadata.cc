#include "mmstats/metadata.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "format/bucket_field.h"
#include "format/dimensions.h"
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

constexpr std::string_view kCount = ".count";
constexpr std::string_view kSum = ".sum";

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

// What a line says of the labels of a family's fields.
struct FamilyLine {
  // So many parts at the end of a field's label are none of the family's: values, and of a histogram what the
  // field holds of it. 0: the line is that of no family.
  std::size_t cut = 0;
  bool histogram = false;
};

FamilyLine family_line(std::string_view rest) {
  const auto kind = next_part(rest, '\t');
  const bool histogram = kind == kHistogramKind;
  // What fields a family of an unknown kind would have is not known.
  if (!histogram && !parse_kind(kind)) return {};
  next_part(rest, '\t');
  next_part(rest, '\t');
  const auto scheme = next_part(rest, '\t');
  if (rest.empty() || (histogram && !is_bucket_scheme(scheme))) return {};
  const std::size_t values = dimension_names(next_part(rest, '\t')).size();
  return {.cut = values == 0 ? 0 : values + (histogram ? 1 : 0), .histogram = histogram};
}

// Whether a field with such a label may hold a number of a histogram, beside its buckets.
bool is_histogram_part(std::string_view label) {
  return label.ends_with(kSum) || !histogram_stem(label).empty();
}

// `rest`: of the line of `family`. `label`: that of one of its fields, or of a histogram of it.
FieldMetadata read_family(std::string_view family, std::string_view rest, std::string_view label) {
  FieldMetadata found = read_line(rest);
  for (int part = 0; part < 4; ++part) next_part(rest, '\t');
  found.family = family;
  found.dimensions = next_part(rest, '\t');
  found.values = label.substr(family.size() + 1);
  return found;
}

FieldMetadata read_histogram_part(std::string_view family, std::string_view rest, std::string_view label) {
  const auto stem = label.substr(0, label.rfind('.'));
  FieldMetadata found = read_family(family, rest, stem);
  found.kind = label.ends_with(kSum) || label.ends_with(kCount) ? Kind::kCounter : Kind::kGauge;
  if (label.ends_with(kCount)) found.unit = {};
  return found;
}

// Whether the labels of any fields begin with that of a family.
class FieldLabels {
 public:
  // Not `wanted`: nobody needs to know.
  FieldLabels(const ParsedFile& content, bool wanted) : wanted_(wanted) {
    if (!wanted) return;
    labels_.reserve(content.fields.size());
    for (const Field& field : content.fields) labels_.push_back(field.label);
    std::sort(labels_.begin(), labels_.end());
  }

  [[nodiscard]] bool may_be_below(std::string_view family) const {
    if (!wanted_) return true;
    const auto is_before = [&](std::string_view label) {
      const int order = label.substr(0, family.size()).compare(family);
      if (order != 0) return order < 0;
      return label.size() == family.size() || static_cast<unsigned char>(label[family.size()]) < '.';
    };
    const auto first = std::partition_point(labels_.begin(), labels_.end(), is_before);
    return first != labels_.end() && first->size() > family.size() && first->starts_with(family) &&
           (*first)[family.size()] == '.';
  }

 private:
  std::vector<std::string_view> labels_;  // sorted
  bool wanted_;
};

template <class Visit>
void each_line(const ParsedFile& content, const Visit& visit) {
  for (const Field& field : content.fields) {
    if (!is_metadata_text(field)) continue;
    for (auto text = metadata_text(field); !text.empty();) {
      auto rest = next_part(text, '\n');
      const auto label = next_part(rest, '\t');
      visit(label, rest);
    }
  }
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
  // By how many parts are cut off, from none: what is left of the label, and the first line that it has.
  struct Candidate {
    std::string_view label;
    std::string_view line{};
  };
  std::vector<Candidate> candidates;
  for (std::size_t cut = 0; cut <= kMaxDimensions + 1; ++cut) {
    const auto left = without_last_parts(label, cut);
    if (cut > 0 && left.empty()) break;
    candidates.push_back({.label = left});
  }
  while (!metadata.empty()) {
    auto line = next_part(metadata, '\n');
    const auto of = next_part(line, '\t');
    if (of == label) return read_line(line);
    if (of.size() < candidates.back().label.size() || !label.starts_with(of)) continue;
    for (Candidate& candidate : candidates) {
      if (candidate.label.size() == of.size() && candidate.line.data() == nullptr) candidate.line = line;
    }
  }
  for (std::size_t cut = 1; cut < candidates.size(); ++cut) {
    const auto& [family, line] = candidates[cut];
    if (line.data() == nullptr) continue;
    const FamilyLine known = family_line(line);
    if (known.cut != cut || (known.histogram && !is_histogram_part(label))) continue;
    return known.histogram ? read_histogram_part(family, line, label) : read_family(family, line, label);
  }
  return {};
}

bool is_metadata_text(const Field& field) {
  return field.type.code == 's' && label_has_suffix(field.label, kMetadataLabel) && !is_removed(field);
}

std::string_view metadata_text(const Field& field) {
  const std::string_view text(reinterpret_cast<const char*>(field.value.data()), field.value.size());
  return text.substr(0, text.find('\0'));
}

MetadataIndex::MetadataIndex(const ParsedFile& content) {
  if (std::none_of(content.fields.begin(), content.fields.end(), is_metadata_text)) return;
  find_families(content);
  // The labels that can be asked for come first, so that lines of no field take no memory.
  for (const Field& field : content.fields) {
    if (field.type.item_size != 0) lines_.try_emplace(field.label);
  }
  std::unordered_set<std::string_view, KeyedHash> told;
  each_line(content, [&](std::string_view label, std::string_view rest) {
    if (rest.starts_with(kHistogramKind) && is_histogram(rest) && family_line(rest).cut == 0 &&
        told.insert(label).second) {
      histograms_.push_back({.label = label, .known = read_line(rest)});
    }
    const auto known = lines_.find(label);
    if (known == lines_.end() || known->second.data() != nullptr) return;
    known->second = rest;
  });
  if (!families_.empty()) find_combinations(content);
}

// A label is a family's if its first line is. Lines of families without fields take no memory either: where
// there are more of them than fields, fields are asked first.
void MetadataIndex::find_families(const ParsedFile& content) {
  std::size_t lines = 0;
  each_line(content, [&](std::string_view label, std::string_view rest) {
    lines += !label.empty() && family_line(rest).cut != 0 ? 1 : 0;
  });
  if (lines == 0) return;
  const FieldLabels fields(content, lines > content.fields.size());
  each_line(content, [&](std::string_view label, std::string_view rest) {
    if (!label.empty() && family_line(rest).cut != 0 && fields.may_be_below(label))
      families_.try_emplace(label);
  });
  each_line(content, [&](std::string_view label, std::string_view rest) {
    const auto known = families_.find(label);
    if (known == families_.end() || known->second.line.data() != nullptr) return;
    const auto [cut, histogram] = family_line(rest);
    known->second = {.line = rest, .cut = cut, .histogram = histogram};
  });
  std::erase_if(families_, [](const auto& family) { return family.second.cut == 0; });
  std::array<bool, kMaxDimensions + 2> has{};
  for (const auto& [label, family] : families_) has.at(family.cut) = true;
  for (std::size_t cut = 1; cut < has.size(); ++cut) {
    if (has.at(cut)) cuts_.push_back(cut);
  }
}

void MetadataIndex::find_combinations(const ParsedFile& content) {
  std::unordered_set<std::string_view, KeyedHash> told;
  for (const Histogram& histogram : histograms_) told.insert(histogram.label);
  for (const Field& field : content.fields) {
    const auto& label = field.label;
    if (!label.ends_with(kCount) || !field.type.is_scalar_number() || is_removed(field) || has_line(label))
      continue;
    const auto family = family_of(label);
    if (family == families_.end() || !family->second.histogram) continue;
    const auto stem = label.substr(0, label.size() - kCount.size());
    if (!combinations_.insert(stem).second || told.contains(stem)) continue;
    histograms_.push_back({.label = stem, .known = read_family(family->first, family->second.line, stem)});
  }
}

// That with the longest label.
MetadataIndex::Families::const_iterator MetadataIndex::family_of(std::string_view label) const {
  auto left = label;
  std::size_t gone = 0;
  for (const std::size_t cut : cuts_) {
    left = without_last_parts(left, cut - gone);
    gone = cut;
    if (left.empty()) break;
    const auto family = families_.find(left);
    if (family == families_.end() || family->second.cut != cut) continue;
    if (!family->second.histogram || is_histogram_part(label)) return family;
  }
  return families_.end();
}

bool MetadataIndex::has_line(std::string_view label) const {
  const auto known = lines_.find(label);
  return known != lines_.end() && known->second.data() != nullptr;
}

FieldMetadata MetadataIndex::find(std::string_view label) const {
  const auto known = lines_.find(label);
  if (known != lines_.end() && known->second.data() != nullptr) return read_line(known->second);
  const auto family = family_of(label);
  if (family == families_.end()) return {};
  return family->second.histogram ? read_histogram_part(family->first, family->second.line, label)
                                  : read_family(family->first, family->second.line, label);
}

bool MetadataIndex::is_there(const Field& field) const {
  if (is_removed(field)) return false;
  if (cuts_.empty() || has_line(field.label)) return true;
  const auto family = family_of(field.label);
  if (family == families_.end() || !family->second.histogram) return true;
  return combinations_.contains(without_last_parts(field.label, 1));
}

std::size_t MetadataIndex::longest_search() const {
  const auto longest_in = [](const auto& map) {
    std::size_t longest = 0;
    for (std::size_t i = 0; i < map.bucket_count(); ++i) longest = std::max(longest, map.bucket_size(i));
    return longest;
  };
  return std::max(longest_in(lines_), longest_in(families_));
}

}  // namespace mmstats
