// What keys do to the live view.
#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "tools/pollstats/live_view.h"

namespace pollstats {
namespace {

void append_utf8(std::string& text, char32_t code) {
  const auto tail = [&](unsigned shift) { text += static_cast<char>(0x80U | (code >> shift & 0x3FU)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0U | code >> 6U);
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0U | code >> 12U);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0U | code >> 18U);
    tail(12);
    tail(6);
    tail(0);
  }
}

void remove_last_character(std::string& utf8) {
  while (!utf8.empty() && !mmstats::begins_character(utf8.back())) utf8.pop_back();
  if (!utf8.empty()) utf8.pop_back();
}

}  // namespace

LiveView::Wish LiveView::press(const Key& key) {
  complaint_.clear();
  if (key.name == Key::Name::kGone || is_control(key, 'C') || is_control(key, 'D')) return Wish::kLeave;
  if (is_control(key, 'Z')) return Wish::kSuspend;
  if (is_control(key, 'L')) return Wish::kRepaint;
  if (help_) {
    help_ = false;
    return Wish::kNothing;
  }
  const bool asks = key.name == Key::Name::kCharacter && (key.character == U'?' || key.character == U'h');
  if (key.name == Key::Name::kHelp || (asks && mode_ != Mode::kFilter)) {
    help_ = true;
    return Wish::kNothing;
  }
  if (key.name == Key::Name::kClick || key.name == Key::Name::kWheelUp || key.name == Key::Name::kWheelDown)
    return press_mouse(key);
  switch (mode_) {
    case Mode::kFilter:
      return press_in_filter(key);
    case Mode::kProcesses:
      return press_in_processes(key);
    default:
      return press_in_series(key);
  }
}

LiveView::Wish LiveView::press_in_series(const Key& key) {
  if (scroll_.move(key, rows_.size())) return Wish::kNothing;
  if (key.name == Key::Name::kEscape) {
    set_filter({});
    return Wish::kNothing;
  }
  if (key.name == Key::Name::kEnter) show_processes_of_selected();
  if (key.name != Key::Name::kCharacter) return Wish::kNothing;
  switch (key.character) {
    case U'q':
      return Wish::kLeave;
    case U'/':
      mode_ = Mode::kFilter;
      break;
    case U'n':
      sort_by(Sort::kName);
      break;
    case U'v':
      sort_by(Sort::kValue);
      break;
    case U'r':
      sort_by(Sort::kRate);
      break;
    case U'c':
      sort_by(Sort::kChange);
      break;
    case U'b':
      return group_by_next();
    case U'p':
      mode_ = Mode::kProcesses;
      marked_ = chosen_;
      process_scroll_ = {.page = process_scroll_.page};
      break;
    case U'm':
      mouse_ = !mouse_;
      complaint_ = mouse_ ? "The mouse sorts and selects." : "The mouse is the terminal's; m takes it back.";
      return Wish::kMouse;
    case U' ':
      paused_ = !paused_;
      break;
    case U'+':
    case U'=':
      change_delay(true);
      break;
    case U'-':
      change_delay(false);
      break;
    default:
      break;
  }
  return Wish::kNothing;
}

// All combinations, what the command line asked for, each dimension by itself, all values together.
LiveView::Wish LiveView::group_by_next() {
  if (dimensions_.empty()) {
    complaint_ = "No series here has dimensions.";
    return Wish::kNothing;
  }
  std::vector<std::optional<By>> all{std::nullopt};
  const auto add = [&](const std::optional<By>& by) {
    if (std::ranges::find(all, by) == all.end()) all.push_back(by);
  };
  add(first_by_);
  for (const auto& name : dimensions_) add(By{name});
  add(By{});
  const auto now = std::ranges::find(all, by_);
  by_ = now == all.end() || now + 1 == all.end() ? all.front() : *(now + 1);
  return Wish::kChoose;
}

LiveView::Wish LiveView::press_in_filter(const Key& key) {
  std::string filter = filter_;
  switch (key.name) {
    case Key::Name::kEnter:
      mode_ = Mode::kSeries;
      return Wish::kNothing;
    case Key::Name::kEscape:
      mode_ = Mode::kSeries;
      set_filter({});
      return Wish::kNothing;
    case Key::Name::kBackspace:
      remove_last_character(filter);
      break;
    case Key::Name::kCharacter:
      if (is_control(key, 'U')) {
        filter.clear();
      } else if (key.character >= U' ') {
        append_utf8(filter, key.character);
      }
      break;
    default:
      scroll_.move(key, rows_.size());
      return Wish::kNothing;
  }
  if (filter != filter_) set_filter(std::move(filter));
  return Wish::kNothing;
}

// A click on a row selects it, one on a column's head sorts by it.
LiveView::Wish LiveView::press_mouse(const Key& key) {
  const bool processes = mode_ == Mode::kProcesses;
  Scroll& scroll = processes ? process_scroll_ : scroll_;
  const std::size_t count = processes ? processes_.size() : rows_.size();
  if (key.name != Key::Name::kClick) {
    scroll.roll(key.name == Key::Name::kWheelDown, count);
    return Wish::kNothing;
  }
  if (places_.heading == key.line) {
    const auto column =
        std::ranges::find_if(places_.columns, [&](const Places::Column& one) { return key.cell < one.end; });
    if (column == places_.columns.end()) return Wish::kNothing;
    processes ? sort_processes_by(column->sort) : sort_by(column->sort);
    return Wish::kNothing;
  }
  if (key.line < places_.rows || key.line >= places_.rows + scroll.page) return Wish::kNothing;
  const std::size_t row = scroll.top + (key.line - places_.rows);
  if (row < count) scroll.selected = row;
  return Wish::kNothing;
}

void LiveView::change_delay(bool longer) {
  using namespace std::chrono_literals;
  constexpr std::array<std::chrono::nanoseconds, 9> kSteps{100ms, 200ms, 500ms, 1s, 2s, 5s, 10s, 30s, 60s};
  if (longer) {
    const auto* next = std::ranges::upper_bound(kSteps, delay_);
    if (next != kSteps.end()) delay_ = *next;
  } else {
    const auto* next = std::ranges::lower_bound(kSteps, delay_);
    if (next != kSteps.begin()) delay_ = *(next - 1);
  }
}

}  // namespace pollstats
