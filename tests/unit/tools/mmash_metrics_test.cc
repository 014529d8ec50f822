// Series as text for Prometheus: names without collisions, and the formats' letters.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "collect/edit_described.h"
#include "tools/mmash/metrics.h"

using namespace mmash;
using mmstats::Kind;
using mmstats::Series;

namespace {

Series series(std::string name, Kind kind, std::string unit = "", std::string help = "") {
  Series made;
  edit(made)->name = std::move(name);
  made.kind = kind;
  edit(made)->unit = std::move(unit);
  edit(made)->help = std::move(help);
  made.present = true;
  return made;
}

std::string family_of(const Series& one) {
  MetricNames names;
  names.extend({&one, 1});
  return names[0].family;
}

using Distributions = std::vector<std::unique_ptr<mmstats::Distribution>>;

// In pieces of some bytes.
std::string written(MetricsFormat format, const MetricNames& names, std::span<const Series> series,
                    const Distributions& distributions = {}, const BucketBounds& bounds = {},
                    std::size_t piece = 1) {
  MetricsText writer(format, names, bounds);
  std::string text;
  while (writer.write(series, distributions, piece, text)) {
  }
  return text;
}

std::string text_of(MetricsFormat format, const Series& one) {
  MetricNames names;
  names.extend({&one, 1});
  return written(format, names, {&one, 1});
}

Series counter(std::uint64_t total, std::string unit = "", std::string help = "") {
  auto made = series("web.requests", Kind::kCounter, std::move(unit), std::move(help));
  made.integral = true;
  made.total = total;
  return made;
}

Series gauge(double value, Kind kind = Kind::kGauge) {
  auto made = series("web.depth", kind);
  made.value = value;
  return made;
}

bool is_name(const std::string& name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
             std::string::npos &&
         !(name[0] >= '0' && name[0] <= '9');
}

}  // namespace

TEST_CASE("a label becomes a name, with a hash where more than a dot had to be replaced") {
  const struct {
    std::string label;
    Kind kind;
    const char* unit;
    std::string family;  // "#" at its end: a hash, and what follows the sign
  } rows[] = {
      {"web.requests", Kind::kCounter, "", "web_requests"},
      {"web.requests_total", Kind::kCounter, "", "web_requests"},
      {"web.requests.total", Kind::kCounter, "", "web_requests"},
      {"web.requests_total", Kind::kGauge, "", "web_requests_total"},
      {"_total", Kind::kCounter, "", "_total"},
      {"web.latency", Kind::kGauge, "seconds", "web_latency_seconds"},
      {"web.latency_seconds", Kind::kGauge, "seconds", "web_latency_seconds"},
      {"seconds", Kind::kGauge, "seconds", "seconds_seconds"},
      {"web.sent.bytes", Kind::kCounter, "bytes", "web_sent_bytes"},
      {"web.sent", Kind::kCounter, "bytes", "web_sent_bytes"},
      {"web.speed", Kind::kGauge, "km/h", "web_speed"},
      {"up", Kind::kState, "", "up"},
      {"a-b", Kind::kGauge, "", "a_b#"},
      {"a-b", Kind::kGauge, "seconds", "a_b#_seconds"},
      {"a:b", Kind::kGauge, "", "a_b#"},
      {"9lives", Kind::kGauge, "", "_9lives#"},
      {"", Kind::kGauge, "", "_#"},
      {"é", Kind::kGauge, "", "__#"},
      {"a\nb", Kind::kGauge, "", "a_b#"},
      {"x_0123456789ab", Kind::kGauge, "", "x_0123456789ab#"},
      {std::string(65535, 'x'), Kind::kGauge, "", std::string(200, 'x') + "#"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.label);
    const auto family = family_of(series(row.label, row.kind, row.unit));
    CHECK(is_name(family));
    const auto sign = row.family.find('#');
    if (sign == std::string::npos) {
      CHECK(family == row.family);
      continue;
    }
    const auto before = row.family.substr(0, sign) + "_";
    const auto after = row.family.substr(sign + 1);
    CHECK(family.size() == before.size() + 12 + after.size());
    CHECK(family.starts_with(before));
    CHECK(family.ends_with(after));
  }
  // As core/tools/mmash/metrics.md says.
  CHECK(family_of(series("http/get", Kind::kCounter)) == "http_get_0d81c53135ee");
  CHECK(family_of(series("web.bytes_sent", Kind::kCounter, "bytes")) == "web_bytes_sent_bytes");
  CHECK(family_of(series("web.latency.p99", Kind::kGauge, "seconds")) == "web_latency_p99_seconds");
  // Names of stored data: the same for ever.
  CHECK(family_of(series("a-b", Kind::kGauge)) == "a_b_b3190464ae99");
}

