#include "tools/mmash/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "base/buckets.h"
#include "base/failure.h"
#include "base/hash.h"
#include "base/keyed_hash.h"
#include "mmstats/error.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::Kind;
using mmstats::Series;

constexpr std::size_t kMaxStem = 200;  // bytes of a label that a name keeps
constexpr std::string_view kTotal = "_total";
constexpr std::array<std::string_view, 4> kOfHistogram{"_bucket", "_sum", "_count", "_created"};

// The range that is shown is widened to whole such blocks of powers of two, so that hosts which differ a
// little show the same bounds: Prometheus adds them up by bound.
constexpr std::uint32_t kPowersAtOnce = 4;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
// A colon would be allowed, but is left to recording rules.
bool is_plain(char c) { return is_letter(c) || is_digit(c) || c == '_'; }

std::string_view type_word(Kind kind) { return kind == Kind::kCounter ? "counter" : "gauge"; }

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  return mmstats::float_text(value);
}

// The sample's value; none if there is none to tell.
std::optional<std::string> sample_text(const Series& series) {
  if (!series.present) return std::nullopt;
  if (series.integral) return fmt::to_string(series.total);
  if (series.kind == Kind::kCounter && !(series.value >= 0)) return std::nullopt;
  return number_text(series.value);
}

// The older format knows no escaped quotes.
std::string escaped_help(std::string_view help, MetricsFormat format) {
  std::string result;
  for (const char c : mmstats::printable(help)) {
    if (c == '\\' || (c == '"' && format == MetricsFormat::kOpenMetrics)) result += '\\';
    result += c;
  }
  return result;
}

}  // namespace

MetricsFormat metrics_format(std::string_view accept) {
  return accept.find("application/openmetrics-text") == std::string_view::npos ? MetricsFormat::kPrometheus
                                                                               : MetricsFormat::kOpenMetrics;
}

std::string_view content_type(MetricsFormat format) {
  return format == MetricsFormat::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
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

void MetricNames::extend(std::span<const Series> series, Distributions distributions) {
  // What comes first may have the names without a hash.
  for (std::size_t i = histograms_.size(); i < distributions.size(); ++i) {
    const auto* const one = distributions[i].get();
    histograms_.push_back(one == nullptr ? MetricName{} : choose(one->name, one->unit, kOfHistogram, i));
  }
  const std::size_t known = names_.size();
  if (known >= series.size()) return;
  // By label, so that of two that meet it is the same one that gets the hash whichever file was found first.
  std::vector<std::size_t> order(series.size() - known);
  std::iota(order.begin(), order.end(), known);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::tie(series[a].name, series[a].kind) < std::tie(series[b].name, series[b].kind);
  });
  names_.resize(series.size());
  for (const std::size_t index : order) {
    const Series& one = series[index];
    if (one.distribution >= 0 && !distributions.empty()) continue;
    names_[index] = choose(one.name, one.unit, endings_of(one.kind), index);
  }
}

void write_family(MetricsFormat format, const MetricName& name, std::string_view help, const Series& series,
                  std::string& into) {
  const auto value = sample_text(series);
  if (!value) return;
  const std::string sample = name.family + (series.kind == Kind::kCounter ? std::string(kTotal) : "");
  const std::string& family = format == MetricsFormat::kOpenMetrics ? name.family : sample;
  into += fmt::format("# TYPE {} {}\n", family, type_word(series.kind));
  if (format == MetricsFormat::kOpenMetrics && !name.unit.empty()) {
    into += fmt::format("# UNIT {} {}\n", family, name.unit);
  }
  into += fmt::format("# HELP {} {}\n{} {}\n", family, escaped_help(help, format), sample, *value);
}

mmstats::Expected<BucketBounds> parse_bucket_bounds(std::string_view text) {
  const auto invalid = [&](std::string_view why) {
    return tl::unexpected(mmstats::failure(
        mmstats::ErrorKind::kInvalid, {},
        fmt::format("buckets \"{}\": {}; give 1, 2, 4, 8 or 16 a power of two, all, or bounds as 0.1,0.5,2",
                    mmstats::printable(text), why)));
  };
  if (text == "all") return BucketBounds{.per_power = mmstats::buckets::kMostParts};
  if (text.find_first_of(",.") == std::string_view::npos) {
    unsigned number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return invalid("that is no number");
    if (!std::has_single_bit(number) || number > mmstats::buckets::kMostParts)
      return invalid("that is no number of buckets");
    return BucketBounds{.per_power = number};
  }
  BucketBounds bounds;
  for (auto rest = text; !rest.empty();) {
    const auto one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    double bound = 0;
    const auto read = std::from_chars(one.data(), one.data() + one.size(), bound);
    if (read.ec != std::errc{} || read.ptr != one.data() + one.size() || !std::isfinite(bound) || bound <= 0)
      return invalid("a bound is no number above 0");
    if (!bounds.listed.empty() && bound <= bounds.listed.back()) return invalid("bounds must ascend");
    bounds.listed.push_back(bound);
  }
  return bounds;
}

void write_histogram(MetricsFormat format, const MetricName& name, const mmstats::Distribution& distribution,
                     const Series* sum, const BucketBounds& bounds, std::string& into) {
  namespace buckets = mmstats::buckets;
  using buckets::kMostParts;
  const std::string& family = name.family;
  const auto& total = distribution.total;
  into += fmt::format("# TYPE {} histogram\n", family);
  if (format == MetricsFormat::kOpenMetrics && !name.unit.empty())
    into += fmt::format("# UNIT {} {}\n", family, name.unit);
  const auto help =
      distribution.help.empty() ? fmt::format("The label {}", distribution.name) : distribution.help;
  into += fmt::format("# HELP {} {}\n", family, escaped_help(help, format));
  const auto bucket = [&](double bound, std::uint64_t below) {
    into += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", family, number_text(bound), below);
  };
  if (!bounds.listed.empty()) {
    for (const double bound : bounds.listed) bucket(bound, total.below(bound));
  } else if (!total.powers().empty()) {
    const std::uint32_t first = total.powers().front().number / kPowersAtOnce * kPowersAtOnce;
    const std::uint32_t last = (total.powers().back().number / kPowersAtOnce + 1) * kPowersAtOnce;
    const std::uint32_t step = kMostParts / bounds.per_power;
    auto power = total.powers().begin();
    std::uint64_t below = 0;
    for (std::uint32_t at = first * kMostParts; at < last * kMostParts; at += step) {
      while (power != total.powers().end() && power->number < at / kMostParts) ++power;
      if (power != total.powers().end() && power->number == at / kMostParts) {
        for (std::uint32_t part = 0; part < step; ++part) below += power->parts[at % kMostParts + part];
      }
      bucket(buckets::lower(at + step), below);
    }
  }
  into += fmt::format("{}_bucket{{le=\"+Inf\"}} {}\n", family, total.count());
  // Values that a sum cannot have are not told.
  if (sum != nullptr && sum->value >= 0) into += fmt::format("{}_sum {}\n", family, number_text(sum->value));
  into += fmt::format("{}_count {}\n", family, total.count());
}

std::string help_of(const Series& series) {
  return series.help.empty() ? fmt::format("The label {}", series.name) : series.help;
}

}  // namespace mmash
