#include "tools/pollstats/scroll.h"

#include <algorithm>

namespace pollstats {

bool Scroll::move(const Key& key, std::size_t count) {
  using enum Key::Name;
  const auto letter = key.name == kCharacter ? key.character : U'\0';
  if (key.name == kUp || letter == U'k') {
    selected -= selected > 0 ? 1 : 0;
  } else if (key.name == kDown || letter == U'j') {
    ++selected;
  } else if (key.name == kPageUp || is_control(key, 'B')) {
    selected -= std::min(selected, page);
    top -= std::min(top, page);
  } else if (key.name == kPageDown || is_control(key, 'F')) {
    selected += page;
    top += page;
  } else if (key.name == kHome || letter == U'g') {
    selected = 0;
  } else if (key.name == kEnd || letter == U'G') {
    selected = count;
  } else {
    return false;
  }
  settle(count);
  return true;
}

void Scroll::roll(bool down, std::size_t count) {
  constexpr std::size_t kRows = 3;
  top = down ? std::min(top + kRows, count - std::min(count, page)) : top - std::min(top, kRows);
  selected = std::clamp(selected, top, top + page - 1);
  settle(count);
}

void Scroll::settle(std::size_t count) {
  selected = std::min(selected, count - std::min<std::size_t>(count, 1));
  top = std::min(top, count - std::min(count, page));
  top = std::min(top, selected);
  if (selected >= top + page) top = selected - page + 1;
}

}  // namespace pollstats
