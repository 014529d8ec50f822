// The fields that were asked for, as columns: which series each shows, and the lines of a report.
// Pure: nothing here reads files or writes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collect/fold.h"
#include "collect/percentile.h"
#include "mmstats/error.h"
#include "tools/pollstats/field_pattern.h"
#include "tools/pollstats/grouping.h"
#include "tools/pollstats/samples.h"

namespace pollstats {

constexpr std::size_t kColumnWidth = 20;  // cells, where no terminal says otherwise

// How lines look.
struct Look {
  bool colour = false;
  bool rate = false;                            // a column FIELD/s beside each counter
  std::optional<std::size_t> terminal_width{};  // cells; none: no terminal, columns of kColumnWidth
};

class Columns {
 public:
  // `fields`: FIELD,FIELD... as it was given. Each is put behind `prefix`, which headers leave out. As long
  // as no label is of that form, those with a dot between the two are taken. Errors: kInvalid: a field is
  // empty, or too long to be looked for.
  static mmstats::Expected<Columns> parse(std::string_view fields, const std::string& prefix);

  // For Rules::include: RE2 patterns of all labels that can become a column, and of some more. Where
  // rules change names any label can.
  [[nodiscard]] std::vector<std::string> patterns() const;

  // For Rules::percentiles: the usual ones, and those that fields end with, as in "latency.p95".
  [[nodiscard]] std::vector<mmstats::Percentile> percentiles() const;

  // Takes series that came since the last call into account. A field without wildcards has one column
  // whatever there is, but where it is a family's label: it has one for each series of the family. One with
  // wildcards has a column for each series that matches, by name, and one for itself until there is any.
  // True: there are other columns now. `series` as for Samples::take.
  bool update(std::span<const mmstats::Series> series);

  // Fields that no series has.
  struct Missing {
    std::string text;  // with the prefix
    bool has_wildcards = false;
  };
  [[nodiscard]] std::vector<Missing> missing() const;

  // How many of the columns are counters, which have a rate: with a rate more, there are other titles.
  [[nodiscard]] std::size_t rates() const;

  // Without a newline. Names are cut to the width of a column: on a terminal at their beginning, else at
  // their end. A terminal is told units, too, where there is room.
  [[nodiscard]] std::string header(const Look& look) const;

  // The change of counters, the value of others, "-" where no file has the field.
  [[nodiscard]] std::string line(const Samples& samples, const Look& look) const;

  // {"time": seconds since 1970, "fields": {label: {"kind": text, "value": number, "change": number,
  // "rate": number}, ...}}, of a family's also "family": label, "dimensions": {name: value, ...}: null for a
  // field that no file has, and for what cannot be known.
  [[nodiscard]] std::string json(const Samples& samples, std::chrono::system_clock::time_point at) const;

 private:
  struct Column {
    std::string label;
    std::size_t prefix;  // bytes of it that headers leave out
    std::vector<std::uint32_t>
        series;              // counters first; a label may mean different things to different files
    std::string about = {};  // of a family: what JSON tells of that
    std::string unit = {};
    bool counter = false;  // one of the series is: only these have rates
    // Whether the series may be one of them: those of a family are of one combination.
    [[nodiscard]] bool is_of(std::span<const mmstats::Series> all, std::uint32_t index) const {
      return series.empty() || are_one_combination(all[series.front()], all[index]);
    }
  };
  // What is looked for, and what there is of it.
  struct Form {
    std::string text;  // with the prefix
    std::optional<FieldPattern> pattern;
    std::vector<Column> columns;
    [[nodiscard]] bool has_series() const { return !columns.front().series.empty(); }
  };
  struct Field {
    Form plain;
    std::optional<Form> dotted;
    [[nodiscard]] const Form& shown() const {
      return dotted && !plain.has_series() && dotted->has_series() ? *dotted : plain;
    }
  };

  static mmstats::Expected<Form> make_form(std::string_view name, const std::string& prefix);
  static bool take(Form& form, std::span<const mmstats::Series> series, std::uint32_t index);
  bool take_by_label(const std::string& label, std::span<const mmstats::Series> series, std::uint32_t index);

  [[nodiscard]] std::size_t width(const Look& look) const;
  template <class Visit>
  void for_each_column(Visit&& visit) const;

  std::vector<Field> fields_;
  std::unordered_multimap<std::string, std::pair<std::size_t, bool>>
      by_label_;          // without wildcards: field, dotted
  std::size_t seen_ = 0;  // series
};

}  // namespace pollstats
