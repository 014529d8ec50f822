// What the live view shows.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mmstats/metadata.h"
#include "tools/pollstats/distribution_spans.h"
#include "tools/pollstats/live_view.h"
#include "tools/pollstats/number_text.h"
#include "tools/pollstats/sparkline.h"
#include "tools/pollstats/text_cells.h"

namespace pollstats {
namespace {

using mmstats::Kind;

constexpr std::size_t kNumberWidth = 11;
constexpr std::size_t kNowWidth = 9;
constexpr std::size_t kShortestCurve = 12;
constexpr std::size_t kUsualLabel = 16;  // as long as there is no longer one

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

}  // namespace

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
      screen.lines.push_back({{Style::kDim, why_empty()}});
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

std::string LiveView::why_empty() const {
  if (samples_ == nullptr) return {};
  if (!filter_.empty()) return "No series passes the filter; Esc clears it.";
  if (facts_.files == 0) return "No mmstats files here yet.";
  if (where_.empty()) return "The files hold no values over time.";
  return fmt::format("No series has {}{}{}.", shown(where_, unicode_), facts_.unknown.empty() ? "" : ": ",
                     facts_.unknown);
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
  const auto say_chosen = [&](std::string_view what, std::string_view text) {
    say(first_cells(fmt::format("{} {}", what, shown(text, unicode_)), 30), Style::kNumber);
  };
  if (by_ && by_->empty()) say("all together", Style::kNumber);
  if (by_ && !by_->empty()) say_chosen("by", text_of(*by_));
  if (!where_.empty()) say_chosen("where", where_);
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
  static constexpr std::string_view kGroupKey = "b";
  static constexpr std::array<Entry, 7> kSeries{{{"q", "Quit"},
                                                 {"/", "Filter"},
                                                 {"n v r c", "Sort"},
                                                 {kGroupKey, "Group"},
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
    if (keys == kGroupKey && dimensions_.empty()) continue;
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
  std::string about = std::string(to_string(series_[index].kind));
  std::string_view unit = series_[index].unit;
  std::string_view help = series_[index].help;
  std::string whole = labels_[index].text;
  const auto name_family = [&](const auto& one) {
    if (!one.family.empty()) whole = full_text(one.family, one.dimensions);
  };
  name_family(series_[index]);
  if (const auto number = labels_[index].distribution; number != kNoDistribution) {
    const mmstats::Distribution& distribution = *distributions_[number];
    const std::string numbers = distribution_text(distribution);
    about = numbers + (numbers.empty() ? "histogram" : "; histogram");
    unit = distribution.unit;
    help = distribution.help;
    name_family(distribution);
  }
  if (!unit.empty()) about += ", " + shown(unit, unicode_);
  if (!help.empty()) about += ": " + shown(help, unicode_);
  const std::string label =
      outer_cells(whole, width - std::min(width, 2 + std::min<std::size_t>(width / 2, cells(about))), mark());
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
  const bool is_usual = labels_[index].distribution == kNoDistribution;
  add(is_usual ? shape.change : 0, Style::kNumber,
      samples_->scans() > 1 && sample.change ? calm_text(*sample.change, shape.change) : "");
  if (!is_usual) {
    const std::size_t room =
        (shape.change > 0 ? shape.change + 1 : 0) + (shape.curve > 0 ? shape.curve + 1 : 0);
    for (Span& span : distribution_spans(*distributions_[labels_[index].distribution], room, unicode_))
      line.push_back(std::move(span));
  } else if (shape.curve > 0) {
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
