// Patterns of labels and paths, which are bytes: every byte is one character, whatever encoding it was meant
// in. A pattern in UTF-8 still matches the same label, byte by byte. Matching takes time linear in the text's
// length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"

namespace re2 {
class RE2;
}

namespace mmstats {

struct DeletePattern {
  void operator()(const re2::RE2* pattern) const noexcept;
};
// Bytes that a pattern takes at most, what it learns of labels that it met included. What needs more to be
// compiled is refused; what would learn more forgets, and goes on.
inline constexpr std::int64_t kPatternMemory = std::int64_t{8} << 20U;

using LabelPattern = std::unique_ptr<const re2::RE2, DeletePattern>;

// A regular expression of RE2. Nothing is logged. Error: kInvalid; the message is RE2's reason alone.
Expected<LabelPattern> compile_label_pattern(const std::string& pattern);

// Whether the pattern matches all of `label`.
bool matches_whole(const re2::RE2& pattern, std::string_view label);

inline constexpr std::size_t kMaxGroups = 9;

// What the pattern's groups found, nine at most; none: it does not match all of `label`.
std::optional<std::vector<std::string>> match_groups(const re2::RE2& pattern, std::string_view label);

// A group with a name, (?P<NAME>...): it gives the dimension of that name to labels that match, if there can
// be one: else it is a group as any other.
struct NamedGroup {
  std::string name;
  std::size_t number = 0;  // from 1
};
// Those that can be dimensions, in the order in which they stand in the pattern: kMaxDimensions at most.
std::vector<NamedGroup> named_groups(const re2::RE2& pattern);
// Why others cannot, for people: a line for each.
std::vector<std::string> no_dimensions(const re2::RE2& pattern);

// The same as match_groups(), and what the named groups found, by their place in `named`. The views are into
// `label`; data is null: the group had no part in it.
struct GroupsFound {
  std::vector<std::string> groups;
  std::vector<std::string_view> named;
};
std::optional<GroupsFound> match_named_groups(const re2::RE2& pattern, std::span<const NamedGroup> named,
                                              std::string_view label);

// Whether a text for put_groups() asks only for groups that the pattern has. Error: kInvalid; the message is
// RE2's reason alone.
Expected<void> check_groups(const re2::RE2& pattern, const std::string& text);

// `text` with \0 as `label`, \1 to \9 as what the groups found, and two backslashes as one.
std::string put_groups(std::string_view text, std::string_view label, std::span<const std::string> groups);

}  // namespace mmstats
