#include "tools/mmash/word_search.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <string>

#include "base/failure.h"

namespace mmash {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::int64_t kWordMemory = std::int64_t{1} << 20U;  // bytes, as for each word there may be one

tl::unexpected<mmstats::Error> refuse_words(std::string message) {
  return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
}

}  // namespace

mmstats::Expected<WordSearch> WordSearch::make(std::string_view text) {
  WordSearch search;
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_literal(true);
  options.set_case_sensitive(false);
  options.set_max_mem(kWordMemory);
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) return search;
    if (search.words_.size() == kMostWords)
      return refuse_words(fmt::format("search: at most {} words", kMostWords));
    const auto word = text.substr(0, text.find_first_of(kBlanks));
    auto pattern = std::make_shared<const re2::RE2>(std::string(word), options);
    if (!pattern->ok()) return refuse_words(fmt::format("search={}: no such word", mmstats::printable(word)));
    search.words_.push_back(std::move(pattern));
    text.remove_prefix(word.size());
  }
}

bool WordSearch::finds(const std::vector<mmstats::Dimension>& dimensions) const {
  if (words_.empty()) return true;
  std::string text;
  for (const auto& [name, value] : dimensions) text.append(" ").append(name).append("=").append(value);
  return std::ranges::all_of(words_, [&](const auto& word) { return re2::RE2::PartialMatch(text, *word); });
}

}  // namespace mmash
