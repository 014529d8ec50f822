#include "collect/put_values.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/failure.h"

namespace mmstats {
namespace {

constexpr std::string_view kBegin = "%{";
constexpr char kEnd = '}';

// Calls literally(part) and value(name) for all parts of the text in their order. None: it is good. Else what
// follows the last good part: a name that does not end.
template <class Literally, class Value>
std::optional<std::string_view> each_part(std::string_view text, const Literally& literally,
                                          const Value& value) {
  while (true) {
    const auto begin = text.find(kBegin);
    if (begin == std::string_view::npos) break;
    if (begin > 0 && text[begin - 1] == '%') {
      literally(text.substr(0, begin - 1));
      literally(kBegin);
      text.remove_prefix(begin + kBegin.size());
      continue;
    }
    literally(text.substr(0, begin));
    text.remove_prefix(begin);
    const auto end = text.find(kEnd);
    if (end == std::string_view::npos) return text;
    value(text.substr(kBegin.size(), end - kBegin.size()));
    text.remove_prefix(end + 1);
  }
  literally(text);
  return std::nullopt;
}

template <class Show>
std::optional<std::string> put(std::string_view text, std::string_view label,
                               std::span<const std::string> groups, std::span<const Dimension> dimensions,
                               const Show& show) {
  std::string out;
  bool has_all = true;
  const auto literally = [&](std::string_view part) { out += put_groups(part, label, groups); };
  const auto rest = each_part(text, literally, [&](std::string_view name) {
    const auto known = std::ranges::find(dimensions, name, &Dimension::name);
    has_all = has_all && known != dimensions.end();
    if (known != dimensions.end()) out += show(known->value);
  });
  if (rest) literally(*rest);
  return has_all ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

std::optional<std::string> put_values(std::string_view text, std::string_view label,
                                      std::span<const std::string> groups,
                                      std::span<const Dimension> dimensions) {
  return put(text, label, groups, dimensions,
             [](const std::string& value) { return std::string_view(value); });
}

std::optional<std::string> put_label(std::string_view text, std::string_view label,
                                     std::span<const std::string> groups,
                                     std::span<const Dimension> dimensions) {
  return put(text, label, groups, dimensions, [](const std::string& value) { return escape_value(value); });
}

std::vector<std::string> asked_dimensions(std::string_view text) {
  std::vector<std::string> names;
  static_cast<void>(
      each_part(text, [](std::string_view) {}, [&](std::string_view name) { names.emplace_back(name); }));
  return names;
}

std::vector<std::size_t> asked_groups(std::string_view text) {
  std::vector<std::size_t> groups;
  const auto literally = [&](std::string_view part) {
    for (std::size_t i = 0; i + 1 < part.size(); ++i) {
      if (part[i] != '\\') continue;
      const char next = part[++i];
      if (next < '1' || next > '9') continue;
      const auto group = static_cast<std::size_t>(next - '0');
      if (std::ranges::find(groups, group) == groups.end()) groups.push_back(group);
    }
  };
  static_cast<void>(each_part(text, literally, [](std::string_view) {}));
  return groups;
}

std::size_t most_values(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return c == '\\' || c == kBegin.back(); }));
}

Expected<void> check_values(const re2::RE2& pattern, bool of_family, const std::string& text) {
  if (auto fits = check_groups(pattern, text); !fits) return fits;
  const auto named = of_family ? std::vector<NamedGroup>() : named_groups(pattern);
  std::string wrong;
  const auto rest = each_part(
      text, [](std::string_view) {},
      [&](std::string_view name) {
        if (!wrong.empty()) return;
        const auto shown = "%{" + printable(name) + "}";
        if (auto why = wrong_dimension_name(name); !why.empty()) {
          wrong = shown + " is no dimension: " + why;
        } else if (!named.empty() && std::ranges::find(named, name, &NamedGroup::name) == named.end()) {
          wrong = shown + " is none of the pattern's named groups";
        }
      });
  if (rest) wrong = "a %{ needs a } after it; the text %{ is written %%{";
  if (!wrong.empty()) return tl::unexpected(failure(ErrorKind::kInvalid, {}, std::move(wrong)));
  return {};
}

}  // namespace mmstats
