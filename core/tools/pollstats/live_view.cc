#include "tools/pollstats/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <ranges>

#include "mmstats/metadata.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/sparkline.h"
#include "tools/pollstats/text_cells.h"

namespace pollstats {
namespace {

using mmstats::Kind;

constexpr char32_t kControl = 0x1F;  // Ctrl and a letter give the letter's low five bits
constexpr std::size_t kNumberWidth = 11;
constexpr std::size_t kNowWidth = 9;
constexpr std::size_t kShortestCurve = 12;
constexpr std::size_t kUsualLabel = 16;  // as long as there is no longer one

bool is_control(const Key& key, char letter) {
  return key.name == Key::Name::kCharacter && key.character == (static_cast<char32_t>(letter) & kControl);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool contains(std::string_view text, std::string_view lowered_word) {
  return lowered_word.empty() ||
         std::search(text.begin(), text.end(), lowered_word.begin(), lowered_word.end(),
                     [](char a, char b) { return lower(a) == b; }) != text.end();
}

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
  while (!utf8.empty() && (static_cast<unsigned char>(utf8.back()) & 0xC0U) == 0x80) utf8.pop_back();
  if (!utf8.empty()) utf8.pop_back();
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", calm_text(std::uint64_t{count}, std::string::npos), what,
                     count == 1 || what.ends_with('s') ? "" : "s");
}

std::size_t width_of(const std::vector<Span>& line) {
  return std::accumulate(line.begin(), line.end(), std::size_t{0},
                         [](std::size_t sum, const Span& span) { return sum + cells(span.text); });
}

// Cut at its end.
void fit(std::vector<Span>& line, std::size_t width) {
  for (auto span = line.begin(); span != line.end(); ++span) {
    const std::size_t used = cells(span->text);
    if (used <= width) {
      width -= used;
      continue;
    }
    span->text = first_cells(span->text, width);
    line.erase(span + 1, line.end());
    return;
  }
}

std::optional<double> sort_value(const Sample& sample, LiveView::Sort sort) {
  switch (sort) {
    case LiveView::Sort::kValue:
      return sample.value;
    case LiveView::Sort::kRate:
      return sample.rate;
    default:
      return sample.change;
  }
}

}  // namespace

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

void Scroll::settle(std::size_t count) {
  selected = std::min(selected, count - std::min<std::size_t>(count, 1));
  top = std::min(top, count - std::min(count, page));
  if (selected < top) top = selected;
  if (selected >= top + page) top = selected - page + 1;
}

// ---- what there is

void LiveView::take(std::span<const mmstats::Series> series, const Samples& samples, Facts facts) {
  series_ = series;
  samples_ = &samples;
  facts_ = std::move(facts);
  if (!facts_.complaint.empty()) complaint_ = shown(facts_.complaint, unicode_);
  add_labels();
  arrange();
}

void LiveView::begin_anew() {
  series_ = {};
  samples_ = nullptr;
  labels_.clear();
  rows_.clear();
  scroll_ = {.page = scroll_.page};
}

void LiveView::take(const std::vector<Process>& processes) {
  // The cursor stays with its process.
  const auto selected = process_scroll_.selected < processes_.size()
                            ? std::optional(processes_[process_scroll_.selected].id)
                            : std::nullopt;
  processes_ = processes;
  if (const auto same = std::ranges::find(processes_, selected, &Process::id); same != processes_.end()) {
    process_scroll_.selected = static_cast<std::size_t>(same - processes_.begin());
  }
  process_scroll_.settle(processes_.size());
}

void LiveView::add_labels() {
  if (labels_.size() == series_.size()) return;
  for (std::size_t i = labels_.size(); i < series_.size(); ++i) {
    Label label;
    label.text = shown(std::string_view(series_[i].name).substr(prefix_), unicode_);
    label.cells = cells(label.text);
    label.passes = passes(label.text);
    labels_.push_back(std::move(label));
  }
  std::vector<std::uint32_t> order(labels_.size());
  std::iota(order.begin(), order.end(), 0);
  // As people count: worker9 before worker10.
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return ::strverscmp(labels_[a].text.c_str(), labels_[b].text.c_str()) < 0;
  });
  for (std::size_t rank = 0; rank < order.size(); ++rank) labels_[order[rank]].rank = rank;
}

