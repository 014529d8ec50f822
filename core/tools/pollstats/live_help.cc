// The live view's help: a line with the most important keys, and a screen with all of them.
#include <fmt/format.h>

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tools/pollstats/live_view.h"
#include "tools/pollstats/text_cells.h"

namespace pollstats {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kGroupKey = "b";
// The first are shown where there is little room.
constexpr std::array<Entry, 9> kSeriesKeys{{{"q", "Quit"},
                                            {"?", "Help"},
                                            {"/", "Filter"},
                                            {"n v r c", "Sort"},
                                            {"Enter", "By process"},
                                            {"p", "Processes"},
                                            {kGroupKey, "Group"},
                                            {"Space", "Pause"},
                                            {"- +", "Delay"}}};
constexpr std::array<Entry, 5> kProcessKeys{
    {{"Enter", "Watch these"}, {"Space", "Mark"}, {"a", "All"}, {"Esc", "Back"}, {"?", "Help"}}};
constexpr std::array<Entry, 6> kPartKeys{{{"Esc", "Back"},
                                          {"?", "Help"},
                                          {"w n v r", "Sort"},
                                          {"Space", "Mark"},
                                          {"Enter", "Watch these"},
                                          {"a", "All"}}};

// Ordered so that a screen of 24 lines has all of it. Without keys: a heading.
constexpr std::array<Entry, 22> kHelpLines{{
    {"", "Keys"},
    {"q  Ctrl-C", "Leave"},
    {"Arrows PgUp PgDn", "Move the cursor; Home and End, k j g G as well"},
    {"n v r c", "Sort by name, value, rate or change; again: backwards"},
    {"/  Esc", "Show only labels with these words; clear that"},
    {"Enter", "The processes that have this series, the worst first"},
    {"p", "All processes: choose whose files are to count"},
    {"b", "Put families together by their next dimension"},
    {"Space", "Pause, or go on"},
    {"-  +", "Take samples more often, or less"},
    {"Mouse", "Click a heading to sort, a row to select it; wheel: scroll"},
    {"Shift  m", "Held, Shift selects text; m turns the mouse off and on"},
    {"", "Columns"},
    {"VALUE", "Of counters: what files held at first, and all since then"},
    {"RATE/s", "Of counters: what came in a second, in the last sample"},
    {"CHANGE", "Since the sample before"},
    {"HISTORY", "The last 60 samples: rates of counters, values of others"},
    {"p50 p90 p99 max", "Of histograms: of the values of the last sample"},
    {"bars behind them", "Of histograms: how many of them in each power of two"},
    {"STATE AGE", "Of processes: alive, dead or unknown; age of their files"},
    {"[x]", "Of processes: marked with Space; Enter shows theirs alone"},
    {"", "man pollstats has more."},
}};
constexpr std::size_t kHelpKeys = 17;  // cells

}  // namespace

LiveView::Line LiveView::keys_line(std::size_t width) const {
  const std::span<const Entry> entries = mode_ != Mode::kProcesses ? std::span<const Entry>(kSeriesKeys)
                                         : processes_of_           ? std::span<const Entry>(kPartKeys)
                                                                   : std::span<const Entry>(kProcessKeys);
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

void LiveView::compose_help(Screen& screen, std::size_t width, std::size_t height) {
  const std::size_t last = height - 1;
  const bool with_title = height > kHelpLines.size() + 1;
  if (with_title) screen.lines.push_back({{Style::kTitle, "pollstats"}, {Style::kPlain, "  Help"}});
  // Where there is little room, keys are what one looks for: they come without blanks before them.
  const std::size_t keys_width = width >= 60 ? kHelpKeys : 10;
  for (const auto& [keys, what] : kHelpLines) {
    if (screen.lines.size() >= last) break;
    if (keys.empty()) {
      screen.lines.push_back({{Style::kHeading, left_aligned(what, width)}});
    } else {
      screen.lines.push_back({{Style::kKey, "  " + left_aligned(first_cells(keys, keys_width), keys_width)},
                              {Style::kPlain, ' ' + std::string(what)}});
    }
  }
  screen.lines.resize(last);
  screen.lines.push_back({{Style::kKey, "Any key"}, {Style::kPlain, " closes the help"}});
}

}  // namespace pollstats
