// A client's search among combinations of dimensions.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "format/dimensions.h"
#include "mmstats/error.h"

namespace re2 {
class RE2;
}

namespace mmash {

// Finds in time linear in the text, whatever the words are.
class WordSearch {
 public:
  static constexpr std::size_t kMostWords = 16;

  // Words with blanks between them; none: all is found. Error: kInvalid, with a reason for people: there are
  // too many, or they are no UTF-8.
  static mmstats::Expected<WordSearch> make(std::string_view text);

  // Whether each word, in any case, is in "method=GET status=404".
  [[nodiscard]] bool finds(const std::vector<mmstats::Dimension>& dimensions) const;

 private:
  std::vector<std::shared_ptr<const re2::RE2>> words_;
};

}  // namespace mmash
