#include "tools/mmash/site.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "base/host_port.h"
#include "tools/mmash/gzip.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::Kind;
using std::chrono::steady_clock;

constexpr std::string_view kStats = "/stats/";
constexpr std::string_view kSeries = "/series/";
constexpr std::string_view kTable = "/table/";
constexpr std::string_view kFiles = "/files/";

// What /metrics tells of mmash itself.
struct OwnMetric {
  const char* family;
  const char* unit;
  const char* help;
  Kind kind;
  double (*value)(const mmstats::FoldStats&, const mmstats::ScanReport&);
};

using mmstats::FoldStats;
using mmstats::ScanReport;

constexpr std::array<OwnMetric, 13> kOwnMetrics{{
    {"mmash_files", "", "Files whose values count at the last scan", Kind::kGauge,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.files); }},
    {"mmash_damaged_files", "", "Of these, with damage, unfinished, or failing while they were read",
     Kind::kGauge,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.damaged); }},
    {"mmash_unreadable_files", "", "Files that could not be opened", Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) { return static_cast<double>(report.unreadable_files); }},
    {"mmash_unreadable_folders", "", "Folders that could not be listed", Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) {
       return static_cast<double>(report.unreadable_folders);
     }},
    {"mmash_dead_files", "", "Of these, of processes that are dead", Kind::kGauge,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.dead); }},
    {"mmash_put_off_files", "", "Files that the last scan left to a later one, as it had too much to do",
     Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) { return static_cast<double>(report.put_off); }},
    {"mmash_put_off_folders", "", "Folders behind wildcards that the last scan left to a later one",
     Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) { return static_cast<double>(report.folders_put_off); }},
    {"mmash_series", "", "Series that have a value", Kind::kGauge,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.series); }},
    {"mmash_refused_series", "", "Fields left out because there are too many series, or too little memory",
     Kind::kCounter,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.series_refused); }},
    {"mmash_kept_bytes", "bytes", "What is kept because of what is in files takes so much", Kind::kGauge,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.memory); }},
    {"mmash_complaints", "", "What the last scan found wrong with files and folders", Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) { return static_cast<double>(report.complaints); }},
    {"mmash_unsettled_values", "", "Values that did not stand still while they were read", Kind::kCounter,
     [](const FoldStats& stats, const ScanReport&) { return static_cast<double>(stats.unstable); }},
    {"mmash_look_seconds", "seconds", "How long the last scan took", Kind::kGauge,
     [](const FoldStats&, const ScanReport& report) { return report.elapsed.count(); }},
}};

// The same of the past that it keeps; left out if it keeps none.
struct PastMetric {
  const char* family;
  const char* unit;
  const char* help;
  Kind kind;
  double (*value)(const Past&);
};

constexpr std::array<PastMetric, 4> kPastMetrics{{
    {"mmash_history_bytes", "bytes", "What is kept for the page to look back takes so much", Kind::kGauge,
     [](const Past& past) { return static_cast<double>(past.memory()); }},
    {"mmash_history_seconds", "seconds", "So far back the page can look", Kind::kGauge,
     [](const Past& past) { return past.seconds(); }},
    {"mmash_history_dropped", "", "Samples that went before their time, as --history-memory was full",
     Kind::kCounter, [](const Past& past) { return static_cast<double>(past.dropped()); }},
    {"mmash_history_left_out", "", "Histograms that have no history, as --history-memory is full",
     Kind::kGauge, [](const Past& past) { return static_cast<double>(past.left_out()); }},
}};

// Told to a person: most who see it have written a name that is right.
Response wrong_name(const Request& request) {
  constexpr std::size_t kMostHost = 100;
  const auto place = mmstats::parse_host_port(request.host.value_or(""));
  const auto name = mmstats::printable(place ? place->host.substr(0, kMostHost) : "");
  return error_response(
      421, fmt::format("mmash does not go by the name \"{}\" here, so that no foreign page can read "
                       "from it by such a name: open it by the address that it listens on, or "
                       "start it with --host {}",
                       name, name.empty() ? "NAME" : name));
}

Response redirect(unsigned status, std::string_view to) {
  return {.status = status, .headers = {{"Location", std::string(to)}}};
}

}  // namespace

Site::Site(const std::vector<std::string>& globs, mmstats::Rules rules, HostNames hosts, Page page,
           BucketBounds bounds, std::function<void(std::string_view)> complain, std::string slow_requests,
           PastOptions past)
    : hosts_(std::move(hosts)),
      page_(std::move(page)),
      complain_(complain),
      past_(past),
      slow_requests_(std::move(slow_requests)),
      complaints_([complain = std::move(complain)](int, std::string_view text) { complain(text); }, 0,
                  mmstats::ComplaintLog::kPerMinute),
      files_(globs),
      live_(globs, std::move(rules)),
      grouping_(growth_),
      table_(growth_),
      stats_(files_, globs),
      bounds_(std::move(bounds)),
      started_(steady_clock::now()) {
  for (const auto& own : kOwnMetrics) names_.reserve(own.family, own.kind);
  for (const auto& own : kPastMetrics) names_.reserve(own.family, own.kind);
  if (past_.minutes > 0) {
    live_.begin_past(
        {.seconds = past_.minutes * 60, .bytes = static_cast<std::size_t>(past_.megabytes * 1e6)},
        past_.interval);
  }
}

