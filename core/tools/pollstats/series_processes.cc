#include "tools/pollstats/series_processes.h"

#include <algorithm>
#include <array>
#include <span>

namespace pollstats {
namespace {

// What falls began again at 0, as for all processes together.
void add_part(const mmstats::SeriesParts::Part& before, const mmstats::SeriesParts::Part& now,
              mmstats::Series& series) {
  if (series.kind != mmstats::Kind::kCounter) {
    series.value = now.value;
    return;
  }
  series.total += now.total - (now.total >= before.total ? before.total : 0);
  series.value += now.value - (now.value >= before.value ? before.value : 0);
}

}  // namespace

mmstats::BucketCounts added_since(const mmstats::BucketCounts& before, const mmstats::BucketCounts& now) {
  mmstats::BucketCounts added;
  for (const auto& power : now.powers()) {
    auto parts = power.parts;
    if (const auto* const known = before.find(power.number); known != nullptr) {
      for (std::size_t i = 0; i < parts.size(); ++i)
        parts[i] -= parts[i] >= known->parts[i] ? known->parts[i] : 0;
    }
    if (std::ranges::any_of(parts, [](std::uint64_t count) { return count != 0; }))
      added.add(power.number, mmstats::buckets::kMostBits, parts.data());
  }
  return added;
}

void SeriesProcesses::begin(const SeriesChoice& choice) {
  choice_ = choice;
  samples_ = Samples(history_);
  last_.reset();
  places_.clear();
  series_.clear();
  counts_.clear();
  parts_.clear();
  rows_.clear();
}

// Of one that is new, or has ended since the last scan: it goes on.
std::size_t SeriesProcesses::place_of(const ProcessId& id,
                                      const std::map<ProcessId, mmstats::ProcessFiles>& found) {
  if (const auto known = places_.find(id); known != places_.end()) return known->second;
  ProcessId alive = id;
  alive.ended = false;
  const auto before = places_.find(alive);
  const bool goes_on = id.ended && before != places_.end() && !found.contains(alive);
  const std::size_t place = goes_on ? before->second : series_.size();
  if (goes_on) places_.erase(before);
  if (place == series_.size()) series_.emplace_back();
  places_.emplace(id, place);
  return place;
}

const std::vector<ProcessRow>& SeriesProcesses::take(const mmstats::Watch& watch,
                                                     std::chrono::steady_clock::time_point at) {
  if (last_ == at) return rows_;
  if (series_.size() > rows_.size() + most_gone_) begin(choice_);
  const bool first = !last_;
  last_ = at;
  rows_.clear();
  const bool is_histogram = choice_.distribution.has_value();
  const std::array<std::uint32_t, 1> one{choice_.series};
  const std::array<std::uint32_t, 1> distributions{choice_.distribution.value_or(0)};
  const auto found = mmstats::process_files(watch);
  mmstats::SeriesParts parts(watch.fold(), one, std::span(distributions).first(is_histogram ? 1 : 0));
  std::size_t holder = 0;
  for (const auto& [id, process] : found) {
    for (const auto file : process.files) parts.add(file, holder);
    ++holder;
  }
  for (auto& series : series_) series.present = false;
  const mmstats::Series& whole = watch.series()[choice_.series];
  std::vector<std::size_t> places;  // by row
  holder = 0;
  for (const auto& [id, process] : found) {
    const std::size_t number = holder++;
    auto part = parts.part(number, 0);
    // The count of a histogram's values is that of its buckets.
    if (is_histogram && parts.holds_distribution(number, 0))
      part = {.held = true, .present = true, .integral = true, .total = parts.count(number, 0)};
    if (!part.held) continue;
    const std::size_t place = place_of(id, found);
    mmstats::Series& series = series_[place];
    series.kind = whole.kind;
    series.integral = part.integral;
    series.present = part.present;
    parts_.resize(series_.size());
    if (part.present) {
      add_part(parts_[place], part, series);
      parts_[place] = part;
    }
    rows_.push_back({{process.process, command_text(process.path, process.process, proc_)}});
    places.push_back(place);
    if (!is_histogram) continue;
    mmstats::BucketCounts counts;
    for (const auto file : process.files) parts.add_buckets(file, 0, counts);
    auto distribution = std::make_shared<mmstats::Distribution>();
    const auto& all = *watch.distributions()[*choice_.distribution];
    distribution->scale = all.scale;
    distribution->binding = all.binding;
    counts_.resize(series_.size());
    if (!first) distribution->interval = added_since(counts_[place], counts);
    counts_[place] = std::move(counts);
    rows_.back().distribution = std::move(distribution);
  }
  samples_.take(series_, at);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    rows_[i].sample = samples_.all()[places[i]];
    rows_[i].past.resize(std::min<std::size_t>(history_, samples_.scans() - 1));
    samples_.history(places[i], rows_[i].past);
  }
  return rows_;
}

}  // namespace pollstats
