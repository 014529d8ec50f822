#include "tools/mmash/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

#include "base/host_name.h"
#include "base/keyed_hash.h"
#include "collect/complaints.h"
#include "collect/distributions.h"
#include "format/dimensions.h"
#include "tools/mmash/value_json.h"
#include "tools/shared/command_name.h"
#include "tools/shared/value_text.h"

namespace mmash {
namespace {

using mmstats::Series;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::chrono::seconds kProcessesShare{1};
constexpr std::size_t kProblemBytes = 1000;  // of one's text

struct IdRange {
  std::size_t first = 0;
  std::size_t count = 0;
};

double unix_seconds(system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string new_epoch() {
  std::random_device random;
  const auto part = [&] { return static_cast<unsigned>(random()); };
  return json_string(fmt::format("{:08x}{:08x}", part(), part()));
}

bool read_number(std::string_view text, auto& into) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), into);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size();
}

// "0-9,12"; none if it is malformed or too much.
std::optional<std::vector<IdRange>> read_ids(std::string_view text) {
  std::vector<IdRange> ranges;
  std::size_t ids = 0;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const auto one = text.substr(0, comma);
    const auto dash = std::min(one.find('-'), one.size());
    std::size_t first = 0;
    if (!read_number(one.substr(0, dash), first)) return std::nullopt;
    std::size_t last = first;
    if (dash != one.size() && !read_number(one.substr(dash + 1), last)) return std::nullopt;
    if (last < first || last - first >= Live::kMaxIds - ids) return std::nullopt;
    const std::size_t count = last - first + 1;
    ids += count;
    ranges.push_back({first, count});
    if (comma + 1 == text.size()) return std::nullopt;  // a comma at the end
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return ranges;
}

Response wrong_ids() {
  return error_response(400, fmt::format("ids is no list like 0-9,12 of at most {} numbers", Live::kMaxIds));
}

Response too_many_distributions() {
  return error_response(400, fmt::format("ids has more than {} histograms", Live::kMaxDistributions));
}

// As add_buckets().
void add_counts(std::string& json, const std::vector<Past::Count>& counts) {
  json += '[';
  for (const auto& [bucket, values] : counts) {
    fmt::format_to(std::back_inserter(json), "{}{},{}", &bucket == &counts.front().bucket ? "" : ",", bucket,
                   values);
  }
  json += ']';
}

std::string value_json(const Series& series) {
  if (!series.present) return "null";
  if (series.integral) return fmt::to_string(series.total);
  return number_json(series.value);
}

// `one`: a series or a distribution.
std::string series_json(std::size_t id, const auto& one, std::string_view kind) {
  auto json = fmt::format(R"({{"id": {}, "label": {}, "kind": "{}", "unit": {}, "help": {})", id,
                          json_string(one.name), kind, json_string(one.unit), json_string(one.help));
  if constexpr (requires { one.aggregate; }) {
    if (one.kind != mmstats::Kind::kCounter) {
      json += fmt::format(R"(, "aggregate": "{}")", mmstats::to_string(one.aggregate));
    }
  }
  if (one.dimensions.empty()) return json += '}';
  json += fmt::format(R"(, "family": {}, "dimensions": {{)", json_string(one.family));
  for (const auto& [name, value] : one.dimensions) {
    json += fmt::format("{}{}: {}", &name == &one.dimensions.front().name ? "" : ", ", json_string(name),
                        json_string(value));
  }
  return json += "}}";
}

// What the page shows of a process beside what is known of its owner.
struct Shown {
  std::string command;
  std::vector<std::uint64_t> labels;  // their hashes
};

// Which machine this is, and which files of it are shown.
std::string where(const std::vector<std::string>& globs) {
  std::string json = fmt::format(R"("host": {}, "paths": [)", json_string(mmstats::host_name()));
  for (std::size_t i = 0; i < globs.size(); ++i) json += (i == 0 ? "" : ", ") + json_string(globs[i]);
  return json + "]";
}

}  // namespace

Live::Live(const std::vector<std::string>& globs, mmstats::Rules rules)
    : epoch_(new_epoch()),
      where_(where(globs)),
      watch_({.globs = globs, .discovery = {}, .fold = {}, .show_standing = true}, std::move(rules)) {}

bool Live::scan() {
  const auto now = steady_clock::now();
  if (report_ != nullptr && !std::exchange(kept_, false) && now - scanned_at_ < kShare) return false;
  scanned_at_ = now;
  time_ = system_clock::now();
  report_ = &watch_.scan(time_, now);
  list_new();
  return true;
}

void Live::list_new() {
  for (; series_listed_ < watch_.series().size(); ++series_listed_) {
    listed_.push_back({.is_distribution = false, .index = static_cast<std::uint32_t>(series_listed_)});
  }
  const auto distributions = watch_.distributions();
  distributions_listed_.resize(distributions.size());
  for (std::uint32_t i = 0; i < distributions.size(); ++i) {
    if (distributions_listed_[i] || !distributions[i] || !distributions[i]->shown) continue;
    distributions_listed_[i] = true;
    listed_.push_back({.is_distribution = true, .index = i});
  }
}

