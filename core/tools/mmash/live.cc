#include "tools/mmash/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

#include "base/host_name.h"
#include "base/keyed_hash.h"
#include "collect/complaints.h"
#include "collect/distributions.h"
#include "format/dimensions.h"
#include "tools/mmash/id_ranges.h"
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
constexpr std::string_view kNoProcessId = "process is no id as /live/processes has them";

std::string new_epoch() {
  std::random_device random;
  const auto part = [&] { return static_cast<unsigned>(random()); };
  return json_string(fmt::format("{:08x}{:08x}", part(), part()));
}

std::string value_json(const Series& series) {
  if (!series.present) return "null";
  if (series.integral) return fmt::to_string(series.total);
  return number_json(series.value);
}

// `one`: a series or a distribution.
std::string series_json(std::size_t id, const auto& one, std::string_view kind) {
  auto json = fmt::format(R"({{"id": {}, "label": {}, "kind": "{}", "unit": {}, "help": {})", id,
                          json_string(one.name()), kind, json_string(one.unit()), json_string(one.help()));
  if constexpr (requires { one.aggregate; }) {
    if (one.kind != mmstats::Kind::kCounter) {
      json += fmt::format(R"(, "aggregate": "{}")", mmstats::to_string(one.aggregate));
    }
  }
  if (one.dimensions().empty()) return json += '}';
  json += fmt::format(R"(, "family": {}, "dimensions": {{)", json_string(one.family()));
  for (const auto& [name, value] : one.dimensions()) {
    json += fmt::format("{}{}: {}", &name == &one.dimensions().front().name ? "" : ", ", json_string(name),
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
      watch_({.globs = globs, .discovery = {}, .fold = {}, .show_standing = true}, std::move(rules)),
      by_process_(watch_) {}

bool Live::scan() {
  const auto now = steady_clock::now();
  if (report_ != nullptr && !std::exchange(kept_, false) && now - scanned_at_ < kShare) return false;
  scanned_at_ = now;
  time_ = system_clock::now();
  report_ = &watch_.scan(time_, now);
  by_process_.scanned();
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

Response Live::too_many_distributions() {
  return error_response(400, fmt::format("ids has more than {} histograms", kMaxDistributions));
}

double Live::unix_seconds() const { return std::chrono::duration<double>(time_.time_since_epoch()).count(); }

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
  AllAsked all;
  for (const auto& range : *ranges) {
    // Added only to what is there: else the sum may be too large.
    for (std::size_t i = 0; i < range.count; ++i)
      all.push_back(range.first < listed_.size() ? asked(range.first + i) : std::nullopt);
  }
  if (has_too_many(all)) return too_many_distributions();
  const auto* process = request.parameter("process");
  if (process != nullptr && !is_process_id(*process)) return error_response(400, kNoProcessId);
  // In one piece, as the next scan may come before the client takes a second one.
  std::string body = head(true);
  if (process != nullptr) {
    body += by_process_.one(*process, all);
  } else {
    body += R"("values": [)";
    for (std::size_t at = 0; at < all.size(); ++at) {
      if (at > 0) body += ", ";
      add_value(body, all[at]);
    }
    body += ']';
  }
  const auto ended = by_process_.ended(all, process != nullptr ? *process : "");
  for (const std::size_t at : ended) {
    body += fmt::format("{}{}", at == ended.front() ? R"(, "ended": [)" : ", ", at);
  }
  if (!ended.empty()) body += ']';
  return json_response(std::move(body += '}'));
}

Response Live::by_process(const Request& request) {
  const auto* text = request.parameter("ids");
  const auto ranges = read_ids(text == nullptr ? "" : *text);
  AllAsked all;
  std::size_t ids = 0;
  for (const auto& range : ranges.value_or(std::vector<IdRange>{})) ids += range.count;
  if (!ranges || ids == 0 || ids > kMaxByProcess) {
    return error_response(
        400,
        fmt::format("ids is no list like 0-9,12 of 1 to {} numbers as /live/series has them", kMaxByProcess));
  }
  for (const auto& range : *ranges) {
    for (std::size_t i = 0; i < range.count; ++i)
      all.push_back(range.first < listed_.size() ? asked(range.first + i) : std::nullopt);
  }
  return json_response(head(false) + by_process_.all(all) + '}');
}

// The beginning of an answer that is of the last scan.
std::string Live::head(bool with_series) const {
  const auto series = with_series ? fmt::format(R"("series": {}, )", listed_.size()) : std::string();
  return fmt::format(R"({{"epoch": {}, "time": {}, {})", epoch_, mmstats::float_text(unix_seconds()), series);
}

// None: nothing has the id.
std::optional<AskedOne> Live::asked(std::size_t id) const {
  if (id >= listed_.size()) return std::nullopt;
  return listed_[id];
}

bool Live::has_too_many(const AllAsked& all) {
  const auto is_distribution = [](const auto& one) { return one && one->is_distribution; };
  return static_cast<std::size_t>(std::ranges::count_if(all, is_distribution)) > kMaxDistributions;
}

void Live::add_value(std::string& json, const std::optional<AskedOne>& one) const {
  if (!one) {
    json += "null";
  } else if (one->is_distribution) {
    add_buckets(json, watch_.distributions()[one->index]->total);
  } else {
    json += value_json(watch_.series()[one->index]);
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
        R"({{"id": {}, "command": {}, "pid": {}, "created": {}, "files": {}, "state": "{}", "labels": {}}})",
        json_string(process_id(process.id.pid, process.created, process.id.path)), json_string(command),
        process.id.pid, std::isfinite(process.created) ? mmstats::float_text(process.created) : "0",
        process.files, to_string(process.state), repeated - labels.begin());
  }
  processes_json_ += "], " + problems() + "}";
  processes_at_ = now;
  return json_response(processes_json_);
}

}  // namespace mmash
