#include "collect/label_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "base/failure.h"
#include "format/dimensions.h"

namespace mmstats {
namespace {

// Calls with(group, why it can be no dimension; empty: it can) for each.
template <class With>
void each_named_group(const re2::RE2& pattern, const With& with) {
  std::size_t dimensions = 0;
  for (const auto& [number, name] : pattern.CapturingGroupNames()) {
    auto wrong = wrong_dimension_name(name);
    if (wrong.empty() && dimensions == kMaxDimensions)
      wrong =
          "there are " + std::to_string(kMaxDimensions) + " dimensions before it, and there can be no more";
    dimensions += wrong.empty() ? 1 : 0;
    with(NamedGroup{.name = name, .number = static_cast<std::size_t>(number)}, wrong);
  }
}

}  // namespace

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
  auto found = match_named_groups(pattern, {}, label);
  return found ? std::optional(std::move(found->groups)) : std::nullopt;
}

std::vector<NamedGroup> named_groups(const re2::RE2& pattern) {
  std::vector<NamedGroup> all;
  each_named_group(pattern, [&](NamedGroup&& group, const std::string& wrong) {
    if (wrong.empty()) all.push_back(std::move(group));
  });
  return all;
}

std::vector<std::string> no_dimensions(const re2::RE2& pattern) {
  std::vector<std::string> all;
  each_named_group(pattern, [&](const NamedGroup& group, const std::string& wrong) {
    if (!wrong.empty()) all.push_back("group \"" + group.name + "\" gives no dimension: " + wrong);
  });
  return all;
}

std::optional<GroupsFound> match_named_groups(const re2::RE2& pattern, std::span<const NamedGroup> named,
                                              std::string_view label) {
  const auto groups = std::min(kMaxGroups, static_cast<std::size_t>(pattern.NumberOfCapturingGroups()));
  std::size_t last = groups;
  for (const NamedGroup& group : named) last = std::max(last, group.number);
  std::vector<re2::StringPiece> found(1 + last);  // the whole, and all groups that are asked for
  const re2::StringPiece text(label.data(), label.size());
  if (!pattern.Match(text, 0, text.size(), RE2::ANCHOR_BOTH, found.data(), static_cast<int>(found.size())))
    return std::nullopt;
  GroupsFound result;
  result.groups.reserve(groups);
  for (std::size_t i = 1; i <= groups; ++i) result.groups.emplace_back(found[i]);
  for (const NamedGroup& group : named) {
    const auto& piece = found[group.number];
    result.named.emplace_back(piece.data(), piece.size());
  }
  return result;
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
