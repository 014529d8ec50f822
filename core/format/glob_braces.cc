#include "format/glob_braces.h"

#include <algorithm>
#include <optional>

#include "base/failure.h"

namespace mmstats {
namespace {

constexpr std::size_t kLongest = 4096;  // bytes: as the system takes of a path

// Where a pair of braces and its commas are in a text.
struct Braces {
  std::size_t open = 0;
  std::vector<std::size_t> ends;  // of the alternatives: commas, and the closing brace
};

// The first pair with a comma of its own.
std::optional<Braces> find_braces(std::string_view text) {
  std::vector<Braces> opened;  // that are not closed yet
  std::optional<Braces> first;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '{') {
      opened.push_back({i, {}});
    } else if (c == ',' && !opened.empty()) {
      opened.back().ends.push_back(i);
    } else if (c == '}' && !opened.empty()) {
      Braces pair = std::move(opened.back());
      opened.pop_back();
      const bool has_comma = !pair.ends.empty();
      pair.ends.push_back(i);
      if (has_comma && (!first || pair.open < first->open)) first = std::move(pair);
    }
  }
  return first;
}

}  // namespace

Expected<std::vector<std::string>> expand_braces(std::string_view glob) {
  const auto too_many = [] {
    return tl::unexpected(failure(ErrorKind::kLimit, {},
                                  "its braces make more than " + std::to_string(kMaxBraceGlobs) +
                                      " patterns, or it is longer than any path"));
  };
  if (glob.size() > kLongest) return too_many();
  std::vector<std::string> done;
  std::vector<std::string> waiting{std::string(glob)};
  while (!waiting.empty()) {
    const std::string text = std::move(waiting.back());
    waiting.pop_back();
    const auto braces = find_braces(text);
    if (!braces) {
      done.push_back(text);
    } else {
      // The last one first, as the last that waits is looked at next.
      for (std::size_t i = braces->ends.size(); i-- > 0;) {
        const std::size_t begin = i == 0 ? braces->open + 1 : braces->ends[i - 1] + 1;
        waiting.push_back(text.substr(0, braces->open) + text.substr(begin, braces->ends[i] - begin) +
                          text.substr(braces->ends.back() + 1));
      }
    }
    if (done.size() + waiting.size() > kMaxBraceGlobs) return too_many();
  }
  return done;
}

}  // namespace mmstats
