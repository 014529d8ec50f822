#include "collect/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "collect/label_pattern.h"
#include "collect/work.h"
#include "format/struct_codes.h"

namespace mmstats {
namespace {

bool fits_counter(Aggregate aggregate) {
  return aggregate == Aggregate::kByKind || aggregate == Aggregate::kSum || aggregate == Aggregate::kNone;
}

Error invalid(std::string message) { return failure(ErrorKind::kInvalid, {}, std::move(message)); }

Expected<LabelPattern> compile(const std::string& pattern) {
  return compile_label_pattern(pattern).map_error(
      [&](const Error& error) { return invalid(fmt::format("pattern \"{}\": {}", pattern, error.message)); });
}

struct CompiledRule {
  Rule rule;
  LabelPattern pattern;
};

// What a field is when nobody says: buffered `Q` counts, other buffered values and bools are of
// this moment, the rest are facts.
Kind kind_by_convention(const Field& field) {
  if (field.buffered) return field.type.code == 'Q' ? Kind::kCounter : Kind::kGauge;
  return field.type.code == '?' ? Kind::kState : Kind::kProperty;
}

Aggregate aggregate_by_kind(Kind kind, char code) {
  switch (kind) {
    case Kind::kCounter:
      return Aggregate::kSum;
    case Kind::kTimestamp:
      return Aggregate::kMax;
    default:
      return is_fraction(code) ? Aggregate::kAvg : Aggregate::kSum;
  }
}

}  // namespace

std::string_view to_string(Aggregate aggregate) {
  for (const auto& [word, value] : kAggregateWords) {
    if (value == aggregate) return word;
  }
  return "";
}

std::optional<Aggregate> parse_aggregate(std::string_view word) {
  for (const auto& [name, aggregate] : kAggregateWords) {
    if (name == word) return aggregate;
  }
  return std::nullopt;
}

struct Rules::Impl {
  std::string prefix;
  Aggregate aggregate = Aggregate::kByKind;
  std::vector<Percentile> percentiles = default_percentiles();
  BucketRange buckets;
  std::vector<LabelPattern> include;
  std::vector<LabelPattern> ignore;
  std::vector<CompiledRule> rules;
  std::shared_ptr<PatternUse> use;  // null: nobody wants to know
  // For most_text(), of all rules: bytes that no label brings, how often a name may hold the label or a part
  // of it, and groups that are kept.
  std::size_t most_literal = 0;
  std::size_t most_references = 1;
  std::size_t most_groups = 0;

  static bool any_matches(const std::vector<LabelPattern>& patterns, std::string_view label) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const LabelPattern& pattern) { return matches_whole(*pattern, label); });
  }

  [[nodiscard]] std::string_view without_prefix(std::string_view label) const {
    if (prefix.empty() || !label.starts_with(prefix)) return label;
    auto rest = label.substr(prefix.size());
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
    } else if (!prefix.ends_with('.')) {
      return label;  // "web" is no prefix of "website.hits"
    }
    return rest.empty() ? label : rest;
  }
};

Rules::Rules() : impl_(std::make_unique<Impl>()) {}
Rules::Rules(Rules&&) noexcept = default;
Rules& Rules::operator=(Rules&&) noexcept = default;
Rules::~Rules() = default;

void Rules::strip_prefix(std::string prefix) { impl_->prefix = std::move(prefix); }
void Rules::aggregate(Aggregate aggregate) { impl_->aggregate = aggregate; }
void Rules::percentiles(std::vector<Percentile> percentiles) { impl_->percentiles = std::move(percentiles); }

void Rules::buckets(BucketRange range) { impl_->buckets = range; }

const std::vector<Percentile>& Rules::percentiles(std::int32_t rule) const {
  if (rule == kNoRule) return impl_->percentiles;
  const auto& own = impl_->rules[static_cast<std::size_t>(rule)].rule.percentiles;
  return own ? *own : impl_->percentiles;
}

std::size_t Rules::most_percentiles() const {
  std::size_t most = impl_->percentiles.size();
  for (const auto& compiled : impl_->rules)
    most = std::max(most, compiled.rule.percentiles ? compiled.rule.percentiles->size() : 0);
  return most;
}

BucketRange Rules::buckets(std::int32_t rule) const {
  if (rule == kNoRule) return impl_->buckets;
  return impl_->rules[static_cast<std::size_t>(rule)].rule.buckets.value_or(impl_->buckets);
}

std::size_t Rules::most_buckets() const {
  std::size_t most = impl_->buckets.size();
  for (const auto& compiled : impl_->rules)
    most = std::max(most, compiled.rule.buckets.value_or(BucketRange{}).size());
  return most;
}

