#include "collect/label_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "base/failure.h"

namespace mmstats {

void DeletePattern::operator()(const re2::RE2* pattern) const noexcept { delete pattern; }

Expected<LabelPattern> compile_label_pattern(const std::string& pattern) {
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(kPatternMemory);
  LabelPattern compiled(new RE2(pattern, options));
  if (!compiled->ok()) return tl::unexpected(failure(ErrorKind::kInvalid, {}, compiled->error()));
  return compiled;
}

bool matches_whole(const re2::RE2& pattern, std::string_view label) {
  return RE2::FullMatch({label.data(), label.size()}, pattern);
}

std::optional<std::vector<std::string>> match_groups(const re2::RE2& pattern, std::string_view label) {
  constexpr int kSubmatches = 1 + int{kMaxGroups};  // the whole and nine groups
  std::array<re2::StringPiece, kSubmatches> found;
  const int wanted = std::min(kSubmatches, pattern.NumberOfCapturingGroups() + 1);
  const re2::StringPiece text(label.data(), label.size());
  if (!pattern.Match(text, 0, text.size(), RE2::ANCHOR_BOTH, found.data(), wanted)) return std::nullopt;
  std::vector<std::string> groups;
  for (int i = 1; i < wanted; ++i) groups.emplace_back(found[static_cast<std::size_t>(i)]);
  return groups;
}

Expected<void> check_groups(const re2::RE2& pattern, const std::string& text) {
  std::string why;
  if (!pattern.CheckRewriteString(text, &why)) return tl::unexpected(failure(ErrorKind::kInvalid, {}, why));
  return {};
}

std::string put_groups(std::string_view text, std::string_view label, std::span<const std::string> groups) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[++i];
    const auto group = static_cast<std::size_t>(next - '0');
    if (next == '0') {
      out += label;
    } else if (next > '0' && next <= '9') {
      if (group <= groups.size()) out += groups[group - 1];
    } else {
      out += next;
    }
  }
  return out;
}

}  // namespace mmstats
