// The live view's lists of processes: of all, to choose from, and of those that have one series.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tools/pollstats/amount_text.h"
#include "tools/pollstats/distribution_spans.h"
#include "tools/pollstats/live_view.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/text_cells.h"

namespace pollstats {
namespace {

constexpr std::size_t kPidCells = 13;     // "[ ]" and a pid
constexpr std::size_t kStateCells = 17;   // with the age
constexpr std::size_t kPartCells = 9;     // of a number
constexpr std::size_t kWideList = 50;     // cells: where there is room for all of a process
constexpr std::size_t kWideParts = 64;    // the same and two numbers
constexpr std::size_t kLeastCommand = 8;  // cells
constexpr std::size_t kMostCommand = 30;
constexpr std::size_t kLeastCurve = 8;

std::string pid_text(const ProcessId& id) { return id.pid != 0 ? fmt::to_string(id.pid) : std::string("-"); }

}  // namespace

void LiveView::take(const std::vector<Process>& processes) {
  std::vector<ProcessRow> rows;
  rows.reserve(processes.size());
  for (const Process& process : processes) rows.push_back({process});
  take(std::move(rows));
}

void LiveView::take(std::vector<ProcessRow> processes) {
  // The cursor stays with its process, but is on the first one until it was moved.
  const auto selected =
      process_scroll_.selected < processes_.size() && (!processes_of_ || process_scroll_.selected > 0)
          ? std::optional(processes_[process_scroll_.selected].process.id)
          : std::nullopt;
  processes_ = std::move(processes);
  arrange_processes();
  const auto same =
      std::ranges::find_if(processes_, [&](const ProcessRow& row) { return selected == row.process.id; });
  if (same != processes_.end()) {
    process_scroll_.selected = static_cast<std::size_t>(same - processes_.begin());
  }
  process_scroll_.settle(processes_.size());
}

void LiveView::show_processes_of_selected() {
  if (rows_.empty()) return;
  const std::uint32_t index = rows_[scroll_.selected];
  SeriesChoice choice{index};
  if (labels_[index].distribution != kNoDistribution) choice.distribution = labels_[index].distribution;
  mode_ = Mode::kProcesses;
  processes_of_ = choice;
  process_sort_ = Sort::kWorst;
  processes_reversed_ = false;
  processes_.clear();
  marked_ = chosen_;
  process_scroll_ = {.page = process_scroll_.page};
}

// The cursor is on the series whose processes were shown.
void LiveView::leave_processes() {
  mode_ = Mode::kSeries;
  if (!processes_of_) return;
  const auto row = std::ranges::find(rows_, processes_of_->series);
  if (row != rows_.end()) scroll_.selected = static_cast<std::size_t>(row - rows_.begin());
  processes_of_.reset();
  processes_.clear();
}

void LiveView::sort_processes_by(Sort sort) {
  if (!processes_of_ || sort == Sort::kChange) return;
  processes_reversed_ = sort == process_sort_ && !processes_reversed_;
  process_sort_ = sort;
  process_scroll_.selected = process_scroll_.top = 0;
  arrange_processes();
}

// What rows are sorted by. The worst is the one that does most, or takes longest: a counter's has the highest
// rate, a histogram's the highest p99, another one's the highest value.
std::optional<double> LiveView::process_value(const ProcessRow& row) const {
  const bool counter = row.sample.kind == mmstats::Kind::kCounter;
  if (process_sort_ == Sort::kWorst && row.distribution) {
    const auto& interval = row.distribution->interval;
    return interval.count() > 0 ? std::optional(interval.percentile(99)) : std::nullopt;
  }
  if (process_sort_ == Sort::kRate || (process_sort_ == Sort::kWorst && counter)) return row.sample.rate;
  return row.sample.present ? std::optional(row.sample.value) : std::nullopt;
}

void LiveView::arrange_processes() {
  if (!processes_of_) return;  // they come in order
  const auto by_name = [](const ProcessRow& row) { return std::tie(row.process.command, row.process.id); };
  if (process_sort_ == Sort::kName) {
    std::ranges::sort(processes_, {}, by_name);
    if (processes_reversed_) std::ranges::reverse(processes_);
    return;
  }
  const auto place = [&](const ProcessRow& row) {
    const auto value = process_value(row);
    if (!value || std::isnan(*value)) return std::numeric_limits<double>::infinity();
    return processes_reversed_ ? *value : -*value;
  };
  // What is no number, as the rest of two infinite ones, has an order, too: the sort would run out of the
  // list.
  const auto known = [](const ProcessRow& row) {
    return std::isnan(row.sample.value) ? -std::numeric_limits<double>::infinity() : row.sample.value;
  };
  std::ranges::sort(processes_, [&](const ProcessRow& a, const ProcessRow& b) {
    const double first = place(a);
    const double second = place(b);
    if (first != second) return first < second;
    // Before there are rates, and among those without: by what they have.
    if (known(a) != known(b)) return known(a) > known(b);
    return by_name(a) < by_name(b);
  });
}

LiveView::Wish LiveView::press_in_processes(const Key& key) {
  if (process_scroll_.move(key, processes_.size())) return Wish::kNothing;
  const auto choose = [&](std::set<ProcessId> chosen) {
    leave_processes();
    if (chosen == chosen_) return Wish::kNothing;
    chosen_ = std::move(chosen);
    return Wish::kChoose;
  };
  const Process* under_cursor =
      process_scroll_.selected < processes_.size() ? &processes_[process_scroll_.selected].process : nullptr;
  if (key.name == Key::Name::kEscape) leave_processes();
  if (key.name == Key::Name::kEnter && under_cursor != nullptr) {
    return choose(marked_.empty() ? std::set{under_cursor->id} : marked_);
  }
  if (key.name != Key::Name::kCharacter) return Wish::kNothing;
  switch (key.character) {
    case U'q':
    case U'p':
      leave_processes();
      break;
    case U'a':
      return choose({});
    case U'n':
      sort_processes_by(Sort::kName);
      break;
    case U'v':
      sort_processes_by(Sort::kValue);
      break;
    case U'r':
      sort_processes_by(Sort::kRate);
      break;
    case U'w':
      sort_processes_by(Sort::kWorst);
      break;
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

void LiveView::compose_processes(Screen& screen, std::size_t width, std::size_t height) {
  const bool with_help = height >= 2;
  const bool with_title = height >= 4;
  const bool with_heading = height >= 5;
  const bool with_detail = processes_of_ && height >= 8;
  process_scroll_.page =
      height - (with_help ? 1 : 0) - (with_title ? 1 : 0) - (with_heading ? 1 : 0) - (with_detail ? 1 : 0);
  process_scroll_.settle(processes_.size());
  const ProcessShape shape = process_shape(width);
  if (with_title) screen.lines.push_back(process_title(width));
  if (with_heading) {
    places_.heading = screen.lines.size();
    screen.lines.push_back(process_heading(shape, width));
  }
  places_.rows = screen.lines.size();
  const std::string empty = processes_of_ ? "No process has it now." : "No file says whose it is.";
  for (std::size_t at = process_scroll_.top; at < process_scroll_.top + process_scroll_.page; ++at) {
    if (at < processes_.size()) {
      screen.lines.push_back(process_row(processes_[at], shape, at == process_scroll_.selected, width));
    } else {
      screen.lines.push_back({{Style::kDim, at == 0 ? empty : std::string()}});
    }
  }
  if (with_detail) screen.lines.push_back(detail(width, processes_of_->series));
  if (with_help) screen.lines.push_back(keys_line(width));
}

LiveView::Line LiveView::process_title(std::size_t width) const {
  const std::string count = counted(processes_.size(), processes_.size() == 1 ? "process" : "processes");
  if (!processes_of_) {
    return {{Style::kTitle, "pollstats"},
            {Style::kPlain, "  " + count},
            {Style::kDim, "  Whose files are to count?"}};
  }
  const Span right = paused_ ? Span{Style::kAlert, "PAUSED"} : Span{Style::kTitle, facts_.clock};
  const std::size_t taken = 9 + 2 + 2 + count.size() + 2 + cells(right.text);
  const std::string label =
      outer_cells(whole_label(processes_of_->series), width - std::min(width, taken), mark());
  const std::size_t used = taken - 2 + cells(label);
  return {{Style::kTitle, "pollstats"},
          {Style::kNumber, "  " + label},
          {Style::kPlain, "  " + count},
          {Style::kPlain, std::string(width - std::min(width, used), ' ')},
          right};
}

LiveView::ProcessShape LiveView::process_shape(std::size_t width) const {
  ProcessShape shape;
  shape.wide = width >= (processes_of_ ? kWideParts : kWideList);
  if (!processes_of_) return shape;
  std::size_t left = width - std::min(width, kPidCells + (shape.wide ? kStateCells + 1 : 1));
  const auto column = [&](std::size_t cells) {
    left -= std::min(left, cells + 1);
    return cells;
  };
  if (!shape.wide) {
    if (left > kPartCells) shape.now = column(kPartCells);
    shape.command = left;
    return shape;
  }
  shape.value = column(kPartCells);
  shape.rate = column(kPartCells);
  std::size_t widest = kLeastCommand;
  for (const ProcessRow& row : processes_)
    widest = std::max(widest, cells(shown(row.process.command, unicode_)));
  shape.command = std::min({widest, kMostCommand, left});
  left -= shape.command;
  if (left < kLeastCurve + 1 && shape.command > kLeastCommand) {
    const std::size_t given = std::min(shape.command - kLeastCommand, kLeastCurve + 1 - left);
    shape.command -= given;
    left += given;
  }
  if (left > kLeastCurve) shape.curve = std::min(left - 1, kHistory);
  return shape;
}

LiveView::Line LiveView::process_heading(const ProcessShape& shape, std::size_t width) {
  if (!processes_of_) {
    return {{Style::kHeading, left_aligned(shape.wide ? "          PID STATE        AGE  FILES COMMAND"
                                                      : "          PID COMMAND",
                                           width)}};
  }
  std::string line = "          PID ";
  if (shape.wide) line += "STATE        AGE ";
  const auto name = [&](std::string_view text, Sort sort) {
    const bool histogram = processes_of_->distribution.has_value();
    const bool counter = series_[processes_of_->series].kind == mmstats::Kind::kCounter;
    const Sort worst = histogram ? Sort::kChange : counter ? Sort::kRate : Sort::kValue;
    return head(text, sort, process_sort_ == Sort::kWorst ? worst : process_sort_, processes_reversed_);
  };
  const auto add_name = [&](std::size_t cells) {
    line += left_aligned(first_cells(name("COMMAND", Sort::kName), cells), cells);
    places_.columns.push_back({line.empty() ? 0 : pollstats::cells(line), Sort::kName});
  };
  const auto add = [&](std::size_t cells, std::string_view text, Sort sort) {
    if (cells == 0) return;
    line += ' ' + right_aligned(name(text, sort), cells);
    places_.columns.push_back({pollstats::cells(line), sort});
  };
  add_name(shape.command);
  add(shape.now, "NOW", Sort::kWorst);
  add(shape.value, "VALUE", Sort::kValue);
  add(shape.rate, "RATE/s", Sort::kRate);
  if (shape.curve > 0) {
    const std::string_view text = processes_of_->distribution ? "PERCENTILES" : "HISTORY";
    line += ' ' + left_aligned(name(text, Sort::kChange), shape.curve);
    if (processes_of_->distribution) places_.columns.push_back({cells(line), Sort::kWorst});
  }
  return {{Style::kHeading, line}};
}

LiveView::Line LiveView::process_row(const ProcessRow& row, const ProcessShape& shape, bool selected,
                                     std::size_t width) const {
  const Process& process = row.process;
  const bool alive = process.state == mmstats::OwnerState::kAlive;
  std::string text =
      fmt::format("[{}] {:>9}", marked_.contains(process.id) ? 'x' : ' ', pid_text(process.id));
  if (shape.wide) {
    text += fmt::format(" {:<7} {:>8}", to_string(process.state),
                        process.created > 0 ? duration_text(facts_.time - process.created) : "-");
    if (!processes_of_) text += fmt::format(" {:>6}", process.files);
  }
  text += ' ';
  const std::string command = shown(process.command, unicode_);
  if (!processes_of_) {
    const Style style = selected ? Style::kSelected : alive ? Style::kPlain : Style::kDim;
    return {{style, left_aligned(text + command, width)}};
  }
  text += left_aligned(first_cells(command, shape.command), shape.command);
  Line line{{alive ? Style::kPlain : Style::kDim, text}};
  const Sample& sample = row.sample;
  const auto unit = unit_of(processes_of_->series);
  const auto add = [&](std::size_t cells, const std::string& number) {
    add_cell(line, cells, alive ? Style::kNumber : Style::kDim, sample.present ? number : "-");
  };
  add(shape.now, shown_now(sample, unit, shape.now));
  add(shape.value, shown_value(sample, unit, shape.value));
  add(shape.rate, sample.rate ? rate_text(*sample.rate, unit, shape.rate, unicode_) : std::string());
  if (row.distribution && shape.curve > 0) {
    for (Span& span : distribution_spans(*row.distribution, shape.curve + 1, unicode_))
      line.push_back(std::move(span));
  } else {
    add_curve(line, shape.curve, row.past);
  }
  if (!selected) return line;
  std::string whole;
  for (const Span& span : line) whole += span.text;
  return {{Style::kSelected, left_aligned(whole, width)}};
}

}  // namespace pollstats