Expected<void> Rules::include(const std::string& pattern) {
  return compile(pattern).map([&](LabelPattern compiled) { impl_->include.push_back(std::move(compiled)); });
}

Expected<void> Rules::ignore(const std::string& pattern) {
  return compile(pattern).map([&](LabelPattern compiled) { impl_->ignore.push_back(std::move(compiled)); });
}

Expected<void> check_aggregate(const Rule& rule) {
  if (rule.kind != Kind::kCounter || !rule.aggregate || fits_counter(*rule.aggregate)) return {};
  return tl::unexpected(invalid(fmt::format(
      "pattern \"{}\": a counter can be added up over processes (sum) or kept apart (none), not {}",
      rule.pattern, to_string(*rule.aggregate))));
}

Expected<void> Rules::add(Rule rule) {
  auto pattern = compile(rule.pattern);
  if (!pattern) return tl::unexpected(pattern.error());
  return add(std::move(rule), std::move(*pattern));
}

Expected<void> Rules::add(Rule rule, LabelPattern pattern) {
  if (const auto fits = check_groups(*pattern, rule.name); !fits) {
    return tl::unexpected(invalid(
        fmt::format(R"(name "{}" for pattern "{}": {})", rule.name, rule.pattern, fits.error().message)));
  }
  if (auto fits = check_aggregate(rule); !fits) return fits;
  const auto references = static_cast<std::size_t>(std::count(rule.name.begin(), rule.name.end(), '\\'));
  impl_->most_literal = std::max(impl_->most_literal, rule.name.size() + rule.sink_type.size());
  impl_->most_references = std::max(impl_->most_references, references);
  if (rule.keep_groups) impl_->most_groups = kMaxGroups;
  impl_->rules.push_back({std::move(rule), std::move(pattern)});
  return {};
}

std::shared_ptr<PatternUse> Rules::record_use() {
  impl_->use = std::make_shared<PatternUse>();
  for (const auto& pattern : impl_->include) impl_->use->watch_include(pattern);
  for (const auto& compiled : impl_->rules) impl_->use->watch_rule(compiled.pattern);
  impl_->use->watch_prefix(impl_->prefix);
  return impl_->use;
}

Binding Rules::bind(std::string_view label, const Field& field, const FieldMetadata& known) const {
  Binding binding;
  if (field.type.item_size == 0) return binding;
  binding.kind = known.kind.value_or(kind_by_convention(field));
  binding.unit = known.unit;
  binding.help = known.help;

  const auto name = impl_->without_prefix(label);
  binding.name = name;
  binding.stripped = name.size() != label.size();
  if (impl_->use && impl_->use->is_on()) impl_->use->meet(label, name);
  auto aggregate = impl_->aggregate;
  if (!impl_->include.empty() && !Impl::any_matches(impl_->include, name)) return binding;
  if (Impl::any_matches(impl_->ignore, name)) return binding;

  for (std::size_t i = 0; i < impl_->rules.size(); ++i) {
    const auto& [rule, pattern] = impl_->rules[i];
    auto groups = match_groups(*pattern, name);
    if (!groups) continue;
    if (rule.ignore) return binding;
    binding.rule = static_cast<std::int32_t>(i);
    if (rule.kind) binding.kind = *rule.kind;
    aggregate = rule.aggregate.value_or(aggregate);
    binding.scale = rule.scale;
    binding.sink_type = rule.sink_type;
    if (!rule.name.empty()) {
      binding.name = put_groups(rule.name, name, *groups);
      binding.stripped = false;
    }
    if (rule.keep_groups) binding.groups = std::move(*groups);
    break;
  }
  if (binding.kind == Kind::kProperty) return binding;
  binding.within_process = aggregate_by_kind(binding.kind, field.type.code);
  const bool by_kind =
      aggregate == Aggregate::kByKind || (binding.kind == Kind::kCounter && !fits_counter(aggregate));
  binding.by_kind = by_kind || aggregate == Aggregate::kNone;
  binding.aggregate = by_kind ? binding.within_process : aggregate;
  binding.used = true;
  return binding;
}

std::size_t Rules::most_text(std::size_t label_size) const {
  return impl_->most_literal + impl_->most_references * label_size +
         impl_->most_groups * (sizeof(std::string) + label_size);
}

std::uint64_t Rules::most_work(std::size_t label_size) const {
  // To know whether one matches takes a look at each byte; what its groups found, of at most one, some more.
  constexpr std::uint64_t kFindGroups = 20;
  const std::uint64_t patterns = impl_->include.size() + impl_->ignore.size() + impl_->rules.size();
  return work::kBound + patterns * (work::kMatched + 2 * label_size) +
         (impl_->rules.empty() ? 0 : kFindGroups * label_size);
}

}  // namespace mmstats
