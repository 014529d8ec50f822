// Labels of families: core/doc/format.md, "Families".
#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/parse.h"

namespace mmstats {

// What a metric is told apart by, and its value: UTF-8 as a writer wrote it, so foreign bytes to a sink.
struct Dimension {
  std::string name;
  std::string value;
  auto operator<=>(const Dimension&) const = default;
};

inline constexpr std::size_t kMaxDimensions = 16;
inline constexpr std::size_t kMaxDimensionValue = 255;  // bytes

// What is wrong with a dimension's name, for people; empty: nothing.
std::string wrong_dimension_name(std::string_view name);

// Of a list as a line of sys.metadata has it. Empty: it is none, or no good one.
std::vector<std::string_view> dimension_names(std::string_view list);

// A value as a part of a label, and back. Of a value only the first kMaxDimensionValue bytes count, cut
// between two characters; what is not UTF-8 becomes '?'.
std::string escape_value(std::string_view value);
std::string unescape_value(std::string_view part);
// So many bytes more than `parts`, values joined by dots as a file has them, take at most that were escaped
// anew.
std::size_t more_if_escaped(std::string_view parts);

// The label without its last `parts` parts; empty: it has no more than those.
std::string_view without_last_parts(std::string_view label, std::size_t parts);

// Among the blanks of its type: that the field is removed.
inline constexpr char kRemovedBlank = '\t';
// Whether its writer has removed the field: readers do as if there was none.
inline bool is_removed(const Field& field) {
  const std::string_view type = field.type_text;
  // Most are one letter.
  return type.size() == 1 ? type.front() == kRemovedBlank
                          : type.find(kRemovedBlank) != std::string_view::npos;
}

}  // namespace mmstats
