// What somebody asks of a test by a variable of the environment.
#pragma once

#include <cstdint>
#include <cstdlib>

inline std::uint64_t asked_number(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}
