#include "tools/mmash/by_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/keyed_hash.h"
#include "collect/bucket_counts.h"
#include "collect/distributions.h"
#include "collect/series_parts.h"
#include "tools/mmash/value_json.h"

namespace mmash {
namespace {

using mmstats::BucketCounts;
using mmstats::SeriesParts;

// Each of what is asked for once, and where it is.
class AskedPlaces {
 public:
  explicit AskedPlaces(const AllAsked& asked) {
    for (const auto& one : asked) {
      if (!one) {
        at_.push_back(0);
        continue;
      }
      auto& list = one->is_distribution ? distributions : series;
      auto& known = one->is_distribution ? distribution_at_ : series_at_;
      const auto [place, fresh] = known.try_emplace(one->index, list.size());
      if (fresh) list.push_back(one->index);
      at_.push_back(place->second);
    }
  }
  std::vector<std::uint32_t> series;
  std::vector<std::uint32_t> distributions;
  // Of what was asked for at that place.
  [[nodiscard]] std::size_t operator[](std::size_t asked) const { return at_[asked]; }

 private:
  std::unordered_map<std::uint32_t, std::size_t, mmstats::KeyedNumberHash> series_at_;
  std::unordered_map<std::uint32_t, std::size_t, mmstats::KeyedNumberHash> distribution_at_;
  std::vector<std::size_t> at_;
};

std::string part_json(const SeriesParts::Part& part) {
  if (!part.present) return "null";
  return part.integral ? fmt::to_string(part.total) : number_json(part.value);
}

// Which processes' buckets are told: of each distribution those that have most values.
class Chosen {
 public:
  Chosen(const SeriesParts& parts, std::size_t distributions)
      : told_(distributions, std::vector<bool>(parts.holders())), left_(distributions) {
    if (distributions == 0) return;
    const std::size_t most = std::max<std::size_t>(1, ByProcess::kMaxDistributions / distributions);
    for (std::size_t at = 0; at < distributions; ++at) {
      std::vector<std::size_t> holders;
      for (std::size_t i = 0; i < parts.holders(); ++i) {
        if (parts.holds_distribution(i, at)) holders.push_back(i);
      }
      const std::size_t count = std::min(most, holders.size());
      std::ranges::partial_sort(
          holders, holders.begin() + static_cast<std::ptrdiff_t>(count), [&](std::size_t a, std::size_t b) {
            const auto [first, second] = std::pair(parts.count(a, at), parts.count(b, at));
            return first != second ? first > second : a < b;
          });
      for (std::size_t i = 0; i < holders.size(); ++i) {
        if (i < count) {
          told_[at][holders[i]] = true;
        } else {
          left_[at].push_back(holders[i]);
        }
      }
    }
  }
  [[nodiscard]] bool told(std::size_t at, std::size_t holder) const { return told_[at][holder]; }
  [[nodiscard]] const std::vector<std::size_t>& left(std::size_t at) const { return left_[at]; }
  [[nodiscard]] bool all() const {
    return std::ranges::all_of(left_, [](const auto& some) { return some.empty(); });
  }

 private:
  std::vector<std::vector<bool>> told_;
  std::vector<std::vector<std::size_t>> left_;
};

void add_buckets_of(std::string& json, SeriesParts& parts, const WatchedProcess& process, std::size_t at) {
  BucketCounts counts;
  for (const auto file : process.files) parts.add_buckets(file, at, counts);
  add_buckets(json, counts);
}

}  // namespace

const std::vector<WatchedProcess>& ByProcess::processes() {
  if (!std::exchange(known_, true)) processes_ = watched_processes(watch_);
  return processes_;
}

const WatchedProcess* ByProcess::find(std::string_view id) {
  const auto& all = processes();
  const auto found = std::ranges::lower_bound(all, id, {}, &WatchedProcess::id);
  return found != all.end() && found->id == id ? &*found : nullptr;
}

std::string ByProcess::all(const AllAsked& asked) {
  const AskedPlaces places(asked);
  SeriesParts parts(watch_.fold(), places.series, places.distributions);
  const auto& all = processes();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const auto file : all[i].files) parts.add(file, i);
  }
  const Chosen chosen(parts, places.distributions.size());
  std::string json = R"("processes": [)";
  bool first = true;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::string values;
    bool any = false;
    for (std::size_t at = 0; at < asked.size(); ++at) {
      if (at > 0) values += ", ";
      const bool distribution = asked[at] && asked[at]->is_distribution;
      if (asked[at] && !distribution) {
        const auto part = parts.part(i, places[at]);
        any = any || part.held;
        values += part_json(part);
        continue;
      }
      any = any || (distribution && parts.holds_distribution(i, places[at]));
      if (distribution && chosen.told(places[at], i)) {
        add_buckets_of(values, parts, all[i], places[at]);
      } else {
        values += "null";
      }
    }
    if (!any) continue;
    if (!std::exchange(first, false)) json += ", ";
    json += head_json(all[i]) + R"(, "values": [)" + values + "]}";
  }
  json += ']';
  if (chosen.all()) return json;
  json += R"(, "rest": [)";
  for (std::size_t at = 0; at < asked.size(); ++at) {
    if (at > 0) json += ", ";
    if (!asked[at] || !asked[at]->is_distribution || chosen.left(places[at]).empty()) {
      json += "null";
      continue;
    }
    BucketCounts counts;
    for (const std::size_t i : chosen.left(places[at])) {
      for (const auto file : all[i].files) parts.add_buckets(file, places[at], counts);
    }
    add_buckets(json, counts);
  }
  return json += ']';
}

std::string ByProcess::one(std::string_view id, const AllAsked& asked) {
  const WatchedProcess* const process = find(id);
  const AskedPlaces places(asked);
  SeriesParts parts(watch_.fold(), places.series, places.distributions);
  if (process != nullptr) {
    for (const auto file : process->files) parts.add(file, 0);
  }
  std::string json = R"("process": )" + (process != nullptr ? head_json(*process) + '}' : "null");
  json += R"(, "values": [)";
  for (std::size_t at = 0; at < asked.size(); ++at) {
    if (at > 0) json += ", ";
    if (asked[at] && !asked[at]->is_distribution) {
      json += part_json(parts.part(0, places[at]));
    } else if (asked[at] && parts.holds_distribution(0, places[at])) {
      add_buckets_of(json, parts, *process, places[at]);
    } else {
      json += "null";
    }
  }
  return json += ']';
}

std::vector<std::size_t> ByProcess::ended(const AllAsked& asked, std::string_view id) {
  std::vector<std::size_t> places;
  const WatchedProcess* const process = id.empty() ? nullptr : find(id);
  if (watch_.stats().dead == 0 || (process == nullptr && !id.empty())) return places;
  const auto held = SeriesParts::who_has(
      watch_.fold(), process != nullptr ? std::span(process->files) : watch_.known_files());
  for (std::size_t at = 0; at < asked.size(); ++at) {
    if (!asked[at] || asked[at]->is_distribution) continue;
    const auto& series = watch_.series()[asked[at]->index];
    if (series.kind != mmstats::Kind::kCounter && held[asked[at]->index] == mmstats::kHeldByDead)
      places.push_back(at);
  }
  return places;
}

}  // namespace mmash
