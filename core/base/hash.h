// The hash that a sink puts into a name which could not keep its label as it is. The same over builds and
// machines, as the names of stored data must be. Pure functions; from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmstats {

inline constexpr std::size_t kNameHashDigits = 12;

// 64-bit FNV-1a. `hash`: of what stands before `bytes`.
std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = 0xCBF29CE484222325U);

// Of a label: kNameHashDigits hexadecimal digits in lower case. Each `salt` gives another; 0 is the usual
// one.
std::string name_hash(std::string_view label, std::uint64_t salt = 0);

// Whether a name that was not hashed could be taken for one that was: it ends with `mark` and such digits.
bool ends_like_name_hash(std::string_view name, char mark);

}  // namespace mmstats
