// The full-screen view: its state, what keys do to it (live_keys.cc), and what it shows (live_screen.cc); its
// lists of processes (live_processes.cc) and its help (live_help.cc).
// Pure: a terminal draws the Screen, main() reads files and does what is wished.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/distributions.h"
#include "collect/fold.h"
#include "tools/pollstats/field_pattern.h"
#include "tools/pollstats/grouping.h"
#include "tools/pollstats/processes.h"
#include "tools/pollstats/samples.h"
#include "tools/pollstats/screen.h"
#include "tools/pollstats/scroll.h"
#include "tools/pollstats/series_processes.h"

namespace pollstats {

inline constexpr std::size_t kHistory = 60;  // scans that a curve shows at most

// What one scan found beside the series.
struct Facts {
  double time = 0;           // Unix seconds
  std::string clock;         // the same for people
  std::size_t files = 0;     // that count
  std::size_t dead = 0;      // of these, of dead processes
  std::size_t failed = 0;    // complaints
  std::string complaint;     // the newest one; empty: none is new
  std::string unknown = {};  // of --where: which dimensions no file has; empty: none
};

class LiveView {
 public:
  // What keys ask main() for.
  enum class Wish : std::uint8_t { kNothing, kLeave, kSuspend, kRepaint, kChoose, kMouse };
  enum class Sort : std::uint8_t { kName, kValue, kRate, kChange, kWorst };

  // Labels are shown without their first `prefix` bytes; each has as many. `unicode`: the terminal shows it.
  // `grouping`: what the command line says.
  LiveView(std::size_t prefix, bool unicode, std::chrono::nanoseconds delay, const Grouping& grouping = {})
      : prefix_(prefix),
        unicode_(unicode),
        delay_(delay),
        where_(text_of(grouping.where)),
        by_(grouping.by),
        first_by_(grouping.by) {}

  using Distributions = std::span<const std::unique_ptr<mmstats::Distribution>>;

  // A scan was made. `series`, `distributions` and `samples` are used until the next one.
  void take(std::span<const mmstats::Series> series, Distributions distributions, const Samples& samples,
            Facts facts);

  // All series are others from the next scan on.
  void begin_anew();

  Wish press(const Key& key);

  Screen compose(std::size_t width, std::size_t height);

  [[nodiscard]] std::chrono::nanoseconds delay() const { return delay_; }
  [[nodiscard]] bool paused() const { return paused_; }
  [[nodiscard]] bool uses_mouse() const { return mouse_; }  // after kMouse

  // A list of processes: wanted while it is shown. Of one series, if there is a choice: after each scan.
  [[nodiscard]] bool shows_processes() const { return mode_ == Mode::kProcesses; }
  [[nodiscard]] const std::optional<SeriesChoice>& processes_of() const { return processes_of_; }
  void take(const std::vector<Process>& processes);
  void take(std::vector<ProcessRow> processes);
  // After kChoose: whose files count; empty: everybody's.
  [[nodiscard]] const std::set<ProcessId>& chosen() const { return chosen_; }
  // After kChoose, too: what tells series of families apart; none: all their dimensions.
  [[nodiscard]] const std::optional<By>& by() const { return by_; }

 private:
  enum class Mode : std::uint8_t { kSeries, kFilter, kProcesses };
  static constexpr std::size_t kMostDimensions = 32;
  static constexpr std::uint32_t kNoDistribution = std::numeric_limits<std::uint32_t>::max();
  struct Label {
    std::string text;  // fit to be shown
    std::size_t cells = 0;
    std::size_t rank = 0;   // by name
    bool passes = false;    // the filter
    bool listed = false;    // its row is shown
    std::uint32_t row = 0;  // the series whose row shows it: of a distribution that is the count
    std::uint32_t distribution = kNoDistribution;  // that this row shows
  };
  // Cells of each column, 0: not shown.
  struct Shape {
    std::size_t label = 0;
    std::size_t now = 0;  // rate or value, where there is room for one of them
    std::size_t value = 0;
    std::size_t rate = 0;
    std::size_t change = 0;
    std::size_t curve = 0;
  };
  using Line = std::vector<Span>;
  // Where a click meets what, on the screen that was composed last.
  struct Places {
    struct Column {
      std::size_t end = 0;  // the cell behind it
      Sort sort = Sort::kName;
    };
    std::optional<std::size_t> heading;  // line
    std::vector<Column> columns;
    std::size_t rows = 0;  // the first line of them
  };

  void add_labels();
  void find_distributions();
  void name_in_full();
  void set_passes(Label& label) const;
  void set_filter(std::string filter);
  [[nodiscard]] bool passes(std::string_view label) const;
  void arrange();
  void sort_by(Sort sort);

