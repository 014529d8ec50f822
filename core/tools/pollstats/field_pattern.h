// Names of fields with wildcards, as in a shell: `*` any text, `?` one character, `[a-z]` and `[!a-z]` one of
// a set, `\` takes the next character as it is. A dot is a character like others.
#pragma once

#include <string>
#include <string_view>

#include "collect/label_pattern.h"
#include "mmstats/error.h"

namespace pollstats {

bool has_wildcard(std::string_view text);

// An RE2 pattern over bytes, as mmstats::Rules takes it, that matches `text` alone.
std::string quoted_re2(std::string_view text);

// Movable. Matches whole labels.
class FieldPattern {
 public:
  // What begins with `prefix`, which has no wildcards, and goes on as `text` says. Error: kInvalid, with the
  // reason.
  static mmstats::Expected<FieldPattern> compile(std::string_view text, std::string_view prefix = {});

  FieldPattern(FieldPattern&&) noexcept;
  FieldPattern& operator=(FieldPattern&&) noexcept;
  ~FieldPattern();

  [[nodiscard]] bool matches(std::string_view label) const;
  [[nodiscard]] const std::string& re2() const;  // the same for mmstats::Rules

 private:
  explicit FieldPattern(mmstats::LabelPattern pattern);
  mmstats::LabelPattern pattern_;
};

}  // namespace pollstats
