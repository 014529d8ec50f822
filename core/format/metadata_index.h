// What a file says of many of its fields: one pass over its metadata, where find_metadata() takes one for
// each label.
#pragma once

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"

namespace mmstats {

// Whether the field is a sys.metadata, whatever its prefix. Its text ends with the first NUL.
bool is_metadata_text(const Field& field);
std::string_view metadata_text(const Field& field);

class MetadataIndex {
 public:
  // Of all fields sys.metadata of a file, one after the other: one that was given more fields than its first
  // metadata had room for has further ones. Views point into the parsed bytes. Takes time and memory linear
  // in the file's size.
  explicit MetadataIndex(const ParsedFile& content);

  // As find_metadata() of all the texts, for the label of a field that holds numbers; of other labels nothing
  // is known.
  [[nodiscard]] FieldMetadata find(std::string_view label) const;

  // A histogram whose buckets can be read: its label, which is no field's.
  struct Histogram {
    std::string_view label;
    FieldMetadata known;
  };
  // Each once, in the order of their lines.
  [[nodiscard]] const std::vector<Histogram>& histograms() const { return histograms_; }

  // How many labels find() may compare at most: it looks at one bucket.
  [[nodiscard]] std::size_t longest_search() const;

 private:
  // By label: what is in its line behind the label. Data is null: there is no line.
  std::unordered_map<std::string_view, std::string_view, KeyedHash> lines_;
  std::vector<Histogram> histograms_;
};

}  // namespace mmstats
