// Moving through a list that is longer than the screen.
#pragma once

#include <cstddef>

#include "tools/pollstats/screen.h"

namespace pollstats {

// A list with a cursor, of which a part is visible.
struct Scroll {
  std::size_t selected = 0;
  std::size_t top = 0;
  std::size_t page = 1;  // visible rows

  // True if the key moved it.
  bool move(const Key& key, std::size_t count);
  // As a mouse's wheel does: the rows go by, and the cursor stays among those that are visible.
  void roll(bool down, std::size_t count);
  // So that the cursor is on a row that there is, and visible.
  void settle(std::size_t count);
};

}  // namespace pollstats
