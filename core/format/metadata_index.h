// What a file says of many of its fields: one pass over its metadata, where find_metadata() takes one for
// each label.
#pragma once

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/keyed_hash.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"

namespace mmstats {

// Whether the field is a sys.metadata that is there, whatever its prefix. Its text ends with the first NUL.
bool is_metadata_text(const Field& field);
std::string_view metadata_text(const Field& field);

class MetadataIndex {
 public:
  // Of all fields sys.metadata of a file, one after the other: one that was given more fields than its first
  // metadata had room for has further ones. Views point into the parsed bytes. Takes time and memory linear
  // in the file's size.
  explicit MetadataIndex(const ParsedFile& content);

  // As find_metadata() of all the texts, for the label of a field that holds numbers; of other labels nothing
  // is known but their families.
  [[nodiscard]] FieldMetadata find(std::string_view label) const;

  // False: readers do as if there was no such field: its writer has removed it, or the combination of a
  // family of histograms that it belongs to.
  [[nodiscard]] bool is_there(const Field& field) const;

  // A histogram whose buckets can be read: its label, which is no field's. It may be one of a family.
  struct Histogram {
    std::string_view label;
    FieldMetadata known;
  };
  // Each once: in the order of their lines, and then those of families in the order of their fields.
  [[nodiscard]] const std::vector<Histogram>& histograms() const { return histograms_; }

  // How many labels find() may compare at most in one look-up: it looks at one bucket. And how many look-ups
  // it takes beside the first one.
  [[nodiscard]] std::size_t longest_search() const;
  [[nodiscard]] std::size_t more_searches() const { return cuts_.size(); }

  // How many families are remembered: of those that have no fields no more than there are fields.
  [[nodiscard]] std::size_t families() const { return families_.size(); }

 private:
  struct Family {
    std::string_view line;  // what is behind the label; data is null: not yet known
    std::size_t cut = 0;    // so many parts of its fields' labels are not its own
    bool histogram = false;
  };
  using Families = std::unordered_map<std::string_view, Family, KeyedHash>;
  [[nodiscard]] Families::const_iterator family_of(std::string_view label) const;
  [[nodiscard]] bool has_line(std::string_view label) const;
  void find_families(const ParsedFile& content);
  void find_combinations(const ParsedFile& content);

  // By label: what is in its line behind the label. Data is null: there is no line.
  std::unordered_map<std::string_view, std::string_view, KeyedHash> lines_;
  Families families_;
  std::vector<std::size_t> cuts_;  // of all families, each number once, ascending
  std::vector<Histogram> histograms_;
  std::unordered_set<std::string_view, KeyedHash> combinations_;  // of families of histograms: their labels
};

}  // namespace mmstats
