#include "tools/pollstats/near_labels.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>

namespace pollstats {
namespace {

constexpr std::size_t kLongest = 300;  // bytes of what is compared letter by letter

// Its letters and digits, in lower case.
std::string bare(std::string_view label) {
  std::string text;
  for (const char c : label) {
    if (c >= 'A' && c <= 'Z') {
      text += static_cast<char>(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80U) {
      text += c;
    }
  }
  return text;
}

// How many letters have to be put in, left out or replaced.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// The less, the nearer; none: far.
std::optional<std::size_t> distance(std::string_view wanted, std::string_view label) {
  if (wanted.empty() || label.empty()) return std::nullopt;
  if (wanted == label) return 0;
  if (wanted.size() <= kLongest && label.size() <= kLongest) {
    const std::size_t few = std::max(wanted.size(), label.size()) / 5 + 1;
    const std::size_t difference =
        wanted.size() > label.size() ? wanted.size() - label.size() : label.size() - wanted.size();
    if (difference <= few) {
      if (const auto count = edits(wanted, label); count <= few) return count;
    }
  }
  constexpr std::size_t kPart = 100;
  constexpr std::size_t kShortest = 3;
  const auto [shorter, longer] =
      std::minmax(wanted, label, [](auto a, auto b) { return a.size() < b.size(); });
  if (shorter.size() >= kShortest && longer.find(shorter) != std::string_view::npos) {
    return kPart + longer.size() - shorter.size();
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> near_labels(std::string_view wanted, std::span<const std::string> labels,
                                     std::size_t most) {
  const std::string bare_wanted = bare(wanted);
  std::vector<std::pair<std::size_t, const std::string*>> near;
  for (const std::string& label : labels) {
    if (const auto far = distance(bare_wanted, bare(label))) near.emplace_back(*far, &label);
  }
  std::ranges::sort(near, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : *a.second < *b.second;
  });
  std::vector<std::string> names;
  for (const auto& [far, label] : near) {
    if (names.size() == most) break;
    names.push_back(*label);
  }
  return names;
}

}  // namespace pollstats