steady_clock::duration Live::since_scan() const {
  return report_ == nullptr ? steady_clock::duration::zero() : steady_clock::now() - scanned_at_;
}

Response Live::series(const Request& request) {
  std::size_t from = 0;
  if (const auto* text = request.parameter("from"); text != nullptr && !read_number(*text, from)) {
    return error_response(400, "from is no number");
  }
  // What appears while the answer is on its way is told in the next one.
  const std::size_t end = listed_.size();
  return in_pieces(json_response(fmt::format(R"({{"epoch": {}, "series": [)", epoch_)),
                   [this, at = from, first = true, end]() mutable {
                     Piece piece;
                     for (; at < end && piece.text.size() < kPiece; ++at) {
                       if (!std::exchange(first, false)) piece.text += ", ";
                       const auto [is_distribution, index] = listed_[at];
                       if (is_distribution) {
                         piece.text += series_json(at, *watch_.distributions()[index], kHistogramWord);
                       } else {
                         const Series& one = watch_.series()[index];
                         piece.text += series_json(at, one, mmstats::to_string(one.kind));
                       }
                     }
                     piece.last = at >= end;
                     if (piece.last) piece.text += "]}";
                     return piece;
                   });
}

Response Live::values(const Request& request) {
  const auto* text = request.parameter("ids");
  const auto ranges = read_ids(text == nullptr ? "" : *text);
  if (!ranges) return wrong_ids();
  // In one piece, as the next scan may come before the client takes a second one.
  std::string body = fmt::format(R"({{"epoch": {}, "time": {}, "series": {}, "values": [)", epoch_,
                                 mmstats::float_text(unix_seconds(time_)), listed_.size());
  bool first = true;
  std::size_t distributions = 0;
  for (const auto& range : *ranges) {
    for (std::size_t i = 0; i < range.count; ++i) {
      if (!std::exchange(first, false)) body += ", ";
      // Added only to what is there: else the sum may be too large.
      const std::size_t id = range.first < listed_.size() ? range.first + i : listed_.size();
      const bool distribution = id < listed_.size() && listed_[id].is_distribution;
      if (distribution && ++distributions > kMaxDistributions) {
        return too_many_distributions();
      }
      add_value(body, id);
    }
  }
  return json_response(std::move(body += "]}"));
}

void Live::begin_past(Past::Limits limits, double interval) {
  past_.emplace(limits);
  interval_ = interval;
}

void Live::keep() {
  if (!past_ || report_ == nullptr) return;
  kept_ = true;
  const auto series = watch_.series();
  values_.assign(series.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < series.size(); ++i) {
    if (!series[i].present) continue;
    values_[i] = series[i].integral ? static_cast<double>(series[i].total) : series[i].value;
  }
  const auto distributions = watch_.distributions();
  totals_.assign(distributions.size(), nullptr);
  for (std::size_t i = 0; i < distributions.size(); ++i) {
    if (distributions[i] && distributions[i]->shown) totals_[i] = &distributions[i]->total;
  }
  // As exact as it is told: who asks from a time that was told gets it again.
  past_->tick(std::round(unix_seconds(time_) * 1e3) / 1e3, values_, totals_);
}

Response Live::history(const Request& request) {
  const auto* text = request.parameter("ids");
  auto ranges = read_ids(text == nullptr ? "" : *text);
  if (!ranges) return wrong_ids();
  double from = 0;
  if (const auto* time = request.parameter("from"); time != nullptr && !read_number(*time, from)) {
    return error_response(400, "from is no time in Unix seconds");
  }
  const Past none({});
  const Past& past = past_ ? *past_ : none;
  std::uint64_t first = past.begin();
  const std::uint64_t end = past.end();
  while (first < end && past.time(first) < from) ++first;
  std::string body = fmt::format(R"({{"epoch": {}, "interval": {}, "times": [)", epoch_,
                                 past_ ? fmt::to_string(interval_) : "null");
  for (auto tick = first; tick < end; ++tick) {
    fmt::format_to(std::back_inserter(body), "{}{:.3f}", tick == first ? "" : ",", past.time(tick));
  }
  body += R"(], "totals": {)";
  bool first_total = true;
  std::size_t distributions = 0;
  for (const auto& range : *ranges) {
    for (std::size_t id = range.first; id < listed_.size() && id - range.first < range.count; ++id) {
      const auto [is_distribution, index] = listed_[id];
      if (!is_distribution) continue;
      if (++distributions > kMaxDistributions) return too_many_distributions();
      if (!past.totals(index, counts_)) continue;
      body += fmt::format("{}\"{}\": ", std::exchange(first_total, false) ? "" : ", ", id);
      add_counts(body, counts_);
    }
  }
  body += R"(}, "values": [)";
  // Ticks that are gone when the client takes a later piece are null in it.
  return in_pieces(json_response(std::move(body)),
                   [this, ranges = std::move(*ranges), first, end, range = std::size_t{0},
                    at = std::size_t{0}, tick = first]() mutable {
                     Piece piece;
                     for (; range < ranges.size(); ++range, at = 0) {
                       for (; at < ranges[range].count; ++at, tick = first) {
                         const std::size_t base = ranges[range].first;
                         const std::size_t id = base < listed_.size() ? base + at : listed_.size();
                         if (tick == first) {
                           if (piece.text.size() >= kPiece) return piece;
                           if (range + at > 0) piece.text += ',';
                           if (!has_past(id, first, end)) {
                             piece.text += "null";
                             continue;
                           }
                         }
                         for (; tick < end; ++tick) {
                           if (tick > first && piece.text.size() >= kPiece) return piece;
                           piece.text += tick == first ? '[' : ',';
                           add_past(piece.text, id, tick);
                         }
                         piece.text += ']';
                       }
                     }
                     piece.text += "]}";
                     piece.last = true;
                     return piece;
                   });
}

