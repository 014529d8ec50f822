#include "collect/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "collect/label_dimensions.h"
#include "collect/label_pattern.h"
#include "collect/put_values.h"
#include "collect/shared_binding.h"
#include "collect/work.h"

namespace mmstats {
namespace {

Error invalid(std::string message) { return failure(ErrorKind::kInvalid, {}, std::move(message)); }

Expected<LabelPattern> compile(const std::string& pattern, std::string_view what = "pattern") {
  return compile_label_pattern(pattern).map_error([&](const Error& error) {
    return invalid(fmt::format("{} \"{}\": {}", what, pattern, error.message));
  });
}

struct CompiledRule {
  Rule rule;
  LabelPattern pattern;             // null: it has a family alone
  LabelPattern family;              // null: it is for any field
  std::vector<NamedGroup> named{};  // of the pattern
  std::vector<LabelPattern> where{};

  [[nodiscard]] bool is_of_families() const { return pattern == nullptr; }
};

// Of one binding: what the rules may ask of a label more than once.
struct Asked {
  std::string_view name;    // its label without the prefix
  std::string_view family;  // likewise; empty: the field is of none
  std::optional<LabelDimensions> dimensions{};
};

bool has_name(const std::optional<std::vector<std::string>>& names, std::string_view name) {
  return names && std::find(names->begin(), names->end(), name) != names->end();
}

// What a field is when nobody says: buffered `Q` counts, other buffered values and bools are of
// this moment, the rest are facts.
Kind kind_by_convention(const Field& field) {
  if (field.buffered) return field.type.code == 'Q' ? Kind::kCounter : Kind::kGauge;
  return field.type.code == '?' ? Kind::kState : Kind::kProperty;
}

}  // namespace

struct Rules::Impl {
  std::string prefix;
  Aggregate aggregate = Aggregate::kByKind;
  std::optional<std::vector<std::string>> keep;
  std::optional<std::vector<std::string>> drop;
  bool by_names = false;
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
  std::size_t most_named = 0;  // in one pattern, and bytes of their names
  std::size_t most_named_text = 0;
  // For most_work().
  std::size_t patterns = 0;
  std::size_t searches = 0;  // for what groups found, at most

  // None: the rule does not match.
  static std::optional<std::vector<std::string>> match(const CompiledRule& rule, Asked& asked);

