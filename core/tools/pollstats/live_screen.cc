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
#include "tools/pollstats/amount_text.h"
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
  places_ = {};
  if (help_) {
    compose_help(screen, width, height);
  } else if (mode_ == Mode::kProcesses) {
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
  if (with_heading) {
    places_.heading = screen.lines.size();
    screen.lines.push_back(heading(columns));
  }
  places_.rows = screen.lines.size();
  for (std::size_t at = scroll_.top; at < scroll_.top + scroll_.page; ++at) {
    if (at < rows_.size()) {
      screen.lines.push_back(row(rows_[at], columns, at == scroll_.selected));
    } else if (at == 0) {
      screen.lines.push_back({{Style::kDim, why_empty()}});
    } else {
      screen.lines.emplace_back();
    }
  }
  if (with_detail) {
    screen.lines.push_back(!complaint_.empty() ? Line{{Style::kAlert, outer_cells(complaint_, width, mark())}}
                           : rows_.empty()     ? Line()
                                               : detail(width, rows_[scroll_.selected]));
  }
  if (!with_help) return;
  if (mode_ != Mode::kFilter) {
    screen.lines.push_back(keys_line(width));
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

// Of a family with its dimensions.
std::string LiveView::whole_label(std::uint32_t index) const {
  if (const auto number = labels_[index].distribution; number != kNoDistribution) {
    const mmstats::Distribution& distribution = *distributions_[number];
    if (!distribution.family().empty()) return full_text(distribution.family(), distribution.dimensions());
  }
  const mmstats::Series& series = series_[index];
  return series.family().empty() ? labels_[index].text : full_text(series.family(), series.dimensions());
}

// What the row of a series has no room for.
LiveView::Line LiveView::detail(std::size_t width, std::uint32_t index) const {
  std::string about = std::string(to_string(series_[index].kind));
  std::string_view unit = series_[index].unit();
  std::string_view help = series_[index].help();
  const std::string whole = whole_label(index);
  if (const auto number = labels_[index].distribution; number != kNoDistribution) {
    const mmstats::Distribution& distribution = *distributions_[number];
    const std::string numbers = distribution_text(distribution, unicode_);
    about = numbers + (numbers.empty() ? "histogram" : "; histogram");
    unit = distribution.unit();
    help = distribution.help();
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

std::string LiveView::head(std::string_view text, Sort sort, Sort sorted, bool reversed) const {
  if (sort != sorted) return std::string(text);
  const bool up = (sort == Sort::kName) != reversed;
  return std::string(text) + (unicode_ ? (up ? "▲" : "▼") : (up ? "^" : "v"));
}

LiveView::Line LiveView::heading(const Shape& shape) {
  const std::string label = head("LABEL", Sort::kName, sort_, reversed_);
  std::string line = left_aligned(first_cells(label, shape.label), shape.label);
  places_.columns.push_back({shape.label, Sort::kName});
  const auto add = [&](std::size_t width, std::string_view text, Sort sort) {
    if (width == 0) return;
    line += ' ' + right_aligned(head(text, sort, sort_, reversed_), width);
    places_.columns.push_back({places_.columns.back().end + 1 + width, sort});
  };
  add(shape.now, "NOW", sort_ == Sort::kRate ? Sort::kRate : Sort::kValue);
  add(shape.value, "VALUE", Sort::kValue);
  add(shape.rate, "RATE/s", Sort::kRate);
  add(shape.change, "CHANGE", Sort::kChange);
  if (shape.curve > 0) line += ' ' + left_aligned("HISTORY", shape.curve);
  return {{Style::kHeading, line}};
}

std::string_view LiveView::unit_of(std::uint32_t index) const {
  return labels_[index].distribution == kNoDistribution ? std::string_view(series_[index].unit())
                                                        : std::string_view();
}

std::string LiveView::shown_value(const Sample& sample, std::string_view unit, std::size_t width) const {
  if (!sample.whole && sample.kind == Kind::kTimestamp && sample.value > 0) {
    const double ago = facts_.time - sample.value;
    return ago >= 0 ? duration_text(ago) + " ago" : "in " + duration_text(-ago);
  }
  return value_text(sample, unit, width, unicode_);
}

// Where there is room for one number: what moves.
std::string LiveView::shown_now(const Sample& sample, std::string_view unit, std::size_t width) const {
  if (sample.kind != Kind::kCounter) return shown_value(sample, unit, width);
  return sample.rate ? rate_text(*sample.rate, unit, width - 2, unicode_) + "/s" : std::string();
}

void LiveView::add_cell(Line& line, std::size_t width, Style style, const std::string& text) {
  if (width == 0) return;
  // What moves stands out.
  for (const std::string_view nothing : {"0", "0/s", "0 B", "0 B/s", "0 s", "0%"}) {
    if (text == nothing) style = Style::kDim;
  }
  line.push_back({style, ' ' + right_aligned(text, width)});
}

void LiveView::add_curve(Line& line, std::size_t width, std::span<const float> past) const {
  if (width == 0) return;
  const auto used = past.last(std::min(width, past.size()));
  line.push_back({Style::kCurve, ' ' + left_aligned(sparkline(used, unicode_), width)});
}

LiveView::Line LiveView::row(std::size_t index, const Shape& shape, bool selected) const {
  const Sample& sample = samples_->all()[index];
  const std::string_view unit = unit_of(static_cast<std::uint32_t>(index));
  Line line;
  line.push_back(
      {Style::kPlain, left_aligned(outer_cells(labels_[index].text, shape.label, mark()), shape.label)});
  const auto add = [&](std::size_t cells, const std::string& text) {
    add_cell(line, cells, Style::kNumber, text);
  };
  add(shape.now, shown_now(sample, unit, shape.now));
  add(shape.value, shown_value(sample, unit, shape.value));
  add(shape.rate, sample.rate ? rate_text(*sample.rate, unit, shape.rate, unicode_) : std::string());
  const bool is_usual = labels_[index].distribution == kNoDistribution;
  add(is_usual ? shape.change : 0, samples_->scans() > 1 && sample.change
                                       ? amount_text(*sample.change, unit, shape.change, unicode_)
                                       : std::string());
  if (!is_usual) {
    const std::size_t room =
        (shape.change > 0 ? shape.change + 1 : 0) + (shape.curve > 0 ? shape.curve + 1 : 0);
    for (Span& span : distribution_spans(*distributions_[labels_[index].distribution], room, unicode_))
      line.push_back(std::move(span));
  } else {
    std::array<float, kHistory> past{};
    // It grows to the right as long as there is room. At the first scan there was no rate.
    const auto used = std::span(past).first(std::min<std::size_t>(shape.curve, samples_->scans() - 1));
    samples_->history(index, used);
    add_curve(line, shape.curve, used);
  }
  if (!selected) return line;
  std::string whole;
  for (const Span& span : line) whole += span.text;
  return {{Style::kSelected, whole}};
}

}  // namespace pollstats
