#include "tools/mmash/metric_names.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "base/keyed_hash.h"
#include "format/dimensions.h"
#include "tools/shared/dimensions_text.h"

namespace mmash {
namespace {

using mmstats::Dimension;
using mmstats::Kind;
using mmstats::Series;

constexpr std::size_t kMaxStem = 200;  // bytes of a label that a name keeps
constexpr std::array<std::string_view, 4> kOfHistogram{"_bucket", "_sum", "_count", "_created"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
// A colon would be allowed, but is left to recording rules.
bool is_plain(char c) { return is_letter(c) || is_digit(c) || c == '_'; }

// Its label, or that of the family.
std::string_view label_of(const auto& one) { return one.family().empty() ? one.name() : one.family(); }

// Whether they can be labels.
bool are_good(const std::vector<Dimension>& dimensions) {
  for (auto one = dimensions.begin(); one != dimensions.end(); ++one) {
    if (!mmstats::wrong_dimension_name(one->name).empty() ||
        std::any_of(dimensions.begin(), one, [&](const Dimension& other) { return other.name == one->name; }))
      return false;
  }
  return true;
}

// A family's label without the parts that begin with @, by which its dimensions are told from those of others
// with the same name.
std::string shared_label(std::string_view family) {
  std::string shared;
  for (std::size_t at = 0; at <= family.size();) {
    const std::size_t end = std::min(family.find('.', at), family.size());
    if (const auto part = family.substr(at, end - at); !part.starts_with('@')) {
      if (at > 0 && !shared.empty()) shared += '.';
      shared += part;
    }
    at = end + 1;
  }
  return shared;
}

// Prometheus tells samples apart by their labels in whatever order, and families that share a name may have
// them in another one.
std::string sample_labels(std::vector<Dimension> dimensions) {
  std::ranges::sort(dimensions);
  return labels_text(dimensions);
}

bool are_before(const std::vector<Dimension>& a, const std::vector<Dimension>& b) {
  return std::ranges::lexicographical_compare(a, b, {}, &Dimension::name, &Dimension::name);
}

// The order in which two, series or distributions, get their names.
bool is_named_before(const auto& a, const auto& b) {
  const auto key = [](const auto& one) {
    auto kind = Kind::kGauge;
    if constexpr (requires { one.kind; }) kind = one.kind;
    return std::tuple(label_of(one), !one.family().empty(), kind, std::string_view(one.unit()));
  };
  const auto first = key(a);
  const auto second = key(b);
  if (first != second) return first < second;
  if (are_before(a.dimensions(), b.dimensions())) return true;
  return !are_before(b.dimensions(), a.dimensions()) &&
         std::tie(a.name(), a.dimensions()) < std::tie(b.name(), b.dimensions());
}

}  // namespace

std::string labels_text(const std::vector<Dimension>& dimensions) {
  return mmstats::dimensions_text(dimensions, mmstats::EmptyValues::kLeftOut);
}

const MetricName& MetricNames::operator[](std::size_t series) const {
  static const MetricName kNothing;
  const auto family = series_[series];
  return family == kNone || families_[family].histogram ? kNothing : families_[family].name;
}

// A counter's samples, one of them not written here, must not be another family's name either.
MetricNames::Endings MetricNames::endings_of(Kind kind) {
  static constexpr std::array<std::string_view, 2> kCounter{kTotal, "_created"};
  return kind == Kind::kCounter ? Endings(kCounter) : Endings{};
}

bool MetricNames::take(std::string_view family, Endings endings) {
  // The hash stands for the name: should two hashes meet, one name gets longer than it had to.
  mmstats::KeyedHasher hasher;
  hasher.add(family);
  std::vector<std::uint64_t> hashes{mmstats::KeyedHasher(hasher).finish()};
  for (const auto ending : endings) {
    auto longer = hasher;
    longer.add(ending);
    hashes.push_back(longer.finish());
  }
  if (std::ranges::any_of(hashes, [&](std::uint64_t hash) { return taken_.contains(hash); })) return false;
  taken_.insert(hashes.begin(), hashes.end());
  return true;
}

MetricName MetricNames::choose(std::string_view label, std::string_view unit_word, Endings endings,
                               std::size_t index) {
  std::string stem;
  bool changed = label.empty() || label.size() > kMaxStem;
  if (label.empty() || is_digit(label[0])) {
    stem += '_';
    changed = true;
  }
  for (const char c : label.substr(0, kMaxStem)) {
    changed = changed || !(is_plain(c) || c == '.');
    stem += is_plain(c) ? c : '_';
  }
  const bool is_counter = !endings.empty() && endings.front() == kTotal;
  if (is_counter && stem.size() > kTotal.size() && stem.ends_with(kTotal)) {
    stem.resize(stem.size() - kTotal.size());
  }
  changed = changed || mmstats::ends_like_name_hash(stem, '_');
  const bool unit =
      !unit_word.empty() && unit_word.size() <= kMaxStem && std::ranges::all_of(unit_word, is_plain);
  const std::string suffix = unit ? "_" + std::string(unit_word) : "";
  const auto name = [&](const std::string& hash) {
    return stem + hash + (hash.empty() && stem.ends_with(suffix) ? "" : suffix);
  };
  const auto hash = [&](std::uint64_t salt) { return "_" + mmstats::name_hash(label, salt); };
  std::string family = name(changed ? hash(0) : "");
  // After the usual hash the index makes each salt its own, so that labels made to collide do not make us
  // search.
  for (std::uint64_t salt = 0; !take(family, endings); salt += (std::uint64_t{1} << 32U) + index) {
    family = name(hash(salt));
  }
  return {std::move(family), std::string(unit ? unit_word : "")};
}

template <class One>
std::uint32_t MetricNames::family_of(const One& one, Endings endings, std::size_t index) {
  const auto add = [&](std::string_view label, bool labelled) {
    families_.push_back({.name = choose(label, one.unit(), endings, index),
                         .labelled = labelled,
                         .histogram = endings.size() == kOfHistogram.size()});
    return static_cast<std::uint32_t>(families_.size() - 1);
  };
  if (one.family().empty() || !are_good(one.dimensions())) return add(one.name(), false);
  mmstats::KeyedHasher hasher;
  hasher.add(endings.size());
  const auto add_text = [&](std::string_view text) {
    hasher.add(text.size());
    hasher.add(text);
  };
  const std::string shared = shared_label(one.family());
  add_text(shared);
  add_text(one.unit());
  if (shared == one.family()) {
    for (const auto& dimension : one.dimensions()) add_text(dimension.name);
  }
  const auto [known, is_new] = labelled_.try_emplace(hasher.finish(), kNone);
  if (is_new) known->second = add(shared, true);
  mmstats::KeyedHasher sample;
  sample.add(families_[known->second].name.family);
  sample.add("{");
  sample.add(sample_labels(one.dimensions()));
  return taken_.insert(sample.finish()).second ? known->second : add(one.name(), false);
}

void MetricNames::put(std::uint32_t series, std::uint32_t family) {
  if (series_[series] == family) return;
  series_[series] = family;
  if (family == kNone) return;
  auto& members = families_[family].series;
  if (members.empty()) order_.push_back(family);
  members.push_back(series);
}

void MetricNames::extend(std::span<const Series> series, Distributions distributions) {
  // In the order of labels, so that of two that meet it is the same one that gets the hash whichever file was
  // found first.
  std::vector<std::uint32_t> order;
  // What comes first may have the names without a hash.
  for (std::size_t i = histograms_.size(); i < distributions.size(); ++i) {
    if (distributions[i]) order.push_back(static_cast<std::uint32_t>(i));
  }
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return is_named_before(*distributions[a], *distributions[b]);
  });
  histograms_.resize(std::max(histograms_.size(), distributions.size()), kNone);
  for (const auto index : order) {
    histograms_[index] = family_of(*distributions[index], kOfHistogram, index);
  }

  const std::size_t known = series_.size();
  series_.resize(std::max(known, series.size()), kNone);
  std::vector<std::uint32_t> chosen(series_.size() - known, kNone);
  order.resize(chosen.size());
  std::iota(order.begin(), order.end(), static_cast<std::uint32_t>(known));
  std::ranges::sort(order,
                    [&](std::uint32_t a, std::uint32_t b) { return is_named_before(series[a], series[b]); });
  for (const auto index : order) {
    const Series& one = series[index];
    if (one.distribution >= 0 && !distributions.empty()) continue;
    chosen[index - known] = family_of(one, endings_of(one.kind), index);
  }
  for (std::uint32_t index = 0; index < series.size(); ++index) {
    const Series& one = series[index];
    if (one.distribution >= 0 && !distributions.empty()) {
      // A series may be found to be a histogram's later.
      const auto histogram = histograms_[static_cast<std::size_t>(one.distribution)];
      put(index, one.kind == Kind::kCounter ? histogram : kNone);
    } else if (index >= known) {
      put(index, chosen[index - known]);
    }
  }
}

}  // namespace mmash
