// What Live does with the past: keeps it, and tells it.
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>

#include "collect/distributions.h"
#include "tools/mmash/id_ranges.h"
#include "tools/mmash/live.h"

namespace mmash {
namespace {

// As add_buckets().
void add_counts(std::string& json, const std::vector<Past::Count>& counts) {
  json += '[';
  for (const auto& [bucket, values] : counts) {
    fmt::format_to(std::back_inserter(json), "{}{},{}", &bucket == &counts.front().bucket ? "" : ",", bucket,
                   values);
  }
  json += ']';
}

}  // namespace

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
  past_->tick(std::round(unix_seconds() * 1e3) / 1e3, values_, totals_);
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

}  // namespace mmash
