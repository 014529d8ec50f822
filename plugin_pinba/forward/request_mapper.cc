#include "plugin_pinba/forward/request_mapper.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "mmstats/error.h"

namespace mmstats::forward {

namespace {

// Histograms of mmstats publish these two.
constexpr std::string_view kCountSuffix = ".count";
constexpr std::string_view kSumSuffix = ".sum";

constexpr std::uint64_t kMaxHits = std::numeric_limits<std::uint32_t>::max();  // of one entry
// Servers add up hits in 32 bits, over the time that a report covers. What grows by more than this in one
// interval would be too much.
constexpr std::uint64_t kMostUsualHits = std::uint64_t{1} << 31U;
constexpr double kMillion = 1e6;
// A counter that jumps by 2^63 must not make 2^31 entries: the rest waits for the next scans.
constexpr std::uint64_t kMoreEntries = 256;
constexpr std::size_t kMaxProblems = 100;

// Whether a unit is of things that come by the million, as OpenMetrics writes it: bytes, kilobytes.
bool is_of_bytes(std::string_view unit) {
  return unit.ends_with("bytes") || unit.ends_with("octets") || unit.ends_with("bits");
}

std::string key_of(std::string_view label, std::int32_t worker) {
  return fmt::format("{}\x1f{}", worker, label);
}

bool is_plain(const Series& series) { return series.dimensions().empty() && series.asked().empty(); }

// Of `series`, if it had the label: of several with one name it is that with the same dimensions.
std::string key_among_equals(std::string_view label, const Series& series) {
  std::string key = key_of(label, series.slot);
  for (const auto* dimensions : {&series.dimensions(), &series.asked()}) {
    key += '\x1e';
    for (const auto& [name, value] : *dimensions)
      fmt::format_to(std::back_inserter(key), "{}:{}={}:{}", name.size(), name, value.size(), value);
  }
  return key;
}

}  // namespace

RequestMapper::RequestMapper(Mapping mapping) : mapping_(std::move(mapping)) {}

void RequestMapper::remap(Mapping mapping) {
  mapping_ = std::move(mapping);
  sources_.clear();
  buckets_.clear();
  counters_.clear();
  waiting_.clear();
  timers_.clear();
  timer_tags_.clear();
  timer_by_tags_.clear();
  requests_.clear();
  request_by_names_.clear();
  request_ = {};
}

void RequestMapper::start_from(AllSeries series, AllDistributions distributions) {
  extend(series, distributions);
  for (std::size_t i = 0; i < distributions.size(); ++i) {
    if (distributions[i]) sent_buckets_[i].take(distributions[i]->total);
  }
  for (std::size_t i = 0; i < series.size(); ++i) {
    sent_[i] = {series[i].total, series[i].value, series[sources_[i].partner].total};
  }
}

void RequestMapper::scan(AllSeries series, AllDistributions distributions,
                         std::chrono::system_clock::time_point now, const Send& send) {
  extend(series, distributions);
  for (auto& timer : timers_) {
    timer.hits = 0;
    timer.value = 0;
    timer.entries.clear();
  }
  for (auto& request : requests_) request.fields.fill(std::nullopt);
  more_entries_ = kMoreEntries;
  const double seconds = std::chrono::duration<double>(now.time_since_epoch()).count();
  for (std::uint32_t i = 0; i < series.size(); ++i) gather(i, series, seconds);
  for (std::uint32_t i = 0; i < distributions.size(); ++i) gather(i, distributions, series);
  for (const auto& slot : requests_) {
    fill(slot);
    const bool has_field = std::ranges::any_of(slot.fields, [](const auto& field) { return !!field; });
    if (!request_.timers.empty() || has_field) send(request_);
  }
  tell_of_millions();
}

// ---- where series go: once for each

void RequestMapper::extend(AllSeries series, AllDistributions distributions) {
  const auto first = static_cast<std::uint32_t>(sources_.size());
  const auto end = static_cast<std::uint32_t>(series.size());
  sources_.resize(end);
  if (sent_.size() < end) sent_.resize(end);
  for (std::uint32_t i = first; i < end; ++i) bind(i, series[i]);
  const bool has_new = extend(distributions);
  for (std::uint32_t i = has_new ? 0 : first; i < end; ++i) absorb(i, series[i], distributions);
  for (std::uint32_t i = first; i < end; ++i) find_partner(i, series);
  for (std::uint32_t i = first; i < end; ++i) find_target(i, series[i]);
}

void RequestMapper::bind(std::uint32_t index, const Series& series) {
  Source& source = sources_[index];
  const MetricConfig* metric = metric_of(mapping_, series);
  const bool counter = series.kind == Kind::kCounter;
  if (counter && is_plain(series)) {
    counters_.insert_or_assign(key_of(series.name(), series.slot), index);
  } else if (counter) {
    counters_.emplace(key_of(series.name(), series.slot), index);
    counters_.emplace(key_among_equals(series.name(), series), index);
  }
  if (metric != nullptr && metric->as == As::kRequestField) {
    source.use = Use::kField;
    source.field = metric->field;
  } else if (counter) {
    source.use = Use::kEvents;
    source.always_hits = metric != nullptr && metric->as_given;
    source.of_bytes = is_of_bytes(series.unit());
  } else {
    source.use = series.kind == Kind::kTimestamp ? Use::kAge : Use::kLevel;
  }
}

// Puts seconds and the events that took them together, whichever of them is the new series.
void RequestMapper::find_partner(std::uint32_t index, AllSeries all) {
  const Series& series = all[index];
  const MetricConfig* metric = metric_of(mapping_, series);
  const auto hits =
      metric == nullptr || metric->hits.empty() ? std::string() : metric_label(metric->hits, series);
  if (!hits) {
    complain(
        fmt::format(R"(label "{}" does not have a dimension that hits = "{}" asks for: it counts as one hit )"
                    "an interval",
                    printable(series.name()), printable(metric->hits)));
  } else if (const std::string& label = *hits; !label.empty()) {
    auto key = key_of(label, series.slot);
    if (const auto partner = counters_.find(key); partner != counters_.end()) {
      pair_up(index, partner->second);
    } else {
      waiting_.emplace(std::move(key), index);
      complain(
          fmt::format("there is no counter \"{}\" with the hits of \"{}\", which counts as one hit an "
                      "interval until there is",
                      printable(label), printable(series.name())));
    }
  }
  if (series.kind != Kind::kCounter) return;
  const auto key = key_of(series.name(), series.slot);
  const auto [begin, end] = waiting_.equal_range(key);
  for (auto one = begin; one != end; ++one) pair_up(one->second, index);
  waiting_.erase(begin, end);

  const std::string_view suffix = series.integral ? kCountSuffix : kSumSuffix;
  if (!series.name().ends_with(suffix)) return;
  const auto stem = std::string_view(series.name()).substr(0, series.name().size() - suffix.size());
  const auto other_suffix = series.integral ? kSumSuffix : kCountSuffix;
  const auto other_label = fmt::format("{}{}", stem, other_suffix);
  const auto other = counters_.find(is_plain(series) ? key_of(other_label, series.slot)
                                                     : key_among_equals(other_label, series));
  if (other == counters_.end() || all[other->second].integral == series.integral) return;
  if (all[other->second].dimensions() != series.dimensions() || all[other->second].asked() != series.asked())
    return;
  const std::uint32_t sum = series.integral ? other->second : index;
  const std::uint32_t count = series.integral ? index : other->second;
  if (sources_[sum].use != Use::kEvents || sources_[count].use != Use::kEvents ||
      all[sum].rule() != all[count].rule()) {
    return;
  }
  pair_up(sum, count);
  sources_[sum].owns_partner = true;
  sources_[count].use = Use::kNothing;
  find_target(sum, all[count]);
}

void RequestMapper::pair_up(std::uint32_t seconds, std::uint32_t hits) {
  Source& source = sources_[seconds];
  source.use = source.use == Use::kEvents ? Use::kSeconds : Use::kAverage;
  source.partner = hits;
  sent_[seconds].partner_total = sent_[hits].total;
}

// Finds the timer, or the request, for what series `index` sends; the label is that of `named`.
void RequestMapper::find_target(std::uint32_t index, const Series& named) {
  Source& source = sources_[index];
  if (source.use == Use::kNothing || (source.owns_partner && named.name().ends_with(kSumSuffix))) return;
  const std::uint32_t request = find_request(named);
  if (source.use == Use::kField) {
    source.target = request;
    return;
  }
  std::string_view metric = named.family().empty() ? named.name() : named.family();
  if (source.owns_partner && metric.ends_with(kCountSuffix)) metric.remove_suffix(kCountSuffix.size());
  source.target = find_timer(request, timer_tags(mapping_, named, metric));
}

std::uint32_t RequestMapper::find_request(const Series& series) {
  std::string problem;
  RequestNames names = request_names(mapping_, series, problem);
  if (!problem.empty()) complain(std::move(problem));
  const auto [entry, fresh] =
      request_by_names_.try_emplace(std::move(names), static_cast<std::uint32_t>(requests_.size()));
  if (fresh) {
    RequestSlot& slot = requests_.emplace_back();
    slot.names = entry->first;
    for (const auto& [name, value] : slot.names.tags) slot.tags.push_back(request_.intern(name, value));
  }
  return entry->second;
}

std::uint32_t RequestMapper::find_timer(std::uint32_t request, const TagTexts& tags) {
  const std::size_t first_tag = timer_tags_.size();
  for (const auto& [name, value] : tags) timer_tags_.push_back(request_.intern(name, value));
  const auto refs = std::span(timer_tags_).subspan(first_tag);
  std::string key(reinterpret_cast<const char*>(&request), sizeof request);
  key.append(reinterpret_cast<const char*>(refs.data()), refs.size_bytes());
  const auto [entry, fresh] =
      timer_by_tags_.try_emplace(std::move(key), static_cast<std::uint32_t>(timers_.size()));
  if (fresh) {
    requests_[request].timers.push_back(entry->second);
    timers_.push_back({.first_tag = static_cast<std::uint32_t>(first_tag),
                       .tag_count = static_cast<std::uint32_t>(tags.size())});
  } else {
    timer_tags_.resize(first_tag);
  }
  return entry->second;
}

// ---- what they send: at each scan

void RequestMapper::gather(std::uint32_t index, AllSeries all, double now) {
  const Series& series = all[index];
  Source& source = sources_[index];
  Sent& sent = sent_[index];
  const auto add_one = [&](double value) {
    if (!is_sendable(source, series, value)) return;
    ++timers_[source.target].hits;
    timers_[source.target].value += value;
  };
  switch (source.use) {
    case Use::kNothing:
      return;
    case Use::kEvents:
      return gather_events(source, sent, series);
    case Use::kLevel:
      return series.present ? add_one(series.value) : void();
    case Use::kAge:
      // 0 is how writers say that it has not happened yet.
      return series.present && series.value > 0 ? add_one(std::max(0.0, now - series.value)) : void();
    case Use::kAverage:
    case Use::kSeconds:
      gather_of_partner(source, sent, series, all[source.partner]);
      if (source.owns_partner) sent_[source.partner].total = sent.partner_total;
      return;
    case Use::kField:
      return gather_field(source, sent, series);
  }
}

void RequestMapper::gather_events(Source& source, Sent& sent, const Series& series) {
  TimerSlot& timer = timers_[source.target];
  if (series.integral && is_in_millions(source, sent, series)) {
    const std::uint64_t added = series.total - sent.total;
    if (added == 0) return;
    sent.total = series.total;
    sent.value = series.value;
    ++timer.hits;
    timer.value += static_cast<double>(added) / kMillion;
    return;
  }
  if (series.integral) {
    const std::uint64_t hits = affordable(series.total - sent.total);
    sent.total += hits;
    sent.value = static_cast<double>(sent.total);
    timer.hits += hits;
    return;
  }
  sent.total = series.total;
  const double seconds = take_seconds(source, sent, series);
  if (seconds == 0) return;
  ++timer.hits;
  timer.value += seconds;
}

// Whether what was added goes into the timer's value. Once it does, it does so for good: a timer that is now
// hits and then millions would tell nothing.
bool RequestMapper::is_in_millions(const Source& source, Sent& sent, const Series& series) {
  if (source.always_hits) return false;
  if (sent.in_millions) return true;
  if (series.total == sent.total) return false;
  if (!source.of_bytes && series.total - sent.total <= kMostUsualHits) return false;
  sent.in_millions = true;
  if (new_in_millions_++ == 0) first_in_millions_ = series.name();
  return true;
}

void RequestMapper::tell_of_millions() {
  const std::size_t count = std::exchange(new_in_millions_, 0);
  if (count == 0) return;
  complain(
      fmt::format("label \"{}\"{}: a counter of bytes, or one that grows by billions, is sent as one hit an "
                  "interval with "
                  "millions (megabytes) as its value, as servers add up hits in 32 bits; as = \"timer\" in a "
                  "[[group.metric]] makes hits of it, as = \"request_field\" a size",
                  printable(first_in_millions_), count == 1 ? "" : fmt::format(" and {} others", count - 1)));
}

void RequestMapper::gather_of_partner(Source& source, Sent& sent, const Series& series,
                                      const Series& partner) {
  TimerSlot& timer = timers_[source.target];
  if (source.use == Use::kAverage && series.present && is_sendable(source, series, series.value)) {
    source.last_average = series.value;
  }
  // Seconds that came before their event wait for it.
  const std::uint64_t hits = affordable(partner.total - sent.partner_total);
  if (hits == 0) return;
  sent.partner_total += hits;
  timer.hits += hits;
  if (source.use == Use::kAverage) {
    timer.value += source.last_average * static_cast<double>(hits);
  } else {
    sent.total = series.total;
    timer.value += take_seconds(source, sent, series);
  }
}

void RequestMapper::gather_field(Source& source, Sent& sent, const Series& series) {
  if (!series.present) return;
  auto& field = requests_[source.target].fields[static_cast<std::size_t>(source.field)];
  double value = series.value;
  if (series.kind == Kind::kCounter && series.integral) {
    // What the packet's 32 bits do not hold waits.
    const double room = std::max(0.0, static_cast<double>(kMaxHits) - field.value_or(0));
    const std::uint64_t added = std::min(series.total - sent.total, static_cast<std::uint64_t>(room));
    sent.total += added;
    sent.value = static_cast<double>(sent.total);
    value = static_cast<double>(added);
  } else if (series.kind == Kind::kCounter) {
    value = series.value - sent.value;
    sent.total = series.total;
    sent.value = series.value;
  }
  if (is_sendable(source, series, value)) field = field.value_or(0) + value;
}

// How many of them this scan can send.
std::uint64_t RequestMapper::affordable(std::uint64_t hits) {
  if (hits <= kMaxHits) return hits;
  const std::uint64_t more = std::min((hits - 1) / kMaxHits, more_entries_);
  more_entries_ -= more;
  return std::min(hits, (1 + more) * kMaxHits);
}

// What was added since the last time. So little that the packet's float would be 0 waits.
double RequestMapper::take_seconds(Source& source, Sent& sent, const Series& series) {
  const double added = series.value - sent.value;
  if (added < std::numeric_limits<float>::min()) return 0;
  sent.value = series.value;
  return is_sendable(source, series, added) ? added : 0;
}

bool RequestMapper::is_sendable(Source& source, const Series& series, double value) {
  if (value >= 0 && value <= std::numeric_limits<float>::max()) return true;
  if (!std::exchange(source.complained, true)) {
    complain(fmt::format(
        "label \"{}\": {} cannot be sent, as Pinba takes numbers from 0 to 3.4e38; such values are left out",
        printable(series.name()), value));
  }
  return false;
}

void RequestMapper::complain(std::string text) {
  if (problems_.size() < kMaxProblems) problems_.push_back(std::move(text));
}

void RequestMapper::fill(const RequestSlot& slot) {
  request_.hostname = slot.names.hostname;
  request_.server_name = slot.names.server_name;
  request_.script_name = slot.names.script_name;
  request_.schema = slot.names.schema;
  request_.status = slot.names.status;
  request_.tags = slot.tags;
  request_.memory_footprint.reset();
  request_.timers.clear();
  request_.timer_tags.clear();

  const auto number = [&](RequestField field) {
    return slot.fields[static_cast<std::size_t>(field)].value_or(0);
  };
  const auto bytes = [&](RequestField field) {
    return static_cast<std::uint64_t>(std::min(number(field) + 0.5, static_cast<double>(kMaxHits)));
  };
  request_.document_size = bytes(RequestField::kDocumentSize);
  request_.memory_peak = bytes(RequestField::kMemoryPeak);
  if (slot.fields[static_cast<std::size_t>(RequestField::kMemoryFootprint)]) {
    request_.memory_footprint = bytes(RequestField::kMemoryFootprint);
  }
  request_.request_time = number(RequestField::kRequestTime);
  request_.ru_utime = number(RequestField::kRuUtime);
  request_.ru_stime = number(RequestField::kRuStime);

  for (const std::uint32_t index : slot.timers) {
    const TimerSlot& timer = timers_[index];
    if (timer.hits == 0 && timer.entries.empty()) continue;
    const auto tags = std::span(timer_tags_).subspan(timer.first_tag, timer.tag_count);
    request_.add_timer(tags, timer.hits, timer.value);
    for (const auto& [hits, value] : timer.entries) request_.add_timer(tags, hits, value);
  }
}

}  // namespace mmstats::forward