TEST_CASE("labels that meet get different names, the same ones whatever the order they are found in") {
  const std::vector<Series> all{
      series("a.b", Kind::kGauge),         series("a_b", Kind::kGauge),
      series("a.b", Kind::kCounter),       series("a.b_total", Kind::kCounter),
      series("a.b.total", Kind::kGauge),   series("a.b_created", Kind::kGauge),
      series("a b", Kind::kGauge),         series("a-b", Kind::kGauge),
      series("c", Kind::kGauge, "bytes"),  series("c_bytes", Kind::kGauge),
      series("mmash.files", Kind::kGauge), series("mmash_look", Kind::kGauge, "seconds"),
  };
  const auto names_of = [](const std::vector<Series>& some) {
    MetricNames names;
    names.reserve("mmash_files", Kind::kGauge);
    names.reserve("mmash_look_seconds", Kind::kGauge);
    names.extend(some);
    std::set<std::pair<std::string, std::string>> result;
    std::set<std::string> samples{"mmash_files", "mmash_look_seconds"};
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto& family = names[i].family;
      CHECK(is_name(family));
      CHECK(samples.insert(family).second);
      if (some[i].kind == Kind::kCounter) {
        CHECK(samples.insert(family + "_total").second);
        CHECK(samples.insert(family + "_created").second);
      }
      result.emplace(some[i].name() + (some[i].kind == Kind::kCounter ? " counter" : ""), family);
    }
    return result;
  };
  const auto names = names_of(all);
  CHECK(names_of({all.rbegin(), all.rend()}) == names);
}

TEST_CASE(
    "what a counter may write is no later family's name, nor is a family's what a later counter may write") {
  const struct {
    Series first;
    Series second;
    bool meet;
  } rows[] = {
      {series("a.created", Kind::kGauge), series("a", Kind::kCounter), true},
      {series("a.total", Kind::kGauge), series("a", Kind::kCounter), true},
      {series("a", Kind::kGauge), series("a", Kind::kCounter), true},
      {series("a", Kind::kCounter), series("a.created", Kind::kGauge), true},
      {series("a", Kind::kCounter), series("a.total", Kind::kGauge), true},
      {series("a", Kind::kCounter), series("a", Kind::kState), true},
      {series("a", Kind::kCounter), series("a_total", Kind::kCounter), true},
      {series("a.created", Kind::kCounter), series("a", Kind::kCounter), true},
      {series("a", Kind::kCounter, "seconds"), series("a_seconds_created", Kind::kGauge), true},
      {series("a", Kind::kGauge), series("a.created", Kind::kGauge), false},
      {series("a", Kind::kCounter), series("a.create", Kind::kGauge), false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.first.name());
    CAPTURE(row.second.name());
    std::vector<Series> all{row.first};
    MetricNames names;
    names.extend(all);
    const auto before = names[0].family;
    all.push_back(row.second);
    names.extend(all);
    CHECK(names[0].family == before);
    // Which of them got the plain name is told by the hash of the other.
    CHECK((names[1].family.find("_" + std::string(mmstats::name_hash(row.second.name(), 0))) !=
           std::string::npos) == row.meet);
  }
}

TEST_CASE("a name has the label's first 200 bytes, and a unit as long as that at most") {
  const std::string longest(200, 'x');
  CHECK(family_of(series(longest, Kind::kGauge)) == longest);
  const auto cut = family_of(series(longest + "y", Kind::kGauge));
  CHECK(cut == longest + "_" + std::string(mmstats::name_hash(longest + "y", 0)));
  // In the middle of a letter: each of its bytes would be a sign of its own.
  const auto letters = std::string(199, 'x') + "\u00E9";
  CHECK(family_of(series(letters, Kind::kGauge)) ==
        std::string(199, 'x') + "__" + std::string(mmstats::name_hash(letters, 0)));
  CHECK(family_of(series("a", Kind::kGauge, longest)) == "a_" + longest);
  CHECK(family_of(series("a", Kind::kGauge, longest + "u")) == "a");
}

TEST_CASE("help commands no terminal, and is one line") {
  auto one = series("a", Kind::kGauge, "", "one\r\n# EOF\u2028\u202E\x9B\x1B[2J");
  const auto text = text_of(MetricsFormat::kOpenMetrics, one);
  CHECK(text ==
        "# TYPE a gauge\n# HELP a one\\\\x0D\\\\x0A# EOF\\\\xE2\\\\x80\\\\xA8\\\\xE2\\\\x80\\\\xAE"
        "\\\\x9B\\\\x1B[2J\na 0.0\n");
}

TEST_CASE("a name stays when others come") {
  std::vector<Series> all{series("a_b", Kind::kGauge)};
  MetricNames names;
  names.extend(all);
  CHECK(names[0].family == "a_b");
  all.push_back(series("a.b", Kind::kGauge));
  names.extend(all);
  CHECK(names[0].family == "a_b");
  CHECK(names[1].family != "a_b");
}

TEST_CASE("families are written in both formats") {
  const struct {
    Series series;
    const char* open_metrics;
    const char* prometheus;
  } rows[] = {
      {counter(18446744073709551615U, "", "Requests \"that\" were\nanswered \\"),
       "# TYPE web_requests counter\n"
       "# HELP web_requests Requests \\\"that\\\" were\\\\x0Aanswered \\\\\n"
       "web_requests_total 18446744073709551615\n",
       "# TYPE web_requests_total counter\n"
       "# HELP web_requests_total Requests \"that\" were\\\\x0Aanswered \\\\\n"
       "web_requests_total 18446744073709551615\n"},
      {counter(7, "bytes"),
       "# TYPE web_requests_bytes counter\n# UNIT web_requests_bytes bytes\n"
       "# HELP web_requests_bytes The label web.requests\nweb_requests_bytes_total 7\n",
       "# TYPE web_requests_bytes_total counter\n"
       "# HELP web_requests_bytes_total The label web.requests\nweb_requests_bytes_total 7\n"},
      {gauge(0.5), "# TYPE web_depth gauge\n# HELP web_depth The label web.depth\nweb_depth 0.5\n",
       "# TYPE web_depth gauge\n# HELP web_depth The label web.depth\nweb_depth 0.5\n"},
  };
  for (const auto& row : rows) {
    CHECK(text_of(MetricsFormat::kOpenMetrics, row.series) == row.open_metrics);
    CHECK(text_of(MetricsFormat::kPrometheus, row.series) == row.prometheus);
  }
}

TEST_CASE("numbers are in the words of the format, and what cannot be is left out") {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto last_word = [](const Series& one) {
    const auto text = text_of(MetricsFormat::kOpenMetrics, one);
    return text.empty() ? text : text.substr(text.rfind(' ') + 1);
  };
  CHECK(last_word(gauge(nan)) == "NaN\n");
  for (const std::uint64_t total : {(1ULL << 53U) + 1, (1ULL << 63U) + 1, ~0ULL}) {
    CHECK(last_word(counter(total)) == std::to_string(total) + "\n");
  }
  CHECK(last_word(gauge(inf)) == "+Inf\n");
  CHECK(last_word(gauge(-inf)) == "-Inf\n");
  CHECK(last_word(gauge(1e16, Kind::kTimestamp)) == "1e+16\n");
  CHECK(last_word(gauge(-0.0, Kind::kState)) == "-0.0\n");
  CHECK(last_word(gauge(2.5, Kind::kCounter)) == "2.5\n");
  CHECK(last_word(gauge(nan, Kind::kCounter)).empty());
  CHECK(last_word(gauge(-1, Kind::kCounter)).empty());
  auto absent = gauge(1);
  absent.present = false;
  CHECK(last_word(absent).empty());
}

