#include "tools/mmash/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

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

bool MetricNames::take(std::string_view family, Kind kind) {
  // The hash stands for the name: should two hashes meet, one name gets longer than it had to.
  mmstats::KeyedHasher hasher;
  hasher.add(family);
  const auto hash_with = [&](std::string_view end) {
    auto longer = hasher;
    longer.add(end);
    return longer.finish();
  };
  const auto hash = hash_with("");
  if (kind != Kind::kCounter) return taken_.insert(hash).second;
  // A counter's samples, one of them not written here, must not be another family's name either.
  const auto total = hash_with(kTotal);
  const auto created = hash_with("_created");
  if (taken_.contains(hash) || taken_.contains(total) || taken_.contains(created)) return false;
  taken_.insert({hash, total, created});
  return true;
}

MetricName MetricNames::choose(const Series& series, std::size_t index) {
  const std::string_view label = series.name;
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
  if (series.kind == Kind::kCounter && stem.size() > kTotal.size() && stem.ends_with(kTotal)) {
    stem.resize(stem.size() - kTotal.size());
  }
  changed = changed || mmstats::ends_like_name_hash(stem, '_');
  const bool unit =
      !series.unit.empty() && series.unit.size() <= kMaxStem && std::ranges::all_of(series.unit, is_plain);
  const std::string suffix = unit ? "_" + series.unit : "";
  const auto name = [&](const std::string& hash) {
    return stem + hash + (hash.empty() && stem.ends_with(suffix) ? "" : suffix);
  };
  const auto hash = [&](std::uint64_t salt) { return "_" + mmstats::name_hash(label, salt); };
  std::string family = name(changed ? hash(0) : "");
  // After the usual hash the index makes each salt its own, so that labels made to collide do not make us
  // search.
  for (std::uint64_t salt = 0; !take(family, series.kind); salt += (std::uint64_t{1} << 32U) + index) {
    family = name(hash(salt));
  }
  return {std::move(family), unit ? series.unit : ""};
}

void MetricNames::extend(std::span<const Series> series) {
  const std::size_t known = names_.size();
  if (known >= series.size()) return;
  // By label, so that of two that meet it is the same one that gets the hash whichever file was found first.
  std::vector<std::size_t> order(series.size() - known);
  std::iota(order.begin(), order.end(), known);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::tie(series[a].name, series[a].kind) < std::tie(series[b].name, series[b].kind);
  });
  names_.resize(series.size());
  for (const std::size_t index : order) names_[index] = choose(series[index], index);
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

std::string help_of(const Series& series) {
  return series.help.empty() ? fmt::format("The label {}", series.name) : series.help;
}

}  // namespace mmash
