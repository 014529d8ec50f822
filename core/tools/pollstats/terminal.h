// The terminal, drawn with ncurses: the whole screen is ours while the object lives, and as it was
// afterwards, even after a crash.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "mmstats/error.h"
#include "tools/pollstats/screen.h"

namespace pollstats {

// One at a time, in one thread. Needs a locale that is set.
class Terminal {
 public:
  // Keys come from standard input if that is a terminal, else from the one that controls this process.
  // Errors: kIo: there is no terminal for keys, or its type is unknown.
  static mmstats::Expected<std::unique_ptr<Terminal>> open(bool colour);

  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  [[nodiscard]] std::size_t width() const;
  [[nodiscard]] std::size_t height() const;

  // Writes what differs from what is shown.
  void draw(const Screen& screen);

  // What was pressed, without waiting; none: nothing more.
  std::optional<Key> read_key();
  [[nodiscard]] int keys_fd() const;

  // Whether clicks come as keys; at first they do. Without a mouse that the terminal tells of: nothing.
  static void use_mouse(bool ours);

  // Gives the terminal back and stops the process, as Ctrl-Z does; comes back when it goes on.
  void suspend();
  // It was written to, or changed its size: the next draw writes everything.
  void repaint();

 private:
  struct Impl;
  explicit Terminal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollstats
