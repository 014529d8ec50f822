#include "tools/mmash/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "base/buckets.h"
#include "base/failure.h"
#include "mmstats/error.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::Kind;
using mmstats::Series;
namespace buckets = mmstats::buckets;

// The range that is shown is widened to whole such blocks of powers of two, so that hosts which differ a
// little show the same bounds: Prometheus adds them up by bound.
constexpr std::uint32_t kPowersAtOnce = 4;

std::string_view type_word(Kind kind) { return kind == Kind::kCounter ? "counter" : "gauge"; }
std::string_view ending(Kind kind) { return kind == Kind::kCounter ? kTotal : ""; }

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

// In the older format a family of counters is called as its sample: with the ending.
void write_head(MetricsFormat format, const MetricName& name, std::string_view ending, std::string_view type,
                std::string_view help, std::string& into) {
  const bool is_open = format == MetricsFormat::kOpenMetrics;
  const auto family = name.family + std::string(is_open ? "" : ending);
  into += fmt::format("# TYPE {} {}\n", family, type);
  if (is_open && !name.unit.empty()) into += fmt::format("# UNIT {} {}\n", family, name.unit);
  into += fmt::format("# HELP {} {}\n", family, escaped_help(help, format));
}

// What a series or a distribution says of itself: its help, or its label.
std::string help_of(const auto& one, bool labelled) {
  return one.help().empty() ? fmt::format("The label {}", labelled ? one.family() : one.name()) : one.help();
}

std::string in_braces(const std::string& labels) { return labels.empty() ? labels : "{" + labels + "}"; }

}  // namespace

MetricsFormat metrics_format(std::string_view accept) {
  return accept.find("application/openmetrics-text") == std::string_view::npos ? MetricsFormat::kPrometheus
                                                                               : MetricsFormat::kOpenMetrics;
}

std::string_view content_type(MetricsFormat format) {
  return format == MetricsFormat::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
}

void write_family(MetricsFormat format, const MetricName& name, std::string_view help, const Series& series,
                  std::string& into) {
  const auto value = sample_text(series);
  if (!value) return;
  write_head(format, name, ending(series.kind), type_word(series.kind), help, into);
  into += fmt::format("{}{} {}\n", name.family, ending(series.kind), *value);
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

bool MetricsText::write(std::span<const Series> series, Distributions distributions, std::size_t size,
                        std::string& into) {
  const std::size_t end = into.size() + size;
  for (; place_ < end_; ++place_, at_ = 0) {
    const auto& family = names_.family(place_);
    if (at_ == 0) begin(family, series, distributions);
    for (; at_ < family.series.size(); ++at_) {
      if (into.size() >= end) return true;
      const auto index = family.series[at_];
      if (!names_.has(place_, index)) continue;
      if (family.histogram) {
        write_histogram(family, index, series, distributions, into);
      } else {
        write_sample(family, series[index], into);
      }
    }
  }
  return false;
}

void MetricsText::begin(const MetricNames::Family& family, std::span<const Series> series,
                        Distributions distributions) {
  headed_ = false;
  if (!family.histogram || !bounds_.listed.empty()) return;
  // Of all its series the same one: who adds them by bound would lose those that end below others.
  range_ = {.first = buckets::kPowers, .end = 0};
  for (const auto index : family.series) {
    const auto* const one = counted(index, series, distributions);
    if (one == nullptr || one->total.powers().empty()) continue;
    range_.first = std::min(range_.first, one->total.powers().front().number / kPowersAtOnce * kPowersAtOnce);
    range_.end =
        std::max(range_.end, (one->total.powers().back().number / kPowersAtOnce + 1) * kPowersAtOnce);
  }
}

// Null: the series is the sum of a histogram, or no longer one's.
const mmstats::Distribution* MetricsText::counted(std::uint32_t index, std::span<const Series> series,
                                                  Distributions distributions) {
  const auto histogram = series[index].distribution;
  if (histogram < 0) return nullptr;
  const auto* const one = distributions[static_cast<std::size_t>(histogram)].get();
  return one == nullptr || one->sum == static_cast<std::int32_t>(index) ? nullptr : one;
}

void MetricsText::write_sample(const MetricNames::Family& family, const Series& series, std::string& into) {
  const auto value = sample_text(series);
  if (!value) return;
  if (!std::exchange(headed_, true)) {
    write_head(format_, family.name, ending(series.kind), type_word(series.kind),
               help_of(series, family.labelled), into);
  }
  fmt::format_to(std::back_inserter(into), "{}{}{} {}\n", family.name.family, ending(series.kind),
                 family.labelled ? in_braces(labels_text(series.dimensions())) : "", *value);
}

void MetricsText::write_histogram(const MetricNames::Family& family, std::uint32_t index,
                                  std::span<const Series> series, Distributions distributions,
                                  std::string& into) {
  const auto* const one = counted(index, series, distributions);
  if (one == nullptr) return;
  const auto& name = family.name.family;
  if (!std::exchange(headed_, true)) {
    write_head(format_, family.name, "", "histogram", help_of(*one, family.labelled), into);
  }
  const auto& total = one->total;
  const auto labels = family.labelled ? labels_text(one->dimensions()) : "";
  const auto bucket_name = fmt::format("{}_bucket{{{}{}le=\"", name, labels, labels.empty() ? "" : ",");
  const auto bucket = [&](std::string_view bound, std::uint64_t below) {
    fmt::format_to(std::back_inserter(into), "{}{}\"}} {}\n", bucket_name, bound, below);
  };
  if (!bounds_.listed.empty()) {
    for (const double bound : bounds_.listed) bucket(number_text(bound), total.below(bound));
  } else if (!total.powers().empty()) {
    const std::uint32_t step = buckets::kMostParts / bounds_.per_power;
    auto power = total.powers().begin();
    std::uint64_t below = 0;
    for (std::uint32_t at = range_.first * buckets::kMostParts; at < range_.end * buckets::kMostParts;
         at += step) {
      while (power != total.powers().end() && power->number < at / buckets::kMostParts) ++power;
      if (power != total.powers().end() && power->number == at / buckets::kMostParts) {
        for (std::uint32_t part = 0; part < step; ++part) {
          below += power->parts[at % buckets::kMostParts + part];
        }
      }
      bucket(number_text(buckets::lower(at + step)), below);
    }
  }
  bucket("+Inf", total.count());
  // Values that a sum cannot have are not told.
  const auto* const sum = one->sum < 0 ? nullptr : &series[static_cast<std::size_t>(one->sum)];
  if (sum != nullptr && sum->value >= 0) {
    into += fmt::format("{}_sum{} {}\n", name, in_braces(labels), number_text(sum->value));
  }
  into += fmt::format("{}_count{} {}\n", name, in_braces(labels), total.count());
}

}  // namespace mmash
