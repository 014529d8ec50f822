#include "base/read_buffer.h"

#include <doctest/doctest.h>

#include <cstdint>

TEST_CASE("a buffer for reading begins at a multiple of 64 bytes, whatever its size") {
  for (std::size_t size = 1; size < (std::size_t{4} << 20U); size = 3 * size + 1) {
    CAPTURE(size);
    mmstats::ReadBuffer buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    buffer.resize(2 * size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
  }
}