bool Live::has_past(std::size_t id, std::uint64_t first, std::uint64_t end) {
  if (!past_ || id >= listed_.size()) return false;
  const auto [is_distribution, index] = listed_[id];
  for (auto tick = first; tick < end; ++tick) {
    if (is_distribution ? past_->gained(tick, index, counts_) : std::isfinite(past_->value(tick, index)))
      return true;
  }
  return false;
}

void Live::add_past(std::string& json, std::size_t id, std::uint64_t tick) {
  const auto [is_distribution, index] = listed_[id];
  if (!is_distribution) {
    const double value = past_->value(tick, index);
    // The fewest digits that read back as the same number.
    if (std::isfinite(value))
      fmt::format_to(std::back_inserter(json), "{}", value);
    else
      json += "null";
  } else if (past_->gained(tick, index, counts_)) {
    add_counts(json, counts_);
  } else {
    json += "null";
  }
}

// null: nothing has the id.
void Live::add_value(std::string& json, std::size_t id) const {
  if (id >= listed_.size()) {
    json += "null";
  } else if (const auto [is_distribution, index] = listed_[id]; is_distribution) {
    add_buckets(json, watch_.distributions()[index]->total);
  } else {
    json += value_json(watch_.series()[index]);
  }
}

// What is wrong with files and folders now, each by its path, as JSON members.
std::string Live::problems() const {
  std::string json =
      fmt::format(R"("problems": {}, "problem_texts": [)", report_ != nullptr ? report_->complaints : 0);
  if (report_ == nullptr) return json + "]";
  bool first = true;
  for (const auto& error : report_->standing) {
    if (!std::exchange(first, false)) json += ", ";
    json += json_string(mmstats::log_line(error.text(), kProblemBytes));
  }
  return json + "]";
}

Response Live::processes(Files& files) {
  const auto now = steady_clock::now();
  if (!processes_json_.empty() && now - processes_at_ < kProcessesShare) {
    return json_response(processes_json_);
  }
  files.scan();
  processes_.begin(now);
  std::vector<Shown> shown;  // by index in processes_
  for (const auto file : files.sorted()) {
    const auto* content = files.read(file, Care::kOneReading);
    if (content == nullptr) continue;
    const auto owner = mmstats::owner_of(*content);
    const std::string& path = files.path(file);
    const auto index = processes_.add(path, files.id(file), owner, [&] { return files.writers(file); });
    if (index == shown.size()) {
      const auto command = mmstats::command_of(path, owner.pid);
      shown.push_back({std::string(command.empty() ? mmstats::stem_of(path) : command), {}});
    }
    for (const auto& field : content->fields) {
      if (!mmstats::is_removed(field)) shown[index].labels.push_back(mmstats::keyed_hash(field.label));
    }
  }
  processes_json_ = fmt::format(R"({{"epoch": {}, {}, "processes": [)", epoch_, where_);
  bool first = true;
  const auto& all = processes_.all();
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return all[a].id < all[b].id; });
  for (const std::size_t i : order) {
    const mmstats::Process& process = all[i];
    auto& [command, labels] = shown[i];
    if (!std::exchange(first, false)) processes_json_ += ", ";
    std::ranges::sort(labels);
    const auto repeated = std::unique(labels.begin(), labels.end());
    processes_json_ += fmt::format(
        R"({{"command": {}, "pid": {}, "created": {}, "files": {}, "state": "{}", "labels": {}}})",
        json_string(command), process.id.pid,
        std::isfinite(process.created) ? mmstats::float_text(process.created) : "0", process.files,
        to_string(process.state), repeated - labels.begin());
  }
  processes_json_ += "], " + problems() + "}";
  processes_at_ = now;
  return json_response(processes_json_);
}

}  // namespace mmash
