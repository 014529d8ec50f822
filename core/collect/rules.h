// What a label becomes: which series, of what kind, and how workers are put together.
// Compiled once from configuration, asked once for each label of each shape of file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

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

std::string_view to_string(Aggregate aggregate);  // "sum", "nonzero-avg", ...; "default" for kByKind
std::optional<Aggregate> parse_aggregate(std::string_view word);

// One rule of the configuration. The first whose pattern matches the whole label decides.
struct Rule {
  std::string pattern;                 // RE2, over bytes; matched against the label without the prefix
  std::optional<Kind> kind;            // else what the file says, else by convention
  std::optional<Aggregate> aggregate;  // else the set's
  std::string name;                    // series name, \0 to \9 are captures; empty: the label
  std::string sink_type;               // a word for the sink (a collectd type); part of a series' identity
  double scale = 1.0;                  // values are multiplied by it
  bool ignore = false;                 // such labels become nothing
};

// What becomes of one field.
struct Binding {
  bool used = false;  // false: nothing; the rest is meaningless
  Kind kind = Kind::kGauge;
  Aggregate aggregate = Aggregate::kSum;       // never kByKind; for counters kSum or kNone
  Aggregate within_process = Aggregate::kSum;  // how threads are put together where aggregate is kNone
  double scale = 1.0;
  std::string name;
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

  // Each adds one; errors are kInvalid with RE2's reason, and leave the rules as they were.
  Expected<void> include(const std::string& pattern);  // with any, only labels that match one are used
  Expected<void> ignore(const std::string& pattern);   // stronger than include
  Expected<void> add(Rule rule);  // also: captures beyond the pattern's, a counter that is averaged

  // `field` is of a file whose sys.metadata text is `metadata` (may be empty). Texts and values
  // without exactly one number are never used. `label` is normally field.label; elements of a
  // repeated value come with their own.
  [[nodiscard]] Binding bind(std::string_view label, const Field& field, std::string_view metadata) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats
