#include "plugin_collectd/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/hash.h"
#include "base/keyed_hash.h"
#include "mmstats/error.h"

namespace mmstats::collectd {
namespace {

constexpr std::size_t kHashBytes = 1 + kNameHashDigits;  // with its '-'

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Bytes that mean nothing to collectd's identifiers, to the names of RRD files and of rrdtool's
// arguments, to Carbon, and to a Graphite target, written in a URL or not. That leaves out
//   / and NUL     collectd;
//   " \ : ! , ( ) and blanks    which write_graphite replaces, so that names would meet;
//   { } [ ] * ? | ' ; ~ = $     wildcards, quotes, tags, arguments and variables of Graphite's;
//   % # + & ^ ` < >             what URLs, shells and HTML take for themselves.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-' ||
         c == '.' || c == '@';
}

// Graphite drops empty parts, so ".a", "a." and "a..b" would meet "a" and "a.b".
bool ends_empty_part(std::string_view name, std::size_t i) {
  return name[i] == '.' && (i == 0 || i + 1 == name.size() || name[i - 1] == '.');
}

// Whether `name` could be taken for one with a worker slot.
bool ends_like_slot(std::string_view name) {
  const auto last = std::find_if_not(name.rbegin(), name.rend(), is_digit);
  return last != name.rbegin() && last != name.rend() && *last == '-';
}

// It stands for the identity: should two hashes meet, one name gets longer than it had to.
std::uint64_t identity_hash(std::string_view type, std::string_view type_instance) {
  KeyedHasher hasher;
  hasher.add(type);
  hasher.add("/");
  hasher.add(type_instance);
  return hasher.finish();
}

// Of a rule's empty name: a slot is all that is left to tell series apart.
std::string no_type_instance(std::int32_t slot) { return slot >= 0 ? fmt::to_string(slot) : std::string(); }

std::string taken_identity(const Series& series, std::string_view type, std::string_view wanted,
                           std::string_view given) {
  const auto shown = [&](std::string_view instance) {
    return instance.empty() ? fmt::format("\"{}\" without a type instance", type)
                            : fmt::format("\"{}-{}\"", type, instance);
  };
  return fmt::format(
      "TypeInstance gives a {} the identity {}, which another series of the block has; it is sent as {}: "
      "give each a TypeInstance or Type of its own",
      to_string(series.kind), shown(wanted), shown(given));
}

double scaled(const Series& series, double factor) {
  return (series.integral ? static_cast<double>(series.total) : series.value) * factor;
}

bool is_counter(DataSource source) { return source == DataSource::kCounter || source == DataSource::kDerive; }

}  // namespace

std::string type_problem(const std::string& type, std::optional<Kind> kind, const TypeLookup& types) {
  const auto known = types(type);
  if (!known) return "no types.db that collectd read has it";
  if (known->sources != 1)
    return fmt::format("it has {} data sources, and a series has one value", known->sources);
  if (known->source == DataSource::kAbsolute) {
    return "its data source is ABSOLUTE, a count that starts from zero at each reading, which no series is";
  }
  if (!kind || *kind == Kind::kProperty) return "";
  if (*kind == Kind::kCounter && !is_counter(known->source)) {
    return "its data source is a GAUGE, and a counter needs DERIVE or COUNTER";
  }
  if (*kind != Kind::kCounter && is_counter(known->source)) {
    return fmt::format("its data source is a counter, and a {} needs GAUGE", to_string(*kind));
  }
  return "";
}

bool is_plain_name(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!is_plain(name[i]) || ends_empty_part(name, i)) return false;
  }
  return !name.empty();
}

std::string type_instance(std::string_view name, std::int32_t slot, const NameRules& rules,
                          std::optional<std::uint64_t> salt) {
  std::string text;
  text.reserve(name.size() + kHashBytes);
  for (std::size_t i = 0; i < name.size(); ++i) {
    text += is_plain(name[i]) && !ends_empty_part(name, i) ? name[i] : '_';
  }
  if (text.empty()) text += '_';

  const std::string tail = slot >= 0 ? fmt::format("-{}", slot) : "";
  const bool hashed = salt || text != name || text.size() + tail.size() > rules.max_bytes ||
                      ends_like_name_hash(text, '-') || (rules.slots && slot < 0 && ends_like_slot(text));
  if (!hashed) return text + tail;

  const std::size_t room = rules.max_bytes - kHashBytes - tail.size();
  return fmt::format("{}-{}{}", std::string_view(text).substr(0, room), name_hash(name, salt.value_or(0)),
                     tail);
}

SeriesNames::SeriesNames(NameRules rules, TypeLookup types,
                         std::span<const std::pair<const char*, const char*>> reserved)
    : rules_(std::move(rules)), lookup_(std::move(types)) {
  for (const auto& [type, instance] : reserved) reserved_.insert(identity_hash(type, instance));
}

std::uint16_t SeriesNames::add_type(const Type& type) {
  const auto same = std::ranges::find_if(
      types_, [&](const Type& one) { return one.name == type.name && one.factor == type.factor; });
  if (same != types_.end()) return static_cast<std::uint16_t>(same - types_.begin());
  types_.push_back(type);
  return static_cast<std::uint16_t>(types_.size() - 1);
}

// Whole seconds would be all that is left of it. Who gives a type or a scale has chosen the unit.
bool SeriesNames::is_fractional_time(const Series& series) const {
  return series.kind == Kind::kCounter && !series.integral && series.unit() == "seconds" &&
         !rules_.scaled.contains(series.rule()) &&
         type_problem(kDefaultTimeType, series.kind, lookup_).empty();
}

std::uint16_t SeriesNames::choose_type(const Series& series, std::vector<std::string>& told) {
  const std::string asked =
      series.rule() == kNoRule ? "" : rules_.types.at(static_cast<std::size_t>(series.rule()));
  const bool is_time = asked.empty() && is_fractional_time(series);
  auto [chosen, added] = chosen_.try_emplace({asked, series.kind, is_time}, std::uint16_t{0});
  if (!added) return chosen->second;

  const bool counter = series.kind == Kind::kCounter;
  const std::string by_default = is_time   ? kDefaultTimeType
                                 : counter ? kDefaultCounterType
                                           : kDefaultGaugeType;
  std::string type = asked.empty() ? by_default : asked;
  if (type != by_default) {
    if (const auto problem = type_problem(type, series.kind, lookup_); !problem.empty()) {
      // What is wrong with a type whatever the series was told when the configuration was read.
      if (type_problem(type, std::nullopt, lookup_).empty()) {
        told.push_back(
            fmt::format("series \"{}\" is a {} and cannot be sent as Type \"{}\": {}; \"{}\" is used for "
                        "all series of that kind; give another Type, or the Kind that is meant",
                        printable(series.name()), to_string(series.kind), type, problem, by_default));
      }
      type = by_default;
    }
  }
  const auto known = lookup_(type);
  chosen->second =
      add_type({.name = type,
                .source = known ? known->source : (counter ? DataSource::kDerive : DataSource::kGauge),
                .factor = is_time ? 1000.0 : 1.0});
  return chosen->second;
}

// False: another series has that identity.
bool SeriesNames::take(std::size_t index, std::string_view type_instance) {
  Entry& entry = entries_[index];
  entry.hash = identity_hash(types_[entry.type].name, type_instance);
  if (reserved_.contains(entry.hash) || taken_.find(entry.hash, hash_of()) != HashIndex::kNone) return false;
  taken_.insert(entry.hash, static_cast<std::uint32_t>(index), hash_of());
  return true;
}

std::vector<std::string> SeriesNames::extend(std::span<const Series> series, std::uint64_t generations) {
  std::vector<std::string> told;
  if (generations != generations_) {
    generations_ = generations;
    std::vector<std::size_t> changed;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].generation == series[i].generation) continue;
      forget(i);
      changed.push_back(i);
    }
    for (const std::size_t i : changed) choose(i, series[i], told);
    drop_unused_text();
  }
  // Of one name: first what has no dimensions, then the others in an order of their own, so that it is the
  // same one that gets no hash whichever file was found first.
  std::vector<std::size_t> with_dimensions;
  const std::size_t known = entries_.size();
  entries_.resize(series.size());
  for (std::size_t i = known; i < series.size(); ++i) {
    if (series[i].dimensions().empty()) {
      choose(i, series[i], told);
    } else {
      with_dimensions.push_back(i);
    }
  }
  std::ranges::sort(with_dimensions, [&](std::size_t a, std::size_t b) {
    const auto key = [&](std::size_t index) {
      const Series& one = series[index];
      return std::tie(one.name(), one.family(), one.dimensions());
    };
    const auto order = key(a) <=> key(b);
    return order != 0 ? order < 0 : a < b;
  });
  for (const std::size_t i : with_dimensions) choose(i, series[i], told);
  return told;
}

void SeriesNames::choose(std::size_t index, const Series& series, std::vector<std::string>& told) {
  Entry& entry = entries_[index];
  entry = {.generation = series.generation};
  if (series.generation % 2 != 0) return;
  entry.type = choose_type(series, told);
  const bool is_named = rules_.naming.contains(series.rule());
  std::string instance = is_named && series.name().empty()
                             ? no_type_instance(series.slot)
                             : type_instance(series.name(), series.slot, rules_);
  const std::string wanted = instance;
  // The same name for a gauge and a state, say. After the usual hash the index makes each salt its
  // own, so that labels made to collide do not make us search.
  for (std::uint64_t salt = 0; !take(index, instance); salt += (std::uint64_t{1} << 32U) + index) {
    instance = type_instance(series.name(), series.slot, rules_, salt);
  }
  if (is_named && instance != wanted && told_rules_.insert(series.rule()).second)
    told.push_back(taken_identity(series, types_[entry.type].name, wanted, instance));
  entry.place = Place::kName;
  if (identity(index, series).type_instance == instance) return;
  entry.place = Place::kText;
  entry.offset = static_cast<std::uint32_t>(text_.size());
  entry.size = static_cast<std::uint16_t>(instance.size());
  text_.append(instance.c_str(), instance.size() + 1);
}

// The series is no more: its identity is free.
void SeriesNames::forget(std::size_t index) {
  Entry& entry = entries_[index];
  if (entry.place != Place::kNone) taken_.erase(static_cast<std::uint32_t>(index), hash_of());
  if (entry.place == Place::kText) unused_text_ += entry.size + 1U;
  entry.place = Place::kNone;
}

void SeriesNames::drop_unused_text() {
  if (unused_text_ <= text_.size() / 2) return;
  std::string text;
  text.reserve(text_.size() - unused_text_);
  for (Entry& entry : entries_) {
    if (entry.place != Place::kText) continue;
    const auto instance = std::string_view(text_).substr(entry.offset, entry.size);
    entry.offset = static_cast<std::uint32_t>(text.size());
    text.append(instance).push_back('\0');
  }
  text_ = std::move(text);
  unused_text_ = 0;
}

Identity SeriesNames::identity(std::size_t index, const Series& series) {
  const Entry& entry = entries_[index];
  if (entry.place == Place::kNone) return {};
  const Type& type = types_[entry.type];
  const auto with = [&](std::string_view type_instance) {
    return Identity{type.name.c_str(), type_instance, type.source, type.factor};
  };
  if (entry.place == Place::kText) return with(std::string_view(text_).substr(entry.offset, entry.size));
  if (series.slot < 0) return with(series.name());
  std::array<char, 12> tail;
  tail[0] = '-';
  char* const end = std::to_chars(tail.data() + 1, tail.data() + tail.size(), series.slot).ptr;
  made_.assign(series.name()).append(tail.data(), end);
  return with(made_);
}

std::optional<std::int64_t> as_derive(const Series& series, double factor) {
  if (series.integral && factor == 1) return static_cast<std::int64_t>(series.total);
  const double value = scaled(series, factor);
  if (std::isnan(value)) return std::nullopt;
  constexpr double kEnd = 9223372036854775808.0;  // 2^63: the first that does not fit
  if (value >= kEnd) return std::numeric_limits<std::int64_t>::max();
  if (value < -kEnd) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

std::optional<std::uint64_t> as_counter(const Series& series, double factor) {
  if (series.integral && factor == 1) return series.total;
  const double value = scaled(series, factor);
  if (std::isnan(value)) return std::nullopt;
  constexpr double kEnd = 18446744073709551616.0;  // 2^64
  if (value >= kEnd) return std::numeric_limits<std::uint64_t>::max();
  if (value <= 0) return 0;
  return static_cast<std::uint64_t>(value);
}

}  // namespace mmstats::collectd
