#include "collect/rules.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "collect/label_pattern.h"
#include "format/struct_codes.h"

namespace mmstats {
namespace {

constexpr std::array<std::pair<std::string_view, Aggregate>, 8> kAggregates{{
    {"default", Aggregate::kByKind},
    {"sum", Aggregate::kSum},
    {"avg", Aggregate::kAvg},
    {"min", Aggregate::kMin},
    {"max", Aggregate::kMax},
    {"nonzero-avg", Aggregate::kNonzeroAvg},
    {"nonzero-min", Aggregate::kNonzeroMin},
    {"none", Aggregate::kNone},
}};

bool fits_counter(Aggregate aggregate) {
  return aggregate == Aggregate::kByKind || aggregate == Aggregate::kSum || aggregate == Aggregate::kNone;
}

using Pattern = std::unique_ptr<const RE2>;

Error invalid(std::string message) { return failure(ErrorKind::kInvalid, {}, std::move(message)); }

Expected<Pattern> compile(const std::string& pattern) {
  return compile_label_pattern(pattern).map_error(
      [&](const Error& error) { return invalid(fmt::format("pattern \"{}\": {}", pattern, error.message)); });
}

struct CompiledRule {
  Rule rule;
  Pattern pattern;
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
  for (const auto& [word, value] : kAggregates) {
    if (value == aggregate) return word;
  }
  return "";
}

std::optional<Aggregate> parse_aggregate(std::string_view word) {
  for (const auto& [name, aggregate] : kAggregates) {
    if (name == word) return aggregate;
  }
  return std::nullopt;
}

struct Rules::Impl {
  std::string prefix;
  Aggregate aggregate = Aggregate::kByKind;
  std::vector<Pattern> include;
  std::vector<Pattern> ignore;
  std::vector<CompiledRule> rules;

  static bool any_matches(const std::vector<Pattern>& patterns, std::string_view label) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const Pattern& pattern) { return matches_whole(*pattern, label); });
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

Expected<void> Rules::include(const std::string& pattern) {
  return compile(pattern).map([&](Pattern compiled) { impl_->include.push_back(std::move(compiled)); });
}

Expected<void> Rules::ignore(const std::string& pattern) {
  return compile(pattern).map([&](Pattern compiled) { impl_->ignore.push_back(std::move(compiled)); });
}

Expected<void> Rules::add(Rule rule) {
  auto pattern = compile(rule.pattern);
  if (!pattern) return tl::unexpected(pattern.error());
  if (std::string why; !rule.name.empty() && !(*pattern)->CheckRewriteString(rule.name, &why)) {
    return tl::unexpected(
        invalid(fmt::format(R"(name "{}" for pattern "{}": {})", rule.name, rule.pattern, why)));
  }
  if (rule.kind == Kind::kCounter && rule.aggregate && !fits_counter(*rule.aggregate)) {
    return tl::unexpected(invalid(fmt::format(
        "pattern \"{}\": a counter can be added up over processes (sum) or kept apart (none), not {}",
        rule.pattern, to_string(*rule.aggregate))));
  }
  impl_->rules.push_back({std::move(rule), std::move(*pattern)});
  return {};
}

Binding Rules::bind(std::string_view label, const Field& field, std::string_view metadata) const {
  Binding binding;
  if (field.type.item_size == 0) return binding;
  const auto known = find_metadata(metadata, field.label);
  binding.kind = known.kind.value_or(kind_by_convention(field));
  binding.unit = known.unit;
  binding.help = known.help;

  const auto name = impl_->without_prefix(label);
  binding.name = name;
  auto aggregate = impl_->aggregate;
  if (!impl_->include.empty() && !Impl::any_matches(impl_->include, name)) return binding;
  if (Impl::any_matches(impl_->ignore, name)) return binding;

  for (const auto& [rule, pattern] : impl_->rules) {
    constexpr int kGroups = 10;  // \0 to \9
    std::array<re2::StringPiece, kGroups> groups;
    const int wanted = std::min(kGroups, pattern->NumberOfCapturingGroups() + 1);
    const re2::StringPiece text(name.data(), name.size());
    if (!pattern->Match(text, 0, name.size(), RE2::ANCHOR_BOTH, groups.data(), wanted)) continue;
    if (rule.ignore) return binding;
    if (rule.kind) binding.kind = *rule.kind;
    aggregate = rule.aggregate.value_or(aggregate);
    binding.scale = rule.scale;
    binding.sink_type = rule.sink_type;
    if (!rule.name.empty()) {
      binding.name.clear();
      pattern->Rewrite(&binding.name, rule.name, groups.data(), wanted);
    }
    break;
  }
  if (binding.kind == Kind::kProperty) return binding;
  binding.within_process = aggregate_by_kind(binding.kind, field.type.code);
  const bool by_kind =
      aggregate == Aggregate::kByKind || (binding.kind == Kind::kCounter && !fits_counter(aggregate));
  binding.aggregate = by_kind ? binding.within_process : aggregate;
  binding.used = true;
  return binding;
}

}  // namespace mmstats