TEST_CASE("OpenMetrics is for those who ask for it") {
  CHECK(metrics_format("") == MetricsFormat::kPrometheus);
  CHECK(metrics_format("*/*") == MetricsFormat::kPrometheus);
  CHECK(metrics_format("text/plain;version=0.0.4") == MetricsFormat::kPrometheus);
  CHECK(metrics_format("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5") ==
        MetricsFormat::kOpenMetrics);
}

namespace {

mmstats::Distribution distribution_of(std::initializer_list<double> values) {
  mmstats::Distribution made;
  edit(made)->name = "web.latency";
  edit(made)->unit = "seconds";
  edit(made)->help = "Time to answer";
  for (const double value : values) made.total.add(value);
  return made;
}

std::string histogram_text(MetricsFormat format, const mmstats::Distribution& one, std::string_view buckets,
                           const Series* sum = nullptr) {
  const auto bounds = parse_bucket_bounds(buckets);
  REQUIRE(bounds.has_value());
  std::vector<Series> all{series("web.latency.count", Kind::kCounter)};
  if (sum != nullptr) all.push_back(*sum);
  for (auto& each : all) each.distribution = 0;
  Distributions distributions;
  distributions.push_back(std::make_unique<mmstats::Distribution>(one));
  distributions[0]->sum = sum == nullptr ? -1 : 1;
  MetricNames names;
  names.extend(all, distributions);
  return written(format, names, all, distributions, *bounds);
}

}  // namespace

TEST_CASE("a histogram has buckets up to each bound, a sum and a count") {
  auto sum = series("web.latency.sum", Kind::kCounter, "seconds");
  sum.value = 6.5;
  CHECK(histogram_text(MetricsFormat::kOpenMetrics, distribution_of({1.0, 1.5, 4.0}), "1,2,8", &sum) ==
        "# TYPE web_latency_seconds histogram\n"
        "# UNIT web_latency_seconds seconds\n"
        "# HELP web_latency_seconds Time to answer\n"
        "web_latency_seconds_bucket{le=\"1.0\"} 0\n"
        "web_latency_seconds_bucket{le=\"2.0\"} 2\n"
        "web_latency_seconds_bucket{le=\"8.0\"} 3\n"
        "web_latency_seconds_bucket{le=\"+Inf\"} 3\n"
        "web_latency_seconds_sum 6.5\n"
        "web_latency_seconds_count 3\n");
}

TEST_CASE("by default a histogram has four buckets a power of two, of the range in use") {
  const auto lines = [](const std::string& text) { return std::ranges::count(text, '\n'); };
  // 2^2 and 2^3 lie in one block of four powers; head, infinity and count are four more lines.
  CHECK(lines(histogram_text(MetricsFormat::kPrometheus, distribution_of({4.0, 7.0, 9.0}), "4")) == 16 + 4);
  CHECK(lines(histogram_text(MetricsFormat::kPrometheus, distribution_of({4.0, 7.0, 9.0}), "all")) ==
        128 + 4);
  CHECK(lines(histogram_text(MetricsFormat::kPrometheus, distribution_of({}), "4")) == 4);
  const auto text = histogram_text(MetricsFormat::kPrometheus, distribution_of({4.0, 7.0, 9.0}), "4");
  CAPTURE(text);
  CHECK(text.find("_bucket{le=\"5.0\"} 1\n") != std::string::npos);
  CHECK(text.find("_bucket{le=\"8.0\"} 2\n") != std::string::npos);
  CHECK(text.find("_bucket{le=\"10.0\"} 3\n") != std::string::npos);
}