Response Site::answer(const Request& request) {
  if (!hosts_.allow(request)) return wrong_name(request);
  return in_best_encoding(route(request), request.accept_encoding);
}

Response Site::route(const Request& request) {
  const std::string& path = request.path;
  if (path == "/graph" || path == "/graph/") return redirect(302, "/");
  if (path == "/stats") return redirect(308, "/stats/");
  if (path == "/series") return redirect(308, "/series/");
  if (path == "/files") return redirect(308, "/files/");
  if (path == "/live/series") {
    scan();
    return live_.series(request);
  }
  if (path == "/live/values") {
    scan();
    return live_.values(request);
  }
  if (path == "/live/by_process") {
    scan();
    return live_.by_process(request);
  }
  if (path == "/live/history") return live_.history(request);
  if (path == "/live/processes") {
    scan();
    return live_.processes(files_);
  }
  if (path == "/live/slow") return slow_requests_.about();
  if (path == "/slow") return slow_requests_.answer(request);
  if (path == "/metrics") return metrics(request);
  if (path == "/healthz") return health();
  if (path.starts_with(kSeries)) return groups(std::string_view(path).substr(kSeries.size()), request);
  if (path.starts_with(kTable)) {
    scan();
    return table_.answer(std::string_view(path).substr(kTable.size()), request, look());
  }
  if (path == kStats) return stats_.labels(request);
  if (path.starts_with(kStats)) return stats_.values(std::string_view(path).substr(kStats.size()), request);
  if (path.starts_with(kFiles)) return stats_.files(std::string_view(path).substr(kFiles.size()));
  if (auto response = page_.answer(request)) return std::move(*response);
  return error_response(404, "there is no such page");
}

void Site::scan() {
  if (!live_.scan()) return;
  const auto& report = live_.report();
  complaints_.begin_scan(steady_clock::now());
  std::size_t told = 0;
  for (const auto& error : report.errors) {
    if (!complaints_.tell(0, error.text())) break;
    ++told;
  }
  live_.told(told);
  complaints_.end_scan(report.untold - told);
}

Response Site::health() {
  scan();
  if (live_.report().nothing_readable) return error_response(503, "no folder can be listed");
  const std::chrono::duration<double> uptime = steady_clock::now() - started_;
  const auto& stats = live_.watch().stats();
  const auto& report = live_.report();
  return json_response(json_object({{"files", stats.files},
                                    {"damaged", stats.damaged},
                                    {"unreadable_files", report.unreadable_files},
                                    {"unreadable_folders", report.unreadable_folders},
                                    {"problems", report.complaints},
                                    {"uptime", std::round(uptime.count() * 1e3) / 1e3}}));
}

Look Site::look() const {
  return [this] {
    const auto& watch = live_.watch();
    return Folded{
        .series = watch.series(), .distributions = watch.distributions(), .time = live_.scanned_at()};
  };
}

Response Site::groups(std::string_view label, const Request& request) {
  scan();
  return label.empty() ? Grouping::families(look()) : grouping_.groups(label, request, look());
}

Response Site::metrics(const Request& request) {
  scan();
  const auto format = metrics_format(request.accept);
  std::string first;
  for (const auto& own : kOwnMetrics) {
    mmstats::Series series;
    series.kind = own.kind;
    series.present = true;
    series.value = own.value(live_.watch().stats(), live_.report());
    write_family(format, {own.family, own.unit}, own.help, series, first);
  }
  for (const auto& own : kPastMetrics) {
    if (!live_.past()) break;
    mmstats::Series series;
    series.kind = own.kind;
    series.present = true;
    series.value = own.value(*live_.past());
    write_family(format, {own.family, own.unit}, own.help, series, first);
  }
  names_.extend(live_.watch().series(), live_.watch().distributions());
  // A client that is slow gets values of a later scan in later pieces, but the same families.
  return in_pieces({.content_type = std::string(content_type(format)),
                    .headers = {{"Cache-Control", "no-store"}, {"Vary", "Accept"}},
                    .body = std::move(first)},
                   [this, format, text = MetricsText(format, names_, bounds_)]() mutable {
                     Piece piece;
                     const auto& watch = live_.watch();
                     piece.last = !text.write(watch.series(), watch.distributions(), kPiece, piece.text);
                     if (piece.last && format == MetricsFormat::kOpenMetrics) piece.text += "# EOF\n";
                     return piece;
                   });
}

void Site::scan_again(std::chrono::seconds quiet) {
  if (live_.since_scan() >= quiet) scan();
  files_.scan_again(quiet);
}

// That memory is full is told once: it stays so, or goes and comes with few series.
void Site::tick() {
  scan();
  live_.keep();
  const auto& past = live_.past();
  if (!past || told_short_ || (past->dropped() == 0 && past->left_out() == 0)) return;
  told_short_ = true;
  complain_(fmt::format(
      "the history reaches back {:.0f} minutes, not {:g}: {} series and {} histograms fill its {:g} "
      "MB; --history-memory gives it more, and a longer --history-interval needs less",
      past->seconds() / 60, past_.minutes, live_.watch().series().size(),
      live_.watch().distributions().size(), past_.megabytes));
}

}  // namespace mmash
