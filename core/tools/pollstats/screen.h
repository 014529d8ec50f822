// What a screen shows and what a person presses, without a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pollstats {

enum class Style : std::uint8_t {
  kPlain,
  kTitle,
  kHeading,
  kNumber,
  kCurve,
  kDim,
  kAlert,
  kKey,       // a key in the line of help
  kSelected,  // the row under the cursor
};

// Text that may go to a terminal: see shown() in text_cells.h.
struct Span {
  Style style = Style::kPlain;
  std::string text;
};

struct Screen {
  std::vector<std::vector<Span>> lines;  // from the top; none is wider than the screen
  struct Cursor {
    std::size_t line = 0;
    std::size_t cell = 0;
  };
  std::optional<Cursor> cursor;  // where something is typed; none: hidden
};

struct Key {
  enum class Name : std::uint8_t {
    kCharacter,  // control characters, too
    kUp,
    kDown,
    kPageUp,
    kPageDown,
    kHome,
    kEnd,
    kEnter,
    kEscape,
    kBackspace,
    kHelp,   // F1
    kClick,  // of the mouse, at `line` and `cell`
    kWheelUp,
    kWheelDown,
    kGone,  // the terminal is no longer there
    kOther,
  };
  Name name = Name::kOther;
  char32_t character = 0;
  std::size_t line = 0;  // from the top
  std::size_t cell = 0;  // from the left
};

// Whether it is Ctrl and the letter, which give the letter's low five bits.
inline bool is_control(const Key& key, char letter) {
  return key.name == Key::Name::kCharacter && key.character == (static_cast<char32_t>(letter) & 0x1FU);
}

}  // namespace pollstats
