// The ids that a request is about.
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "tools/mmash/http.h"

namespace mmash {

inline constexpr std::size_t kMaxIds = 100'000;  // of one request

struct IdRange {
  std::size_t first = 0;
  std::size_t count = 0;
};

// Whether all of the text is a number, which then is in `into`.
bool read_number(std::string_view text, auto& into) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), into);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size();
}

// "0-9,12"; none if it is malformed or more than kMaxIds.
std::optional<std::vector<IdRange>> read_ids(std::string_view text);

// What those get who ask with such a text.
Response wrong_ids();

}  // namespace mmash