void LiveView::set_filter(std::string filter) {
  filter_ = std::move(filter);
  words_.clear();
  wild_.clear();
  for (std::string_view rest = filter_; !rest.empty();) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    const auto word = rest.substr(0, blank);
    rest.remove_prefix(std::min(rest.size(), blank + 1));
    // One that is too much for the matcher, or not complete yet, is taken as plain text.
    auto pattern = has_wildcard(word) ? FieldPattern::compile(fmt::format("*{}*", word))
                                      : mmstats::Expected<FieldPattern>(tl::unexpected(mmstats::Error{}));
    if (pattern) {
      wild_.push_back(std::move(*pattern));
    } else {
      words_.push_back(lowered(word));
    }
  }
  for (Label& label : labels_) label.passes = passes(label.text);
  scroll_.selected = scroll_.top = 0;
  arrange();
}

bool LiveView::passes(std::string_view label) const {
  return std::ranges::all_of(words_, [&](const std::string& word) { return contains(label, word); }) &&
         std::ranges::all_of(wild_, [&](const FieldPattern& pattern) { return pattern.matches(label); });
}

// Which series are shown, and in what order.
void LiveView::arrange() {
  rows_.clear();
  widest_ = 0;
  if (samples_ == nullptr) return;
  const auto samples = samples_->all();
  for (std::uint32_t i = 0; i < labels_.size(); ++i) {
    if (!samples[i].present || !labels_[i].passes) continue;
    rows_.push_back(i);
    widest_ = std::max(widest_, labels_[i].cells);
  }
  if (sort_ == Sort::kName) {
    std::ranges::sort(rows_, {}, [&](std::uint32_t i) { return labels_[i].rank; });
    if (reversed_) std::ranges::reverse(rows_);
  } else {
    // The largest first; series without that number last, whichever way it goes.
    struct Place {
      double value;
      std::size_t rank;
      std::uint32_t series;
    };
    std::vector<Place> places;
    places.reserve(rows_.size());
    for (const auto i : rows_) {
      const double value = sort_value(samples[i], sort_).value_or(std::numeric_limits<double>::quiet_NaN());
      places.push_back({std::isnan(value) ? -std::numeric_limits<double>::infinity()
                        : reversed_       ? -value
                                          : value,
                        labels_[i].rank, i});
    }
    std::ranges::sort(places, [](const Place& a, const Place& b) {
      return a.value != b.value ? a.value > b.value : a.rank < b.rank;
    });
    std::ranges::transform(places, rows_.begin(), &Place::series);
  }
  scroll_.settle(rows_.size());
}

void LiveView::sort_by(Sort sort) {
  reversed_ = sort == sort_ && !reversed_;
  sort_ = sort;
  scroll_.selected = scroll_.top = 0;
  arrange();
}

// ---- keys

