// What a label becomes: which series, of what kind, and how workers are put together.
// Compiled once from configuration, asked once for each label of each shape of file.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collect/bucket_range.h"
#include "collect/label_pattern.h"
#include "collect/pattern_use.h"
#include "collect/percentile.h"
#include "mmstats/error.h"
#include "mmstats/metadata.h"
#include "mmstats/parse.h"

namespace mmstats {

// How the values of several files become one.
enum class Aggregate : std::uint8_t {
  kByKind,  // counters, whole numbers and states summed, fractions averaged, timestamps: the latest
  kSum,
  kAvg,
  kMin,
  kMax,
  kNonzeroAvg,  // of the values that are not 0; 0 if all are
  kNonzeroMin,
  kNone,  // one series for each process, named by a worker slot; its threads as kByKind
};

inline constexpr std::array<std::pair<std::string_view, Aggregate>, 8> kAggregateWords{{
    {"default", Aggregate::kByKind},
    {"sum", Aggregate::kSum},
    {"avg", Aggregate::kAvg},
    {"min", Aggregate::kMin},
    {"max", Aggregate::kMax},
    {"nonzero-avg", Aggregate::kNonzeroAvg},
    {"nonzero-min", Aggregate::kNonzeroMin},
    {"none", Aggregate::kNone},
}};
std::string_view to_string(Aggregate aggregate);
std::optional<Aggregate> parse_aggregate(std::string_view word);

// One rule of the configuration. The first whose pattern matches the whole label decides.
struct Rule {
  std::string pattern;                      // RE2, over bytes; matched against the label without the prefix
  std::optional<Kind> kind = {};            // else what the file says, else by convention
  std::optional<Aggregate> aggregate = {};  // else the set's
  std::string name = {};                    // series name, as for put_groups(); empty: the label
  std::string sink_type = {};  // a word for the sink (a collectd type); part of a series' identity
  double scale = 1.0;          // values are multiplied by it
  bool ignore = false;         // such labels become nothing
  bool keep_groups = false;    // for texts of the sink's own: see Series::groups
  // Of histograms whose label matches, else the set's.
  std::optional<std::vector<Percentile>> percentiles = {};
  std::optional<BucketRange> buckets = {};
};

// Error: kInvalid; the rule makes a counter of labels, and puts processes together as no counter can be.
Expected<void> check_aggregate(const Rule& rule);

inline constexpr std::int32_t kNoRule = -1;

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
  // Of histograms, unless a rule says otherwise: default_percentiles() at first.
  void percentiles(std::vector<Percentile> percentiles);
  // Which counts of values become series of their own: none at first.
  void buckets(BucketRange range);

  // Each adds one; errors are kInvalid with RE2's reason, and leave the rules as they were.
  Expected<void> include(const std::string& pattern);  // with any, only labels that match one are used
  Expected<void> ignore(const std::string& pattern);   // stronger than include
  Expected<void> add(Rule rule);  // also: groups beyond the pattern's, as check_aggregate
  Expected<void> add(Rule rule, LabelPattern pattern);  // where it was compiled already

  // From now on the labels that bind() meets are looked at: which patterns match none of them. All patterns
  // must have been added. The result is to be used as long as the rules are there.
  [[nodiscard]] std::shared_ptr<PatternUse> record_use();

  // `known`: what the field's file says of it. Texts and values without exactly one number are never used.
  // `label` is normally field.label; elements of a repeated value come with their own.
  [[nodiscard]] Binding bind(std::string_view label, const Field& field, const FieldMetadata& known) const;

  // Those of a histogram whose label `rule` decides (Binding::rule). Valid until rules are added.
  [[nodiscard]] const std::vector<Percentile>& percentiles(std::int32_t rule) const;
  [[nodiscard]] std::size_t most_percentiles() const;  // in one list
  [[nodiscard]] BucketRange buckets(std::int32_t rule) const;
  [[nodiscard]] std::size_t most_buckets() const;  // in one range

  // The most bytes that name, groups and sink_type of a binding take, if its label has `label_size`.
  [[nodiscard]] std::size_t most_text(std::size_t label_size) const;
  // The most units of work (work.h) that bind() takes for such a label.
  [[nodiscard]] std::uint64_t most_work(std::size_t label_size) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats
