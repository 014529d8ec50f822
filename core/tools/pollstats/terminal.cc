#include "tools/pollstats/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <string>
#include <string_view>
#include <utility>

// Last, as its short names are macros.
#define NCURSES_NOMACROS
#define NCURSES_WIDECHAR 1
#include <curses.h>

namespace pollstats {
namespace {

constexpr int kEscapeDelay = 50;  // milliseconds from Esc to what makes a sequence of it

enum Pair : short { kYellow = 1, kCyan, kRed };

// ---- after a crash: what a signal handler needs, ready made

struct Rescue {
  std::array<char, 256> leave{};  // what makes the screen what it was
  std::size_t leave_size = 0;
  termios modes{};
  bool has_modes = false;
};
Rescue rescue;
alignas(16) std::array<char, 65536> crash_stack;  // it may be the stack that is full

constexpr std::array<int, 5> kCrashes{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

extern "C" void on_crash(int signal) {
  // Nothing can be done if this fails.
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, rescue.leave.data(), rescue.leave_size);
  if (rescue.has_modes) ::tcsetattr(STDOUT_FILENO, TCSANOW, &rescue.modes);
  ::raise(signal);  // the default now, once this returns
}

void prepare_rescue() {
  rescue.has_modes = ::tcgetattr(STDOUT_FILENO, &rescue.modes) == 0;
  const stack_t stack{.ss_sp = crash_stack.data(), .ss_flags = 0, .ss_size = crash_stack.size()};
  ::sigaltstack(&stack, nullptr);
}

// `mouse`: the terminal was asked to tell of it.
void arm_rescue(bool mouse) {
  rescue.leave_size = 0;
  const auto add = [](std::string_view text) {
    if (rescue.leave_size + text.size() > rescue.leave.size()) return;
    std::memcpy(rescue.leave.data() + rescue.leave_size, text.data(), text.size());
    rescue.leave_size += text.size();
  };
  if (mouse) add("\033[?1006l\033[?1000l");  // as ncurses asks for it
  for (const char* name : {"sgr0", "rmkx", "cnorm", "rmcup"}) {
    const char* sequence = ::tigetstr(name);
    if (sequence == nullptr || reinterpret_cast<std::intptr_t>(sequence) == -1) continue;
    const std::string_view text(sequence);
    add(text.substr(0, text.find("$<")));  // a pause, for terminals of old
  }
  struct sigaction action{};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK);
  for (const int signal : kCrashes) ::sigaction(signal, &action, nullptr);
}

void disarm_rescue() {
  for (const int signal : kCrashes) std::signal(signal, SIG_DFL);
}

attr_t attributes(Style style, bool colour) {
  const auto coloured = [&](Pair pair) { return colour ? static_cast<attr_t>(COLOR_PAIR(pair)) : A_NORMAL; };
  switch (style) {
    case Style::kTitle:
    case Style::kKey:
      return A_BOLD;
    case Style::kHeading:
      return A_BOLD | A_UNDERLINE;
    case Style::kNumber:
      return coloured(kYellow);
    case Style::kCurve:
      return coloured(kCyan);
    case Style::kDim:
      return A_DIM;
    case Style::kAlert:
      return A_BOLD | coloured(kRed);
    case Style::kSelected:
      return A_REVERSE;
    default:
      return A_NORMAL;
  }
}

std::wstring wide(const std::string& text) {
  std::wstring out(text.size(), L'\0');
  std::mbstate_t state{};
  const char* from = text.c_str();
  const std::size_t size = std::mbsrtowcs(out.data(), &from, out.size(), &state);
  out.resize(size == static_cast<std::size_t>(-1) ? 0 : size);
  return out;
}

Key::Name name_of(wint_t code) {
  switch (code) {
    case KEY_UP:
      return Key::Name::kUp;
    case KEY_DOWN:
      return Key::Name::kDown;
    case KEY_PPAGE:
      return Key::Name::kPageUp;
    case KEY_NPAGE:
      return Key::Name::kPageDown;
    case KEY_HOME:
      return Key::Name::kHome;
    case KEY_END:
      return Key::Name::kEnd;
    case KEY_ENTER:
      return Key::Name::kEnter;
    case KEY_BACKSPACE:
    case KEY_DC:
      return Key::Name::kBackspace;
    case KEY_F(1):
    case KEY_HELP:
      return Key::Name::kHelp;
    default:
      return Key::Name::kOther;
  }
}

// False: it has none.
bool use_mouse_of_terminal(bool ours) {
  const mmask_t events = BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED;
  return ::mousemask(ours ? events : 0, nullptr) != 0;
}

Key mouse_key() {
  MEVENT event{};
  if (::getmouse(&event) != OK || event.x < 0 || event.y < 0) return {Key::Name::kOther, 0};
  Key key{Key::Name::kOther, 0, static_cast<std::size_t>(event.y), static_cast<std::size_t>(event.x)};
  if ((event.bstate & (BUTTON1_PRESSED | BUTTON1_CLICKED)) != 0) key.name = Key::Name::kClick;
  if ((event.bstate & BUTTON4_PRESSED) != 0) key.name = Key::Name::kWheelUp;
  if ((event.bstate & BUTTON5_PRESSED) != 0) key.name = Key::Name::kWheelDown;
  return key;
}

mmstats::Error no_terminal(std::string message) {
  return {.kind = mmstats::ErrorKind::kIo,
          .path = {},
          .offset = 0,
          .sys_errno = 0,
          .message = std::move(message)};
}

}  // namespace

