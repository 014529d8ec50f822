// What a label becomes: which series, of what kind, and how workers are put together.
// Compiled once from configuration, asked once for each label of each shape of file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/aggregate.h"
#include "collect/bucket_range.h"
#include "collect/label_pattern.h"
#include "collect/pattern_use.h"
#include "collect/percentile.h"
#include "format/dimensions.h"
#include "mmstats/error.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"

namespace mmstats {

// A dimension, and an RE2 that its whole value is to match. What has no such dimension has the value "".
struct DimensionPattern {
  std::string dimension;
  std::string pattern;
};

// One rule of the configuration. The first whose pattern matches the whole label decides.
//
// Dimensions are those of the field's family, or what groups with a name found in the label of a field that
// is of none: its family is then the label without them. Over those that are dropped, values are put together
// as over files.
struct Rule {
  std::string pattern;                      // RE2, over bytes; matched against the label without the prefix
  std::optional<Kind> kind = {};            // else what the file says, else by convention
  std::optional<Aggregate> aggregate = {};  // else the set's
  // Series name, as for put_label(), with dropped dimensions, too: all that get the same are one series,
  // which is of no family. None, or it asks for a dimension that is not there: the label; or, where
  // dimensions are dropped, the family's with the values that are left. May be empty.
  std::optional<std::string> name = {};
  std::string sink_type = {};        // a word for the sink (a collectd type); part of a series' identity
  std::optional<double> scale = {};  // values are multiplied by it
  bool ignore = false;               // such labels become nothing
  bool keep_groups = false;          // for texts of the sink's own: see Series::groups
  // Of histograms whose label matches, else the set's.
  std::optional<std::vector<Percentile>> percentiles = {};
  std::optional<BucketRange> buckets = {};
  // Not empty: only for fields of families whose label, without the prefix, this RE2 matches as a whole.
  // `pattern` may be empty then, for any label of them: groups are those of this one, and a name gets the
  // ending that parts of a histogram have behind the values.
  std::string family = {};
  std::vector<DimensionPattern> where = {};  // one does not match: the rule does not
  // Dimensions: of those that are there all but the dropped, if these are kept. None of both: as the set
  // says.
  std::optional<std::vector<std::string>> keep = {};
  std::optional<std::vector<std::string>> drop = {};
  // Dimensions, and numbers of groups, that texts of the sink ask for: where dimensions are dropped, series
  // are told apart by these all the same. See Binding::asked.
  std::vector<std::string> asks = {};
  std::vector<std::size_t> asks_groups = {};
};

// Error: kInvalid; the rule makes a counter of labels, and puts processes together as no counter can be.
Expected<void> check_aggregate(const Rule& rule);

inline constexpr std::int32_t kNoRule = -1;

class SharedBinding;

// What becomes of one field.
struct Binding {
  bool used = false;  // false: nothing; the rest is meaningless
  Kind kind = Kind::kGauge;
  Aggregate aggregate = Aggregate::kSum;       // never kByKind; for counters kSum or kNone
  Aggregate within_process = Aggregate::kSum;  // how threads are put together where aggregate is kNone
  bool by_kind = false;   // nobody chose how values are put together: the type and kind did
  bool stripped = false;  // the name is the label without the prefix
  double scale = 1.0;
  std::int32_t rule = kNoRule;  // which one decided, in the order in which they were added
  std::string name;
  // Of a family: its label without the prefix, and what the rule keeps of its dimensions, in their order.
  // Empty: the field is of none, or nothing is kept, or the rule gives a name.
  std::string family;
  std::vector<Dimension> dimensions;
  // If some are dropped: what tells fields apart all the same, as the sink's texts depend on it. Dropped ones
  // that the rule asks for; and if it keeps groups, \1 and so on, those that it asks for, and by an empty
  // name its number.
  std::vector<Dimension> asked;
  std::vector<std::string> groups;  // if the rule keeps them
  std::string sink_type;
  std::string unit;
  std::string help;
};

// Movable. Const calls may be made from any thread.
class Rules {
 public:
  Rules();
  Rules(Rules&&) noexcept;
  Rules& operator=(Rules&&) noexcept;
  ~Rules();

  // A prefix that labels lose before patterns see them; "." after it goes too. Labels without it
  // are kept whole.
  void strip_prefix(std::string prefix);
  void aggregate(Aggregate aggregate);
  // Names of dimensions, unless a rule says otherwise: all are kept at first. `keep`: all others are dropped.
  void keep_dimensions(std::vector<std::string> keep);
  void drop_dimensions(std::vector<std::string> drop);
  // For a sink that knows names alone: a combination of which nothing is dropped is one series with a label
  // that reads the same and is of no family, as other versions of a program may write it.
  void tell_by_names();
  // Of histograms, unless a rule says otherwise: default_percentiles() at first.
  void percentiles(std::vector<Percentile> percentiles);
  // Which counts of values become series of their own: none at first.
  void buckets(BucketRange range);

  // Each adds one; errors are kInvalid with RE2's reason, and leave the rules as they were.
  Expected<void> include(const std::string& pattern);  // with any, only labels that match one are used
  Expected<void> ignore(const std::string& pattern);   // stronger than include
  // Also: groups beyond the pattern's, dimensions that cannot be, as check_aggregate.
  Expected<void> add(Rule rule);
  // `pattern`: where it was compiled already; of a rule without one, its family's.
  Expected<void> add(Rule rule, LabelPattern pattern);

  // From now on the labels that bind() meets are looked at: which patterns match none of them. All patterns
  // must have been added. The result is to be used as long as the rules are there.
  [[nodiscard]] std::shared_ptr<PatternUse> record_use();

  // `known`: what the field's file says of it. Texts and values without exactly one number are never used.
  // `label` is normally field.label; elements of a repeated value come with their own.
  // Of two ways to write a combination in a label only that of our writer is ever seen.
  // `histogram`: what became of the histogram which the label tells something of. Its rule says which
  // dimensions are kept where none of the label's own does.
  [[nodiscard]] Binding bind(std::string_view label, const Field& field, const FieldMetadata& known,
                             const SharedBinding* histogram = nullptr) const;

  // Those of a histogram whose label `rule` decides (Binding::rule). Valid until rules are added.
  [[nodiscard]] const std::vector<Percentile>& percentiles(std::int32_t rule) const;
  [[nodiscard]] std::size_t most_percentiles() const;  // in one list
  [[nodiscard]] BucketRange buckets(std::int32_t rule) const;
  [[nodiscard]] std::size_t most_buckets() const;  // in one range

  // The most bytes that name, family, dimensions, groups and sink_type of a binding take, if its label has
  // `label_size`.
  [[nodiscard]] std::size_t most_text(std::size_t label_size, const FieldMetadata& known) const;
  // The most units of work (work.h) that bind() takes for such a label.
  [[nodiscard]] std::uint64_t most_work(std::size_t label_size, const FieldMetadata& known) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats
