#include "tools/pollstats/field_pattern.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <cstddef>
#include <utility>

#include "base/failure.h"
#include "collect/label_pattern.h"

namespace pollstats {
namespace {

// One character of UTF-8, or one byte that belongs to none.
constexpr std::string_view kOneCharacter = R"((?:[\xC2-\xF4][\x80-\xBF]+|[\x00-\xFF]))";

// The set that begins at text[at], a `[`, as RE2 writes it, and where it ends. Empty: it has no end, and the
// `[` means itself.
std::pair<std::string, std::size_t> set_at(std::string_view text, std::size_t at) {
  std::string set = "[";
  std::size_t next = at + 1;
  if (next < text.size() && (text[next] == '!' || text[next] == '^')) {
    set += '^';
    ++next;
  }
  for (bool first = true; next < text.size(); first = false, ++next) {
    if (text[next] == ']' && !first) return {set + ']', next + 1};
    const bool between = text[next] == '-' && !first && next + 1 < text.size() && text[next + 1] != ']';
    if (text[next] == '\\' && next + 1 < text.size()) ++next;
    set += between ? "-" : quoted_re2(text.substr(next, 1));
  }
  return {};
}

std::string re2_of(std::string_view text) {
  std::string pattern;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '*') {
      pattern += ".*";
    } else if (c == '?') {
      pattern += kOneCharacter;
    } else if (c == '[') {
      if (const auto [set, end] = set_at(text, at); end != 0) {
        pattern += set;
        at = end;
        continue;
      }
      pattern += "\\[";
    } else {
      if (c == '\\' && at + 1 < text.size()) ++at;
      pattern += quoted_re2(text.substr(at, 1));
    }
    ++at;
  }
  return pattern;
}

}  // namespace

bool has_wildcard(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

std::string quoted_re2(std::string_view text) { return RE2::QuoteMeta({text.data(), text.size()}); }

FieldPattern::FieldPattern(mmstats::LabelPattern pattern) : pattern_(std::move(pattern)) {}
FieldPattern::FieldPattern(FieldPattern&&) noexcept = default;
FieldPattern& FieldPattern::operator=(FieldPattern&&) noexcept = default;
FieldPattern::~FieldPattern() = default;

mmstats::Expected<FieldPattern> FieldPattern::compile(std::string_view text, std::string_view prefix) {
  auto pattern = mmstats::compile_label_pattern(quoted_re2(prefix) + re2_of(text));
  if (pattern) return FieldPattern(std::move(*pattern));
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {},
                                         fmt::format("field \"{}\": {}", mmstats::printable(text),
                                                     mmstats::printable(pattern.error().message))));
}

bool FieldPattern::matches(std::string_view label) const { return mmstats::matches_whole(*pattern_, label); }

const std::string& FieldPattern::re2() const { return pattern_->pattern(); }

}  // namespace pollstats