struct Terminal::Impl {
  std::FILE* keys = nullptr;  // not standard input: ours to close
  SCREEN* screen = nullptr;
  WINDOW* window = nullptr;  // all of it
  bool colour = false;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (screen != nullptr) {
      ::endwin();
      disarm_rescue();
      ::delscreen(screen);
    }
    if (keys != nullptr) std::fclose(keys);
  }
};

Terminal::Terminal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Terminal::~Terminal() = default;

mmstats::Expected<std::unique_ptr<Terminal>> Terminal::open(bool colour) {
  auto impl = std::make_unique<Impl>();
  if (::isatty(STDIN_FILENO) == 0) {
    impl->keys = std::fopen("/dev/tty", "re");
    if (impl->keys == nullptr) {
      return tl::unexpected(
          no_terminal("there is no terminal to take keys from; name fields to see columns"));
    }
  }
  prepare_rescue();
  impl->screen = ::newterm(nullptr, stdout, impl->keys != nullptr ? impl->keys : stdin);
  if (impl->screen == nullptr) {
    const char* type = std::getenv("TERM");
    return tl::unexpected(no_terminal("the terminal's type \"" +
                                      mmstats::printable(type != nullptr ? type : "") +
                                      "\" is not known here; set TERM"));
  }
  impl->window = stdscr;
  // A click is told when the button goes down, not when it is known to be none of several.
  ::mouseinterval(0);
  arm_rescue(use_mouse_of_terminal(true));
  impl->colour = colour && ::has_colors() && ::start_color() == OK;
  if (impl->colour) {
    const short background = ::use_default_colors() == OK ? -1 : COLOR_BLACK;
    ::init_pair(kYellow, COLOR_YELLOW, background);
    ::init_pair(kCyan, COLOR_CYAN, background);
    ::init_pair(kRed, COLOR_RED, background);
  }
  // Keys that would be signals come as characters, so that they are treated like others.
  ::raw();
  ::noecho();
  ::nonl();
  ::keypad(impl->window, true);
  ::nodelay(impl->window, true);
  ::set_escdelay(kEscapeDelay);
  return std::unique_ptr<Terminal>(new Terminal(std::move(impl)));
}

void Terminal::use_mouse(bool ours) { use_mouse_of_terminal(ours); }

std::size_t Terminal::width() const { return static_cast<std::size_t>(std::max(1, getmaxx(impl_->window))); }
std::size_t Terminal::height() const { return static_cast<std::size_t>(std::max(1, getmaxy(impl_->window))); }

void Terminal::draw(const Screen& screen) {
  ::werase(impl_->window);
  for (std::size_t y = 0; y < screen.lines.size(); ++y) {
    ::wmove(impl_->window, static_cast<int>(y), 0);
    for (const Span& span : screen.lines[y]) {
      ::wattrset(impl_->window, static_cast<int>(attributes(span.style, impl_->colour)));
      const std::wstring text = wide(span.text);
      ::waddnwstr(impl_->window, text.c_str(), static_cast<int>(text.size()));
    }
  }
  ::wattrset(impl_->window, A_NORMAL);
  if (screen.cursor) {
    ::curs_set(1);
    ::wmove(impl_->window, static_cast<int>(screen.cursor->line), static_cast<int>(screen.cursor->cell));
  } else {
    ::curs_set(0);
  }
  ::wrefresh(impl_->window);
}

std::optional<Key> Terminal::read_key() {
  wint_t code = 0;
  switch (::wget_wch(impl_->window, &code)) {
    case OK:
      if (code == L'\r' || code == L'\n') return Key{Key::Name::kEnter, 0};
      if (code == 0x1B) return Key{Key::Name::kEscape, 0};
      if (code == 0x7F || code == L'\b') return Key{Key::Name::kBackspace, 0};
      return Key{Key::Name::kCharacter, static_cast<char32_t>(code)};
    case KEY_CODE_YES:
      if (code == KEY_MOUSE) return mouse_key();
      return Key{name_of(code), 0};
    default:
      return std::nullopt;
  }
}

int Terminal::keys_fd() const { return impl_->keys != nullptr ? ::fileno(impl_->keys) : STDIN_FILENO; }

void Terminal::suspend() {
  ::def_prog_mode();
  ::endwin();
  // As the terminal itself would: to the whole job. It takes effect here, where the signal is let through; a
  // process that nobody could continue is not stopped.
  sigset_t stop;
  sigset_t before;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::kill(0, SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, &before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::reset_prog_mode();
  repaint();
}

void Terminal::repaint() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
    ::resizeterm(size.ws_row, size.ws_col);
  }
  ::clearok(impl_->window, true);
}

}  // namespace pollstats
