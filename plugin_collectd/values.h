// Series -> what collectd calls an identity (type and type instance) and a value. Knows collectd's
// rules, but not its headers. The mapping for people: plugin_collectd/mapping.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/hash_index.h"
#include "collect/fold.h"
#include "mmstats/metadata.h"

namespace mmstats::collectd {

enum class DataSource : std::uint8_t { kGauge, kCounter, kDerive, kAbsolute };

// A type of types.db, as far as it matters here.
struct HostType {
  DataSource source = DataSource::kGauge;  // of its first data source
  std::size_t sources = 1;
};

// What the host knows of a type; none: it does not know it.
using TypeLookup = std::function<std::optional<HostType>(const std::string& type)>;

inline constexpr const char* kDefaultCounterType = "derive";
inline constexpr const char* kDefaultGaugeType = "gauge";
// Counters of fractions of seconds: collectd's counters are whole numbers. The type says the unit.
inline constexpr const char* kDefaultTimeType = "total_time_in_ms";

// Why series of `kind` (none: not known yet) cannot be sent as `type`, for people; empty: they can.
std::string type_problem(const std::string& type, std::optional<Kind> kind, const TypeLookup& types);

// Whether `name` can stand in a file name of collectd's and in a name of Graphite's just as it is.
bool is_plain_name(std::string_view name);

struct NameRules {
  std::size_t max_bytes = 127;          // of a type instance; at least 32
  bool slots = false;                   // some series of the block are kept apart by worker slot
  std::vector<std::string> types = {};  // by rule: the type that it asks for; empty: the default
  std::set<std::int32_t> naming = {};   // rules that give names
  std::set<std::int32_t> scaled = {};   // rules that say by what values are multiplied
};

// Maps a series' name to a type instance: the same name always to the same, two names never to the
// same (but for hashes that collide: SeriesNames sees to that). `slot` < 0: none. With `salt` the name
// gets its hash whether it needs one or not: the usual hash with 0, another with each other salt.
std::string type_instance(std::string_view name, std::int32_t slot, const NameRules& rules,
                          std::optional<std::uint64_t> salt = std::nullopt);

// Valid until the next call of SeriesNames, and as long as the series is.
struct Identity {
  const char* type = nullptr;
  std::string_view type_instance;  // NUL follows its last byte
  DataSource source = DataSource::kGauge;
  double factor = 1;  // of a counter's total, for as_derive() and as_counter()
};

// The identities of all series of one block, each computed once.
class SeriesNames {
 public:
  // `reserved`: pairs of type and type instance that no series may take.
  SeriesNames(NameRules rules, TypeLookup types,
              std::span<const std::pair<const char*, const char*>> reserved = {});

  // Names the series that were added since the last call, and those of another generation; nothing to do
  // costs nothing. `generations`: FoldStats::generations. Returns what to tell people: a type that does not
  // suit a series, once for each type and kind; and that a rule gives series the identity of others, once for
  // each rule.
  std::vector<std::string> extend(std::span<const Series> series, std::uint64_t generations = 0);

  // Precondition: extend() has seen the series, which has that index.
  [[nodiscard]] Identity identity(std::size_t index, const Series& series);

 private:
  struct Type {
    std::string name;
    DataSource source;
    double factor;
  };
  // Where a series' type instance is.
  enum class Place : std::uint8_t { kNone, kName, kText };  // there is none; name and slot as they are; text_
  struct Entry {
    std::uint64_t hash = 0;    // of its identity
    std::uint32_t offset = 0;  // in text_
    std::uint16_t size = 0;    // bytes
    std::uint16_t type = 0;    // in types_
    std::uint32_t generation = 0;
    Place place = Place::kNone;
  };
  std::uint16_t choose_type(const Series& series, std::vector<std::string>& told);
  std::uint16_t add_type(const Type& type);
  [[nodiscard]] bool is_fractional_time(const Series& series) const;
  bool take(std::size_t index, std::string_view type_instance);
  void choose(std::size_t index, const Series& series, std::vector<std::string>& told);
  void forget(std::size_t index);
  [[nodiscard]] auto hash_of() const {
    return [this](std::uint32_t index) { return entries_[index].hash; };
  }
  void drop_unused_text();

  NameRules rules_;
  TypeLookup lookup_;
  std::vector<Type> types_;
  std::map<std::tuple<std::string, Kind, bool>, std::uint16_t, std::less<>> chosen_;
  std::set<std::int32_t> told_rules_;  // whose names are those of other series
  std::vector<Entry> entries_;
  std::uint64_t generations_ = 0;               // at the last call
  std::string text_;                            // type instances that are no names, each with a NUL
  std::size_t unused_text_ = 0;                 // bytes of it, of series that are no more
  std::unordered_set<std::uint64_t> reserved_;  // hashes of identities that no series may have
  HashIndex taken_;                             // series, by the hashes of theirs
  std::string made_;                            // the type instance that was asked for last
};

// A counter's total, multiplied by Identity::factor, as a DERIVE or COUNTER data source takes it. What is no
// whole number is cut towards zero and held within the range; none: not a number at all.
std::optional<std::int64_t> as_derive(const Series& series, double factor = 1);
std::optional<std::uint64_t> as_counter(const Series& series, double factor = 1);

}  // namespace mmstats::collectd