  // A rule that decided, its number, and what its groups found.
  struct Decided {
    const Rule* rule = nullptr;
    std::int32_t number = kNoRule;
    const std::vector<std::string>* groups = nullptr;
    [[nodiscard]] bool says_dimensions() const { return rule != nullptr && (rule->keep || rule->drop); }
  };
  [[nodiscard]] Decided decided(std::int32_t rule, const std::vector<std::string>& groups) const {
    if (rule == kNoRule) return {};
    return {&rules[static_cast<std::size_t>(rule)].rule, rule, &groups};
  }
  [[nodiscard]] WantsDimension wanted(const Rule* rule) const {
    return [&keep_ = rule != nullptr ? rule->keep : keep, &drop_ = rule != nullptr ? rule->drop : drop](
               std::string_view name) { return (!keep_ || has_name(keep_, name)) && !has_name(drop_, name); };
  }
  void set_dimensions(Binding& binding, const LabelDimensions& known, const SharedBinding* histogram) const;
  static std::optional<std::string> name_of(const CompiledRule& compiled, const Asked& asked,
                                            const std::vector<std::string>& groups);

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
void Rules::keep_dimensions(std::vector<std::string> keep) { impl_->keep = std::move(keep); }
void Rules::drop_dimensions(std::vector<std::string> drop) { impl_->drop = std::move(drop); }
void Rules::tell_by_names() { impl_->by_names = true; }
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
  const bool of_families = rule.pattern.empty() && !rule.family.empty();
  auto pattern = of_families ? compile(rule.family, "family") : compile(rule.pattern);
  if (!pattern) return tl::unexpected(pattern.error());
  return add(std::move(rule), std::move(*pattern));
}

Expected<void> Rules::add(Rule rule, LabelPattern pattern) {
  const bool of_families = rule.pattern.empty() && !rule.family.empty();
  const auto refuse = [&](std::string_view what, const std::string& text, const Error& error) {
    return tl::unexpected(
        invalid(fmt::format(R"({} "{}" for {} "{}": {})", what, text, of_families ? "family" : "pattern",
                            of_families ? rule.family : rule.pattern, error.message)));
  };
  if (const auto fits = check_values(*pattern, of_families, rule.name.value_or("")); !fits)
    return refuse("name", *rule.name, fits.error());
  if (auto fits = check_aggregate(rule); !fits) return fits;
  for (const auto* names : {&rule.keep, &rule.drop}) {
    if (!*names) continue;
    for (const std::string& name : **names) {
      if (auto wrong = wrong_dimension_name(name); !wrong.empty())
        return refuse("dimension", name, invalid(std::move(wrong)));
    }
  }
  CompiledRule compiled{.rule = std::move(rule), .pattern = {}, .family = {}};
  const Rule& one = compiled.rule;
  for (const auto& [dimension, text] : one.where) {
    if (auto wrong = wrong_dimension_name(dimension); !wrong.empty())
      return tl::unexpected(invalid(fmt::format(R"(dimension "{}": {})", dimension, wrong)));
    auto where = compile(text, fmt::format("dimension {}, pattern", dimension));
    if (!where) return tl::unexpected(where.error());
    compiled.where.push_back(std::move(*where));
  }
  if (of_families) {
    compiled.family = std::move(pattern);
  } else {
    compiled.named = named_groups(*pattern);
    compiled.pattern = std::move(pattern);
    if (!one.family.empty()) {
      auto family = compile(one.family, "family");
      if (!family) return tl::unexpected(family.error());
      compiled.family = std::move(*family);
    }
  }
  // A name that is not given may be the family's label with values that are escaped, and an ending.
  const std::string given = one.name.value_or("");
  impl_->most_literal = std::max(impl_->most_literal, given.size() + one.sink_type.size());
  impl_->most_references = std::max(impl_->most_references, most_values(given) + (of_families ? 1 : 0));
  if (one.keep_groups) impl_->most_groups = kMaxGroups;
  std::size_t names = 0;
  for (const NamedGroup& group : compiled.named) names += group.name.size();
  impl_->most_named = std::max(impl_->most_named, compiled.named.size());
  impl_->most_named_text = std::max(impl_->most_named_text, names);
  impl_->patterns += compiled.where.size() + (compiled.pattern ? 1 : 0) + (compiled.family ? 1 : 0);
  impl_->searches += !compiled.where.empty() && !compiled.named.empty() ? 1 : 0;
  impl_->rules.push_back(std::move(compiled));
  return {};
}

std::shared_ptr<PatternUse> Rules::record_use() {
  impl_->use = std::make_shared<PatternUse>();
  for (const auto& pattern : impl_->include) impl_->use->watch_include(pattern);
  for (const auto* names : {&impl_->keep, &impl_->drop}) {
    if (*names) impl_->use->watch_dimensions(**names);
  }
  for (const auto& compiled : impl_->rules) {
    impl_->use->watch_rule(compiled.pattern, compiled.family);
    const Rule& rule = compiled.rule;
    for (const auto* names : {&rule.keep, &rule.drop}) {
      if (*names) impl_->use->watch_dimensions(**names);
    }
    impl_->use->watch_dimensions(rule.asks);
    impl_->use->watch_dimensions(asked_dimensions(rule.name.value_or("")));
    for (const auto& where : rule.where) impl_->use->watch_dimensions({where.dimension});
  }
  impl_->use->watch_prefix(impl_->prefix);
  return impl_->use;
}

// Cheap questions first: what groups found is asked last.
std::optional<std::vector<std::string>> Rules::Impl::match(const CompiledRule& rule, Asked& asked) {
  const bool in_family = !asked.family.empty();
  if (rule.family && (!in_family || !matches_whole(*rule.family, asked.family))) return std::nullopt;
  const auto holds = [&](const LabelDimensions* dimensions) {
    for (std::size_t i = 0; i < rule.where.size(); ++i) {
      const auto value =
          dimensions != nullptr ? dimensions->value(rule.rule.where[i].dimension) : std::string_view();
      if (!matches_whole(*rule.where[i], value)) return false;
    }
    return true;
  };
  const bool by_groups = !in_family && !rule.named.empty();
  if (!by_groups && !holds(asked.dimensions ? &*asked.dimensions : nullptr)) return std::nullopt;
  if (rule.is_of_families()) return match_groups(*rule.family, asked.family);
  auto found = match_named_groups(*rule.pattern, rule.named, asked.name);
  if (!found) return std::nullopt;
  if (by_groups) {
    auto dimensions = dimensions_of_groups(asked.name, rule.named, found->named);
    if (!holds(&dimensions)) return std::nullopt;
    asked.dimensions = std::move(dimensions);
  }
  return std::move(found->groups);
}

// Without the prefix. None: the rule gives no name, or asks for a dimension that is not there.
std::optional<std::string> Rules::Impl::name_of(const CompiledRule& compiled, const Asked& asked,
                                                const std::vector<std::string>& groups) {
  const auto& text = compiled.rule.name;
  if (!text) return std::nullopt;
  static const std::vector<Dimension> kNone;
  auto name = put_label(*text, asked.name, groups, asked.dimensions ? asked.dimensions->all : kNone);
  if (name && compiled.is_of_families()) {
    std::string_view ending = asked.dimensions->ending;
    if (name->empty() && ending.starts_with('.')) ending.remove_prefix(1);
    name->append(ending);
  }
  return name;
}

void Rules::Impl::set_dimensions(Binding& binding, const LabelDimensions& known,
                                 const SharedBinding* histogram) const {
  const Decided of_histogram =
      histogram != nullptr ? decided(histogram->rule, histogram->groups()) : Decided{};
  Decided own = decided(binding.rule, binding.groups);
  if (own.rule == nullptr) own = of_histogram;
  const Rule* const rule = own.rule;
  const WantsDimension is_kept = wanted(own.says_dimensions()            ? rule
                                        : of_histogram.says_dimensions() ? of_histogram.rule
                                                                         : nullptr);
  const WantsDimension is_asked = [&](std::string_view name) {
    return rule != nullptr && std::ranges::find(rule->asks, name) != rule->asks.end();
  };
  for (const Dimension& dimension : known.all) {
    if (is_kept(dimension.name)) {
      binding.dimensions.push_back(dimension);
    } else if (is_asked(dimension.name)) {
      binding.asked.push_back(dimension);
    }
  }
  const std::size_t told_apart = binding.dimensions.size() + binding.asked.size();
  if (told_apart < known.all.size()) {
    auto label = known.label_of([&](std::string_view name) { return is_kept(name) || is_asked(name); });
    if (!label.empty()) binding.name = std::move(label);
  }
  binding.family = known.family();
  const bool is_whole = binding.dimensions.size() == known.all.size();
  if (binding.family.empty() || told_apart == 0 || (by_names && is_whole)) {
    // It is the same metric as one of that label that never had any.
    binding.family.clear();
    binding.dimensions.clear();
    binding.asked.clear();
  }
  if (told_apart == known.all.size() || rule == nullptr || !rule->keep_groups) return;
  binding.asked.push_back({.name = {}, .value = std::to_string(own.number)});
  for (const std::size_t group : rule->asks_groups) {
    if (group > 0 && group <= own.groups->size())
      binding.asked.push_back({.name = '\\' + std::to_string(group), .value = (*own.groups)[group - 1]});
  }
}

Binding Rules::bind(std::string_view label, const Field& field, const FieldMetadata& known,
                    const SharedBinding* histogram) const {
  Binding binding;
  if (field.type.item_size == 0) return binding;
  binding.kind = known.kind.value_or(kind_by_convention(field));
  binding.unit = known.unit;
  binding.help = known.help;

  Asked asked{.name = {}, .family = impl_->without_prefix(known.family)};
  std::string canonical;
  if (!asked.family.empty()) {
    asked.dimensions = dimensions_of_family(label, asked.family, known);
    canonical = asked.dimensions->label_with(known.family);
    label = canonical;
  }
  const auto name = asked.name = impl_->without_prefix(label);
  binding.name = name;
  binding.stripped = name.size() != label.size();
  const bool is_looked_at = impl_->use && impl_->use->is_on();
  if (is_looked_at) impl_->use->meet(label, name, asked.family);
  auto aggregate = impl_->aggregate;
  if (!impl_->include.empty() && !Impl::any_matches(impl_->include, name)) return binding;
  if (Impl::any_matches(impl_->ignore, name)) return binding;

  std::optional<std::string> given;
  for (std::size_t i = 0; i < impl_->rules.size(); ++i) {
    const CompiledRule& compiled = impl_->rules[i];
    auto groups = Impl::match(compiled, asked);
    if (!groups) continue;
    const Rule& rule = compiled.rule;
    if (rule.ignore) {
      if (asked.dimensions && is_looked_at) impl_->use->meet(asked.dimensions->all);
      return binding;
    }
    binding.rule = static_cast<std::int32_t>(i);
    if (rule.kind) binding.kind = *rule.kind;
    aggregate = rule.aggregate.value_or(aggregate);
    binding.scale = rule.scale.value_or(1.0);
    binding.sink_type = rule.sink_type;
    given = Impl::name_of(compiled, asked, *groups);
    if (rule.keep_groups) binding.groups = std::move(*groups);
    break;
  }
  if (asked.dimensions && is_looked_at) impl_->use->meet(asked.dimensions->all);
  if (given) {
    binding.name = std::move(*given);
    binding.stripped = false;
  } else if (asked.dimensions) {
    impl_->set_dimensions(binding, *asked.dimensions, histogram);
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

std::size_t Rules::most_text(std::size_t label_size, const FieldMetadata& known) const {
  // Groups are views of a label as our writer writes it. Values in names are escaped.
  const std::size_t escaped = known.family.empty() ? label_size : label_size + more_if_escaped(known.values);
  // Groups may be there twice: see Binding::asked.
  std::size_t size = impl_->most_literal + impl_->most_groups * (sizeof(std::string) + escaped);
  if (impl_->most_groups > 0) size += (1 + impl_->most_groups) * (sizeof(Dimension) + 10 + escaped);
  if (!known.family.empty()) {
    const auto spaces = std::count(known.dimensions.begin(), known.dimensions.end(), ' ');
    return size + impl_->most_references * escaped + 2 * label_size + known.dimensions.size() +
           (1 + static_cast<std::size_t>(spaces)) * sizeof(Dimension);
  }
  if (impl_->most_named == 0) return size + impl_->most_references * label_size;
  // Groups may lie in each other. A name may be all that they found.
  constexpr std::size_t kEscaped = 3;  // bytes for each one of a value, at most
  return size + kEscaped * (impl_->most_references * label_size + impl_->most_references) + label_size +
         (1 + kEscaped) * impl_->most_named * (1 + label_size) + impl_->most_named_text +
         impl_->most_named * sizeof(Dimension);
}

std::uint64_t Rules::most_work(std::size_t label_size, const FieldMetadata& known) const {
  // To know whether one matches takes a look at each byte; what its groups found, of at most one, and of
  // those that ask for values of them, some more.
  constexpr std::uint64_t kFindGroups = 20;
  const std::uint64_t patterns = impl_->include.size() + impl_->ignore.size() + impl_->patterns;
  const std::uint64_t searches = impl_->rules.empty() ? 0 : 1 + impl_->searches;
  // Patterns see a label of a family as our writer writes it. Its dimensions are read, and compared with each
  // other.
  if (!known.family.empty()) label_size += more_if_escaped(known.values);
  const std::uint64_t families = known.family.empty() ? 0 : work::kBound / 2 + 4 * known.dimensions.size();
  return work::kBound + families + patterns * (work::kMatched + 2 * label_size) +
         searches * kFindGroups * label_size;
}

}  // namespace mmstats
