// Dimensions of a label: from the metadata of its family, or from what groups of a pattern found in it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collect/label_pattern.h"
#include "format/dimensions.h"
#include "mmstats/metadata.h"

namespace mmstats {

// Which dimensions are wanted.
using WantsDimension = std::function<bool(std::string_view name)>;

struct LabelDimensions {
  std::string base;    // the family's label, without the prefix; empty: it has none
  std::string ending;  // with its dot: what is behind the values, of a part of a histogram or an element
  std::vector<Dimension> all;
  std::vector<std::string> parts;  // of a label: each value, escaped

  [[nodiscard]] std::string family() const { return base.empty() ? std::string() : base + ending; }
  [[nodiscard]] std::string_view value(std::string_view name) const;  // empty: there is none
  // The label with all of them behind `family`, as our writer writes it.
  [[nodiscard]] std::string label_with(std::string_view family) const;
  // What a label without the others would be; empty: nothing is left.
  [[nodiscard]] std::string label_of(const WantsDimension& wanted) const;
};

// Of a field that metadata counts to a family. `label`: in full; `family`: known.family without the prefix.
LabelDimensions dimensions_of_family(std::string_view label, std::string_view family,
                                     const FieldMetadata& known);

// `found`: by their place in `named`, as views into `label`. The family is the label without them, and
// without a dot before each, or behind it at the beginning.
LabelDimensions dimensions_of_groups(std::string_view label, std::span<const NamedGroup> named,
                                     std::span<const std::string_view> found);

}  // namespace mmstats