  Wish press_in_series(const Key& key);
  Wish press_in_filter(const Key& key);
  Wish press_in_processes(const Key& key);
  Wish press_mouse(const Key& key);
  void show_processes_of_selected();
  void leave_processes();
  void sort_processes_by(Sort sort);
  void arrange_processes();
  [[nodiscard]] std::optional<double> process_value(const ProcessRow& row) const;
  void change_delay(bool longer);
  Wish group_by_next();

  void compose_series(Screen& screen, std::size_t width, std::size_t height);
  void compose_processes(Screen& screen, std::size_t width, std::size_t height);
  [[nodiscard]] std::string why_empty() const;
  [[nodiscard]] Line title(std::size_t width) const;
  static void compose_help(Screen& screen, std::size_t width, std::size_t height);
  [[nodiscard]] Line keys_line(std::size_t width) const;
  [[nodiscard]] Line detail(std::size_t width, std::uint32_t index) const;
  [[nodiscard]] std::string whole_label(std::uint32_t index) const;
  [[nodiscard]] Shape shape(std::size_t width) const;
  [[nodiscard]] Line heading(const Shape& shape);
  // A column's name, with a mark if rows are sorted by it.
  [[nodiscard]] std::string head(std::string_view text, Sort sort, Sort sorted, bool reversed) const;
  // Adds a cell of this width.
  static void add_cell(Line& line, std::size_t width, Style style, const std::string& text);
  void add_curve(Line& line, std::size_t width, std::span<const float> past) const;
  struct ProcessShape {
    bool wide = false;
    std::size_t now = 0, command = 0, value = 0, rate = 0, curve = 0;
  };
  [[nodiscard]] Line process_title(std::size_t width) const;
  [[nodiscard]] ProcessShape process_shape(std::size_t width) const;
  [[nodiscard]] Line process_heading(const ProcessShape& shape, std::size_t width);
  [[nodiscard]] Line process_row(const ProcessRow& row, const ProcessShape& shape, bool selected,
                                 std::size_t width) const;
  [[nodiscard]] Line row(std::size_t index, const Shape& shape, bool selected) const;
  // `name` as it is shown, of a series or distribution of that family.
  [[nodiscard]] std::string label_text(std::string_view name, std::string_view family) const;
  // Of a series or distribution of a family.
  [[nodiscard]] std::string full_text(const std::string& family,
                                      const std::vector<mmstats::Dimension>& dimensions) const;
  [[nodiscard]] std::string_view without_prefix(std::string_view name, std::string_view family) const;
  // `unit`: of the series; of a histogram's count none.
  [[nodiscard]] std::string shown_value(const Sample& sample, std::string_view unit, std::size_t width) const;
  [[nodiscard]] std::string shown_now(const Sample& sample, std::string_view unit, std::size_t width) const;
  [[nodiscard]] std::string_view unit_of(std::uint32_t index) const;
  [[nodiscard]] std::string_view mark() const { return unicode_ ? "…" : "~"; }

  std::size_t prefix_;
  bool unicode_;
  std::chrono::nanoseconds delay_;
  std::span<const mmstats::Series> series_;
  Distributions distributions_;
  const Samples* samples_ = nullptr;
  Facts facts_;
  std::string complaint_;  // until a key is pressed

  std::vector<Label> labels_;  // by series
  std::size_t known_distributions_ = 0;
  std::vector<std::uint32_t> rows_;  // series that are shown, in order
  std::size_t widest_ = 0;           // label of these, cells
  std::string filter_;
  std::vector<std::string> words_;  // of the filter, in lower case
  std::vector<FieldPattern> wild_;  // words with wildcards
  Sort sort_ = Sort::kName;
  bool reversed_ = false;
  bool paused_ = false;
  Mode mode_ = Mode::kSeries;
  Scroll scroll_;

  std::string where_;                 // --where, for people
  std::set<std::string> dimensions_;  // that some series had, kMostDimensions at most
  std::optional<By> by_;
  std::optional<By> first_by_;

  bool help_ = false;  // it is over all else
  bool mouse_ = true;  // is ours, not the terminal's
  Places places_;

  std::vector<ProcessRow> processes_;
  std::optional<SeriesChoice> processes_of_;  // none: the list is of all
  Sort process_sort_ = Sort::kWorst;
  bool processes_reversed_ = false;
  std::set<ProcessId> chosen_;
  std::set<ProcessId> marked_;
  Scroll process_scroll_;
};

}  // namespace pollstats