TEST_CASE("what a histogram tells is no family of its own, and its names are no other's") {
  Distributions distributions;
  distributions.push_back(std::make_unique<mmstats::Distribution>(distribution_of({1.0})));
  edit(*distributions[0])->unit.clear();
  std::vector<Series> all{series("web.latency.count", Kind::kCounter),
                          series("web.latency_bucket", Kind::kGauge)};
  all[0].distribution = 0;
  MetricNames names;
  names.extend(all, distributions);
  CHECK(names.histogram(0).family == "web_latency");
  CHECK(names[0].family.empty());
  CHECK(names[1].family.starts_with("web_latency_bucket_"));
}

TEST_CASE("bounds of buckets that make no sense are refused") {
  for (const char* wrong : {"", "3", "64", "0", "x", "1,1", "2,1", "0.0,1", "nan,1", "1.0.0", "-1,2", ",1"})
    CHECK_FALSE(parse_bucket_bounds(wrong).has_value());
  CHECK(parse_bucket_bounds("0.1,0.5,2")->listed == std::vector{0.1, 0.5, 2.0});
}

namespace {

using Values = std::vector<mmstats::Dimension>;

Series combination(std::string family, Kind kind, Values values, double value = 1) {
  std::string name = family;
  for (const auto& each : values) name += "." + each.value;
  auto made = series(std::move(name), kind);
  edit(made)->family = std::move(family);
  edit(made)->dimensions = std::move(values);
  made.value = value;
  return made;
}

std::string text_of_all(MetricsFormat format, const std::vector<Series>& all) {
  MetricNames names;
  names.extend(all);
  return written(format, names, all);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

}  // namespace

TEST_CASE("a family has one head, and a sample for each combination, whatever stands between them") {
  auto first = combination("web.sent", Kind::kCounter, {{"method", "GET"}, {"status", "200"}}, 2);
  edit(first)->unit = "bytes";
  edit(first)->help = "Bytes sent";
  auto second = first;
  edit(second)->name = "web.sent.PUT.404";
  edit(second)->dimensions = {{"method", "PUT"}, {"status", "404"}};
  second.value = 3;
  const std::vector<Series> all{first, gauge(0.5), second};
  CHECK(text_of_all(MetricsFormat::kOpenMetrics, all) ==
        "# TYPE web_sent_bytes counter\n# UNIT web_sent_bytes bytes\n# HELP web_sent_bytes Bytes sent\n"
        "web_sent_bytes_total{method=\"GET\",status=\"200\"} 2.0\n"
        "web_sent_bytes_total{method=\"PUT\",status=\"404\"} 3.0\n"
        "# TYPE web_depth gauge\n# HELP web_depth The label web.depth\nweb_depth 0.5\n");
  CHECK(text_of_all(MetricsFormat::kPrometheus, {second, first}) ==
        "# TYPE web_sent_bytes_total counter\n# HELP web_sent_bytes_total Bytes sent\n"
        "web_sent_bytes_total{method=\"PUT\",status=\"404\"} 3.0\n"
        "web_sent_bytes_total{method=\"GET\",status=\"200\"} 2.0\n");
}

TEST_CASE("combinations that come later stand with those of their family") {
  std::vector<Series> all{combination("a", Kind::kGauge, {{"x", "1"}}), gauge(0.5),
                          combination("a", Kind::kGauge, {{"x", "2"}})};
  MetricNames names;
  names.extend(all);
  const BucketBounds bounds;
  MetricsText begun(MetricsFormat::kOpenMetrics, names, bounds);
  std::string text;
  CHECK(begun.write(all, {}, 1, text));
  all.push_back(combination("a", Kind::kGauge, {{"x", "3"}}));
  all.push_back(combination("later", Kind::kGauge, {{"x", "1"}}));
  names.extend(all);
  while (begun.write(all, {}, 1, text)) {
  }
  CHECK(text ==
        "# TYPE a gauge\n# HELP a The label a\na{x=\"1\"} 1.0\na{x=\"2\"} 1.0\na{x=\"3\"} 1.0\n"
        "# TYPE web_depth gauge\n# HELP web_depth The label web.depth\nweb_depth 0.5\n");
}

TEST_CASE("a family whose first combination has no value has a head all the same") {
  auto gone = combination("a", Kind::kGauge, {{"x", "1"}});
  gone.present = false;
  CHECK(text_of_all(MetricsFormat::kOpenMetrics, {gone, combination("a", Kind::kGauge, {{"x", "2"}})}) ==
        "# TYPE a gauge\n# HELP a The label a\na{x=\"2\"} 1.0\n");
  CHECK(text_of_all(MetricsFormat::kOpenMetrics, {gone}).empty());
}

TEST_CASE("values of dimensions are quoted, and command no terminal") {
  const struct {
    const char* value;
    const char* text;
  } rows[] = {
      {"GET", "x=\"GET\""},
      {"", ""},
      {"say \"hi\"", "x=\"say \\\"hi\\\"\""},
      {"C:\\n", "x=\"C:\\\\n\""},
      {"two\nlines\n", "x=\"two\\nlines\\n\""},
      {"\n", "x=\"\\n\""},
      {"a.b/c d,{}=", "x=\"a.b/c d,{}=\""},
      {"caf\u00E9", "x=\"caf\u00E9\""},
      {"\xFF", "x=\"\\\\xFF\""},
      {"\x1B[2J\r\u202E", "x=\"\\\\x1B[2J\\\\x0D\\\\xE2\\\\x80\\\\xAE\""},
  };
  for (const auto& row : rows) CHECK(labels_text({{"x", row.value}}) == row.text);
  CHECK(labels_text({{"x", ""}, {"y", "1"}, {"z", ""}, {"w", "2"}}) == "y=\"1\",w=\"2\"");
  CHECK(text_of_all(MetricsFormat::kOpenMetrics, {combination("a", Kind::kGauge, {{"x", ""}})}) ==
        "# TYPE a gauge\n# HELP a The label a\na 1.0\n");
}

TEST_CASE("what has another kind, unit or other dimensions than a family of its label has another name") {
  auto in_seconds = combination("a", Kind::kGauge, {{"x", "4"}});
  edit(in_seconds)->unit = "seconds";
  const std::vector<Series> all{
      combination("a", Kind::kGauge, {{"x", "1"}}),
      combination("a", Kind::kState, {{"x", "2"}}),
      combination("a", Kind::kCounter, {{"x", "3"}}),
      combination("a", Kind::kGauge, {{"y", "1"}}),
      combination("a", Kind::kGauge, {}),
      in_seconds,
      series("a", Kind::kGauge),
      combination("a", Kind::kGauge, {{"x", ""}, {"y", ""}}),
  };
  MetricNames names;
  names.extend(all);
  CHECK(names[0].family == names[1].family);  // Prometheus has one word for both
  std::set<std::string> different;
  for (std::size_t i = 1; i < all.size(); ++i) different.insert(names[i].family);
  CHECK(different.size() == all.size() - 1);
  CHECK(different.contains("a_seconds"));
  // The plain name is that of what has no dimensions.
  CHECK(names[6].family == "a");

  // Whatever the order they are found in.
  const std::vector<Series> turned{all.rbegin(), all.rend()};
  MetricNames others;
  others.extend(turned);
  CHECK(others[turned.size() - 1 - 0].family.starts_with("a_"));
  CHECK(others[turned.size() - 1 - 6].family == "a");
}

TEST_CASE("families that differ in parts with an @ alone are one, whatever their dimensions") {
  const std::vector<Series> all{
      combination("pinba.timer.@group.hits", Kind::kCounter, {{"group", "db"}}, 1),
      combination("pinba.timer.@group@server.hits", Kind::kCounter, {{"group", "db"}, {"server", "db1"}}, 2),
      combination("pinba.timer.@other.hits", Kind::kCounter, {{"group", "db"}}, 3),
      combination("a@b.@c", Kind::kGauge, {{"x", "1"}}, 4),
      series("pinba.timer.@group", Kind::kGauge),
      combination("a.@y.@x", Kind::kGauge, {{"y", "1"}, {"x", "2"}}),
      combination("a.@x.@y", Kind::kGauge, {{"x", "2"}, {"y", "1"}}),
      combination("a.@x.@y", Kind::kGauge, {{"x", "1"}, {"y", "2"}}),
  };
  MetricNames names;
  names.extend(all);
  CHECK(names[0].family == "pinba_timer_hits");
  CHECK(names[1].family == "pinba_timer_hits");
  // Its sample is that of another one already.
  CHECK(names[2].family != "pinba_timer_hits");
  CHECK(names[3].family.starts_with("a_b_"));
  CHECK(names[4].family.starts_with("pinba_timer__group_"));  // no family: as it always was
  // The order of labels makes no other sample.
  CHECK(names[5].family != names[6].family);
  CHECK(names[6].family == "a");
  CHECK(names[7].family == "a");
  const auto text = written(MetricsFormat::kOpenMetrics, names, all);
  CHECK(text.find("pinba_timer_hits_total{group=\"db\"} 1.0\n"
                  "pinba_timer_hits_total{group=\"db\",server=\"db1\"} 2.0\n") != std::string::npos);
}

TEST_CASE("no two samples have the same labels") {
  // Of one combination two labels are possible: any byte may be escaped.
  auto twice = combination("a", Kind::kGauge, {{"x", "1"}});
  edit(twice)->name = "a.%31";
  const std::vector<Series> all{
      combination("a", Kind::kGauge, {{"x", "1"}}),
      twice,
      combination("a", Kind::kGauge, {{"x", "\xFF"}}),
      combination("a", Kind::kGauge, {{"x", "\\xFF"}}),
      combination("b", Kind::kGauge, {{"le", "1"}}),
      combination("b", Kind::kGauge, {{"__name__", "1"}}),
      combination("b", Kind::kGauge, {{"y=\"", "1"}}),
      combination("b", Kind::kGauge, {{"y", "1"}, {"y", "2"}}),
  };
  const auto text = text_of_all(MetricsFormat::kOpenMetrics, all);
  CAPTURE(text);
  std::set<std::string> samples;
  std::set<std::string> heads;
  for (const auto& line : lines_of(text)) {
    if (line[0] == '#') {
      if (line.starts_with("# TYPE")) CHECK(heads.insert(line).second);
    } else {
      CHECK(samples.insert(line).second);
    }
  }
  CHECK(samples.size() == all.size());
  CHECK(text.find("__name__=") == std::string::npos);
  CHECK(text.find("le=") == std::string::npos);
}

TEST_CASE("series that share a name have names of their own, whatever the order they are found in") {
  std::vector<Series> all{combination("q", Kind::kGauge, {{"a", "x"}}),
                          combination("q", Kind::kGauge, {{"b", "x"}}),
                          combination("q", Kind::kGauge, {{"a", "y"}}), gauge(0.5)};
  for (auto& one : all) edit(one)->name = "q.x";
  const auto samples_of = [](const std::vector<Series>& series) {
    std::set<std::string> samples;
    for (const auto& line : lines_of(text_of_all(MetricsFormat::kOpenMetrics, series))) {
      if (line[0] != '#') CHECK(samples.insert(line).second);
    }
    return samples;
  };
  const auto samples = samples_of(all);
  CHECK(samples.size() == all.size());
  for (const auto* sample : {"q{a=\"x\"} 1.0", "q{a=\"y\"} 1.0", "q_x 0.5"}) CHECK(samples.contains(sample));
  std::ranges::sort(all, {}, &Series::dimensions);
  do {
    CHECK(samples_of(all) == samples);
  } while (std::ranges::next_permutation(all, {}, &Series::dimensions).found);
}

TEST_CASE("histograms that meet get the same names whatever the order they are found in") {
  const auto made = [](const char* dimension) {
    auto one = std::make_unique<mmstats::Distribution>();
    edit(*one)->name = "t.x";
    edit(*one)->family = "t";
    edit(*one)->dimensions = {{dimension, "x"}};
    return one;
  };
  const auto names_of = [&](const char* first, const char* second) {
    std::vector<std::unique_ptr<mmstats::Distribution>> all;
    all.push_back(made(first));
    all.push_back(made(second));
    MetricNames names;
    names.extend({}, all);
    return std::pair(names.histogram(0).family, names.histogram(1).family);
  };
  const auto [a, b] = names_of("a", "b");
  CHECK(a == "t");
  CHECK(b != a);
  CHECK(names_of("b", "a") == std::pair(b, a));
}

TEST_CASE("histograms of a family have their bounds behind the dimensions, the same ones all") {
  Distributions distributions;
  std::vector<Series> all;
  const auto add = [&](const char* method, std::initializer_list<double> values) {
    auto made = std::make_unique<mmstats::Distribution>(distribution_of(values));
    edit(*made)->name += std::string(".") + method;
    edit(*made)->family = "web.latency";
    edit(*made)->dimensions = {{"method", method}};
    auto sum = series(made->name() + ".sum", Kind::kCounter, "seconds");
    sum.value = 2;
    sum.distribution = static_cast<std::int32_t>(distributions.size());
    made->sum = static_cast<std::int32_t>(all.size());
    all.push_back(sum);
    auto count = series(made->name() + ".count", Kind::kCounter);
    count.distribution = sum.distribution;
    all.push_back(count);
    distributions.push_back(std::move(made));
  };
  add("GET", {1.0, 1.5});
  all.push_back(gauge(0.5));
  add("PUT", {20.0});
  add("DELETE", {});
  MetricNames names;
  names.extend(all, distributions);
  const auto text =
      written(MetricsFormat::kOpenMetrics, names, all, distributions, {.per_power = 1, .listed = {}});
  const auto lines = lines_of(text);
  CAPTURE(text);
  CHECK(lines[0] == "# TYPE web_latency_seconds histogram");
  CHECK(lines[1] == "# UNIT web_latency_seconds seconds");
  CHECK(lines[2] == "# HELP web_latency_seconds Time to answer");
  CHECK(lines[3] == "web_latency_seconds_bucket{method=\"GET\",le=\"0.5\"} 0");
  const auto has = [&](const char* line) { return std::ranges::count(lines, line) == 1; };
  for (const char* each :
       {"web_latency_seconds_bucket{method=\"GET\",le=\"2.0\"} 2",
        "web_latency_seconds_bucket{method=\"GET\",le=\"32.0\"} 2",
        "web_latency_seconds_bucket{method=\"GET\",le=\"+Inf\"} 2",
        "web_latency_seconds_sum{method=\"GET\"} 2.0", "web_latency_seconds_count{method=\"GET\"} 2",
        "web_latency_seconds_bucket{method=\"PUT\",le=\"2.0\"} 0",
        "web_latency_seconds_bucket{method=\"PUT\",le=\"32.0\"} 1",
        "web_latency_seconds_bucket{method=\"DELETE\",le=\"+Inf\"} 0",
        "web_latency_seconds_count{method=\"DELETE\"} 0", "web_depth 0.5"}) {
    CAPTURE(each);
    CHECK(has(each));
  }
  CHECK(std::ranges::count_if(lines, [](const auto& line) { return line.starts_with("# TYPE"); }) == 2);
  // All of the family stands together.
  CHECK(lines.back() == "web_depth 0.5");
}

TEST_CASE("a counter that is found to be a histogram's becomes a part of that") {
  Distributions distributions;
  std::vector<Series> all{counter(3), gauge(0.5)};
  edit(all[0])->name = "web.latency.count";
  MetricNames names;
  names.extend(all, distributions);
  CHECK(names[0].family == "web_latency_count");
  distributions.push_back(std::make_unique<mmstats::Distribution>(distribution_of({1.0})));
  all[0].distribution = 0;
  names.extend(all, distributions);
  const auto text =
      written(MetricsFormat::kOpenMetrics, names, all, distributions, {.per_power = 4, .listed = {2.0}});
  CHECK(text ==
        "# TYPE web_depth gauge\n# HELP web_depth The label web.depth\nweb_depth 0.5\n"
        "# TYPE web_latency_seconds histogram\n# UNIT web_latency_seconds seconds\n"
        "# HELP web_latency_seconds Time to answer\n"
        "web_latency_seconds_bucket{le=\"2.0\"} 1\nweb_latency_seconds_bucket{le=\"+Inf\"} 1\n"
        "web_latency_seconds_count 1\n");
}