LiveView::Wish LiveView::press(const Key& key) {
  complaint_.clear();
  if (key.name == Key::Name::kGone || is_control(key, 'C') || is_control(key, 'D')) return Wish::kLeave;
  if (is_control(key, 'Z')) return Wish::kSuspend;
  if (is_control(key, 'L')) return Wish::kRepaint;
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
    case U'p':
      mode_ = Mode::kProcesses;
      marked_ = chosen_;
      process_scroll_ = {.page = process_scroll_.page};
      break;
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

LiveView::Wish LiveView::press_in_processes(const Key& key) {
  if (process_scroll_.move(key, processes_.size())) return Wish::kNothing;
  const auto choose = [&](std::set<ProcessId> chosen) {
    mode_ = Mode::kSeries;
    if (chosen == chosen_) return Wish::kNothing;
    chosen_ = std::move(chosen);
    return Wish::kChoose;
  };
  const Process* under_cursor =
      process_scroll_.selected < processes_.size() ? &processes_[process_scroll_.selected] : nullptr;
  if (key.name == Key::Name::kEscape) mode_ = Mode::kSeries;
  if (key.name == Key::Name::kEnter && under_cursor != nullptr) {
    return choose(marked_.empty() ? std::set{under_cursor->id} : marked_);
  }
  if (key.name != Key::Name::kCharacter) return Wish::kNothing;
  switch (key.character) {
    case U'q':
    case U'p':
      mode_ = Mode::kSeries;
      break;
    case U'a':
      return choose({});
    case U' ':
      if (under_cursor == nullptr) break;
      if (marked_.erase(under_cursor->id) == 0) marked_.insert(under_cursor->id);
      ++process_scroll_.selected;
      process_scroll_.settle(processes_.size());
      break;
    default:
      break;
  }
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

// ---- what is shown

Screen LiveView::compose(std::size_t width, std::size_t height) {
  Screen screen;
  if (mode_ == Mode::kProcesses) {
    compose_processes(screen, width, height);
  } else {
    compose_series(screen, width, height);
  }
  for (auto& line : screen.lines) fit(line, width);
  return screen;
}

void LiveView::compose_series(Screen& screen, std::size_t width, std::size_t height) {
  // What is left out first where there is little room comes last here.
  const bool with_help = height >= 2;
  const bool with_title = height >= 4;
  const bool with_heading = height >= 5;
  const bool with_detail = height >= 8;
  scroll_.page =
      height - (with_help ? 1 : 0) - (with_title ? 1 : 0) - (with_heading ? 1 : 0) - (with_detail ? 1 : 0);
  scroll_.settle(rows_.size());

  const Shape columns = shape(width);
  if (with_title) screen.lines.push_back(title(width));
  if (with_heading) screen.lines.push_back(heading(columns));
  for (std::size_t at = scroll_.top; at < scroll_.top + scroll_.page; ++at) {
    if (at < rows_.size()) {
      screen.lines.push_back(row(rows_[at], columns, at == scroll_.selected));
    } else if (at == 0) {
      const std::string_view why = samples_ == nullptr ? ""
                                   : !filter_.empty()  ? "No series passes the filter; Esc clears it."
                                   : facts_.files == 0 ? "No mmstats files here yet."
                                                       : "The files hold no values over time.";
      screen.lines.push_back({{Style::kDim, std::string(why)}});
    } else {
      screen.lines.emplace_back();
    }
  }
  if (with_detail) screen.lines.push_back(detail(width));
  if (!with_help) return;
  if (mode_ != Mode::kFilter) {
    screen.lines.push_back(help(width));
    return;
  }
  const std::string typed =
      last_cells(shown(filter_, unicode_), width - std::min<std::size_t>(width, 9), mark());
  screen.cursor = {screen.lines.size(), 8 + cells(typed)};
  Line line{{Style::kKey, "Filter: "}, {Style::kPlain, typed}};
  if (width_of(line) + 35 < width) line.push_back({Style::kDim, "    Enter keeps it, Esc clears it"});
  screen.lines.push_back(std::move(line));
}

LiveView::Line LiveView::title(std::size_t width) const {
  const Span right = paused_ ? Span{Style::kAlert, "PAUSED"} : Span{Style::kTitle, facts_.clock};
  Line line{{Style::kTitle, "pollstats"}};
  std::size_t used = 9;
  const std::size_t room = width - std::min(width, cells(right.text) + 2);
  // The first that has no room ends the list.
  bool full = false;
  const auto say = [&](std::string text, Style style = Style::kPlain) {
    const std::size_t more = cells(text) + 2;
    full = full || used + more > room;
    if (full) return;
    used += more;
    line.push_back({Style::kPlain, "  "});
    line.push_back({style, std::move(text)});
  };
  if (facts_.failed > 0) say(counted(facts_.failed, "problem"), Style::kAlert);
  if (!chosen_.empty())
    say(counted(chosen_.size(), chosen_.size() == 1 ? "process" : "processes"), Style::kNumber);
  if (!filter_.empty() && mode_ != Mode::kFilter) {
    say(first_cells("/" + shown(filter_, unicode_), 24), Style::kNumber);
  }
  say(counted(rows_.size(), "series"));
  say(counted(facts_.files, "file") + (facts_.dead > 0 ? fmt::format(" ({} of the dead)", facts_.dead) : ""));
  say(fmt::format("every {} s", number_text(std::chrono::duration<double>(delay_).count())));
  const std::size_t blanks = width - std::min(width, used + cells(right.text));
  line.push_back({Style::kPlain, std::string(blanks, ' ')});
  line.push_back(right);
  return line;
}

LiveView::Line LiveView::help(std::size_t width) const {
  using Entry = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Entry, 6> kSeries{{{"q", "Quit"},
                                                 {"/", "Filter"},
                                                 {"n v r c", "Sort"},
                                                 {"p", "Processes"},
                                                 {"Space", "Pause"},
                                                 {"- +", "Delay"}}};
  static constexpr std::array<Entry, 4> kProcesses{
      {{"Enter", "Watch these"}, {"Space", "Mark"}, {"a", "All"}, {"Esc", "Back"}}};
  const std::span<const Entry> entries =
      mode_ == Mode::kProcesses ? std::span<const Entry>(kProcesses) : std::span<const Entry>(kSeries);
  Line line;
  std::size_t used = 0;
  for (const auto& [keys, what] : entries) {
    const std::size_t gap = line.empty() ? 0 : 2;
    const std::size_t more = gap + keys.size() + 1 + what.size();
    if (used + more > width) break;
    used += more;
    line.push_back({Style::kPlain, std::string(gap, ' ')});
    line.push_back({Style::kKey, std::string(keys)});
    line.push_back({Style::kPlain, fmt::format(" {}", what)});
  }
  return line;
}

// Of the series under the cursor: what its row has no room for.
LiveView::Line LiveView::detail(std::size_t width) const {
  if (!complaint_.empty()) return {{Style::kAlert, outer_cells(complaint_, width, mark())}};
  if (rows_.empty()) return {};
  const std::uint32_t index = rows_[scroll_.selected];
  const mmstats::Series& series = series_[index];
  std::string about = std::string(to_string(series.kind));
  if (!series.unit.empty()) about += ", " + shown(series.unit, unicode_);
  if (!series.help.empty()) about += ": " + shown(series.help, unicode_);
  const std::string label =
      outer_cells(labels_[index].text,
                  width - std::min(width, 2 + std::min<std::size_t>(width / 2, cells(about))), mark());
  return {{Style::kPlain, label}, {Style::kDim, "  " + about}};
}

LiveView::Shape LiveView::shape(std::size_t width) const {
  Shape shape;
  std::size_t left = width;
  const auto column = [&](std::size_t wanted) {
    left -= wanted + 1;
    return wanted;
  };
  if (width < 40) {
    if (width > kNowWidth + 4) shape.now = column(kNowWidth);
    shape.label = left;
    return shape;
  }
  shape.value = column(kNumberWidth);
  shape.rate = column(kNumberWidth);
  const std::size_t label = std::max(widest_, kUsualLabel);
  if (left >= label + kNumberWidth + 1 + kShortestCurve + 1) shape.change = column(kNumberWidth);
  if (left >= kUsualLabel + kShortestCurve + 1) {
    const std::size_t most = left > label + kShortestCurve + 1 ? left - label - 1 : kShortestCurve;
    shape.curve = column(std::min(most, kHistory));
  }
  shape.label = std::min(left, label);
  return shape;
}

LiveView::Line LiveView::heading(const Shape& shape) const {
  const auto name = [&](std::string_view text, Sort sort) {
    std::string out(text);
    if (sort == sort_) {
      const bool up = (sort == Sort::kName) != reversed_;
      out += unicode_ ? (up ? "▲" : "▼") : (up ? "^" : "v");
    }
    return out;
  };
  std::string line = left_aligned(first_cells(name("LABEL", Sort::kName), shape.label), shape.label);
  const auto add = [&](std::size_t width, const std::string& text) {
    if (width > 0) line += ' ' + right_aligned(text, width);
  };
  add(shape.now, name("NOW", sort_ == Sort::kRate ? Sort::kRate : Sort::kValue));
  add(shape.value, name("VALUE", Sort::kValue));
  add(shape.rate, name("RATE/s", Sort::kRate));
  add(shape.change, name("CHANGE", Sort::kChange));
  if (shape.curve > 0) line += ' ' + left_aligned("HISTORY", shape.curve);
  return {{Style::kHeading, line}};
}

std::string LiveView::value_text(const Sample& sample, std::size_t width) const {
  if (sample.whole) return calm_text(sample.total, width);
  if (sample.kind == Kind::kTimestamp && sample.value > 0) {
    const double ago = facts_.time - sample.value;
    return ago >= 0 ? duration_text(ago) + " ago" : "in " + duration_text(-ago);
  }
  return calm_text(sample.value, width);
}

LiveView::Line LiveView::row(std::size_t index, const Shape& shape, bool selected) const {
  const Sample& sample = samples_->all()[index];
  Line line;
  const auto add = [&](std::size_t width, Style style, const std::string& text) {
    if (width == 0) return;
    // What moves stands out.
    if (text == "0" || text == "0/s") style = Style::kDim;
    line.push_back({style, ' ' + right_aligned(text, width)});
  };
  line.push_back(
      {Style::kPlain, left_aligned(outer_cells(labels_[index].text, shape.label, mark()), shape.label)});
  const auto rate_text = [&](std::size_t width) {
    return sample.rate ? calm_text(*sample.rate, width) : std::string();
  };
  const bool counter = sample.kind == Kind::kCounter;
  add(shape.now, Style::kNumber,
      counter ? (sample.rate ? calm_text(*sample.rate, shape.now - 2) + "/s" : "")
              : value_text(sample, shape.now));
  add(shape.value, Style::kNumber, value_text(sample, shape.value));
  add(shape.rate, Style::kNumber, rate_text(shape.rate));
  add(shape.change, Style::kNumber,
      samples_->scans() > 1 && sample.change ? calm_text(*sample.change, shape.change) : "");
  if (shape.curve > 0) {
    std::array<float, kHistory> past{};
    // It grows to the right as long as there is room. At the first scan there was no rate.
    const auto used = std::span(past).first(std::min<std::size_t>(shape.curve, samples_->scans() - 1));
    samples_->history(index, used);
    line.push_back({Style::kCurve, ' ' + left_aligned(sparkline(used, unicode_), shape.curve)});
  }
  if (!selected) return line;
  std::string whole;
  for (const Span& span : line) whole += span.text;
  return {{Style::kSelected, whole}};
}

void LiveView::compose_processes(Screen& screen, std::size_t width, std::size_t height) {
  const bool with_help = height >= 2;
  const bool with_title = height >= 4;
  const bool with_heading = height >= 5;
  const bool wide = width >= 50;
  process_scroll_.page = height - (with_help ? 1 : 0) - (with_title ? 1 : 0) - (with_heading ? 1 : 0);
  process_scroll_.settle(processes_.size());
  if (with_title) {
    screen.lines.push_back(
        {{Style::kTitle, "pollstats"},
         {Style::kPlain, "  " + counted(processes_.size(), processes_.size() == 1 ? "process" : "processes")},
         {Style::kDim, "  Whose files are to count?"}});
  }
  if (with_heading) {
    screen.lines.push_back(
        {{Style::kHeading,
          left_aligned(wide ? "          PID STATE        AGE  FILES COMMAND" : "          PID COMMAND",
                       width)}});
  }
  for (std::size_t at = process_scroll_.top; at < process_scroll_.top + process_scroll_.page; ++at) {
    if (at >= processes_.size()) {
      screen.lines.push_back(
          {{Style::kDim, at == 0 ? std::string("No file says whose it is.") : std::string()}});
      continue;
    }
    const Process& process = processes_[at];
    std::string text = fmt::format("[{}] {:>9}", marked_.contains(process.id) ? 'x' : ' ',
                                   process.id.pid != 0 ? fmt::to_string(process.id.pid) : std::string("-"));
    if (wide) {
      text += fmt::format(" {:<7} {:>8} {:>6}", to_string(process.state),
                          process.created > 0 ? duration_text(facts_.time - process.created) : "-",
                          process.files);
    }
    text += ' ' + shown(process.command, unicode_);
    const Style style = at == process_scroll_.selected                 ? Style::kSelected
                        : process.state == mmstats::OwnerState::kAlive ? Style::kPlain
                                                                       : Style::kDim;
    screen.lines.push_back({{style, left_aligned(text, width)}});
  }
  if (with_help) screen.lines.push_back(help(width));
}

}  // namespace pollstats
