// What a file says of itself: kinds, units and help, one line a field, in the text field
// `sys.metadata`. The grammar: core/doc/format.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"

namespace mmstats {

inline constexpr std::string_view kMetadataLabel = "sys.metadata";

enum class Kind : std::uint8_t {
  kCounter,    // only grows within one life of a file; its sum over workers never falls
  kGauge,      // a value of this moment
  kTimestamp,  // a moment, Unix seconds
  kState,      // a number that stands for a condition, a bool most of all
  kProperty,   // a fact about the process: not a value over time
};

// "counter", "gauge", "timestamp", "state", "property".
MMSTATS_API std::string_view to_string(Kind kind);
MMSTATS_API std::optional<Kind> parse_kind(std::string_view word);

struct FieldMetadata {
  std::optional<Kind> kind = {};  // none: absent, or a word that this version does not know
  std::string_view unit = {};     // as OpenMetrics writes units: seconds, bytes; may be empty
  std::string_view help = {};     // one sentence; may be empty
  // Of a field of a family: the family's label, the names of its dimensions as the line has them, and the
  // part of the field's own label with their values, escaped and joined by dots. All empty: it is of no
  // family.
  std::string_view family = {};
  std::string_view dimensions = {};
  std::string_view values = {};
};

// What `metadata`, the value of sys.metadata, says of the field `label` (written in full, prefix
// included), in its own line or in that of its family. Nothing known gives an empty result. The views point
// into `metadata`, `values` into `label`. O(metadata): whoever asks for all fields of a foreign file should
// bound its size.
MMSTATS_API FieldMetadata find_metadata(std::string_view metadata, std::string_view label);

}  // namespace mmstats
