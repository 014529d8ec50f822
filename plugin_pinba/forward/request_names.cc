#include "plugin_pinba/forward/request_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/hash.h"
#include "base/utf8.h"
#include "collect/put_values.h"
#include "mmstats/error.h"
#include "pinba/request.h"

namespace mmstats::forward {
namespace {

constexpr std::string_view kMetricTag = "metric";
constexpr std::string_view kWorkerTag = "worker";
constexpr std::string_view kScript = "mmstats";

// A tag without a text takes one of that name away.
void put_tag(TagTexts& tags, std::string_view name, std::string text) {
  const auto place =
      std::ranges::lower_bound(tags, name, {}, [](const auto& tag) -> std::string_view { return tag.first; });
  const bool there = place != tags.end() && place->first == name;
  if (text.empty()) {
    if (there) tags.erase(place);
  } else if (there) {
    place->second = std::move(text);
  } else {
    tags.emplace(place, name, std::move(text));
  }
}

void set_tag(TagTexts& tags, std::string_view name, const std::string& value, std::size_t max_bytes) {
  put_tag(tags, name, value.empty() ? std::string() : distinct_text(value, max_bytes));
}

// A value that is empty is what servers make of it. So one that reads like that is changed.
std::string dimension_text(std::string_view value, std::size_t max_bytes) {
  if (value.empty()) return std::string(pinba::kEmptyText);
  if (value == pinba::kEmptyText) return fmt::format("{}-{}", value, name_hash(value));
  return distinct_text(value, max_bytes);
}

// Two tags are the mapping's own; a dimension of such a name has underscores behind it, until no other has
// that name.
std::string tag_name(std::string_view dimension, const std::vector<Dimension>& dimensions) {
  std::string name(dimension);
  if (name != kMetricTag && name != kWorkerTag) return name;
  do {
    name += '_';
  } while (std::ranges::find(dimensions, name, &Dimension::name) != dimensions.end());
  return name;
}

// The most bytes of a value of the series, so that a timer with all of them fits into a datagram. It depends
// on nothing that differs within a family: a value is the same text in each of its timers.
std::size_t most_of_value(const Mapping& mapping, const Series& series) {
  constexpr std::size_t kLeast = 24;
  std::size_t room = mapping.tags_room;
  for (const auto& [name, value] : series.dimensions()) room -= std::min(room, name.size());
  const std::size_t share = room / std::max<std::size_t>(series.dimensions().size(), 1);
  return std::min(std::max(share, kLeast), mapping.limits.tag);
}

std::vector<Dimension> known_dimensions(const Series& series) {
  std::vector<Dimension> all = series.dimensions();
  all.insert(all.end(), series.asked().begin(), series.asked().end());
  return all;
}

std::optional<std::uint32_t> status_number(const std::string& text) {
  std::uint32_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || end != last || number > pinba::wire::kMaxStatus) return std::nullopt;
  return number;
}

}  // namespace

std::string distinct_text(std::string_view text, std::size_t max_bytes) {
  const bool clean = !text.empty() && pinba::is_clean(text);
  if (clean && text.size() <= max_bytes && !ends_like_name_hash(text, '-')) return std::string(text);
  const std::string whole = clean ? std::string(text) : pinba::escaped(text);
  return fmt::format("{}-{}", whole_characters(whole, max_bytes - kNameHashDigits - 1), name_hash(text));
}

TextLimits text_limits(ServerKind server) {
  // Where the classic engine cuts, it would make one name of two.
  if (server == ServerKind::kOriginalClassic) return pinba::wire::kOriginalClassicTexts;
  return server == ServerKind::kClassic ? pinba::wire::kClassicTexts : TextLimits{};
}

const MetricConfig* metric_of(const Mapping& mapping, const Series& series) {
  return series.rule() == kNoRule ? nullptr : &mapping.metrics.at(static_cast<std::size_t>(series.rule()));
}

std::optional<std::string> metric_text(const std::string& text, const Series& series) {
  return put_values(text, series.name(), series.groups(), known_dimensions(series));
}

std::optional<std::string> metric_label(const std::string& text, const Series& series) {
  return put_label(text, series.name(), series.groups(), known_dimensions(series));
}

RequestNames request_names(const Mapping& mapping, const Series& series, std::string& problem) {
  const MetricConfig* metric = metric_of(mapping, series);
  const TextLimits& limits = mapping.limits;
  // The metric's, else the group's, else `otherwise`.
  const auto text = [&](std::optional<std::string> Naming::* which, std::string_view otherwise) {
    if (metric != nullptr && metric->request.*which) {
      const std::string& own = *(metric->request.*which);
      auto given = metric_text(own, series);
      // Nor does a value that is empty name anything.
      if (given && (!given->empty() || own.find("%{") == std::string::npos)) return *given;
    }
    return (mapping.request.*which).value_or(std::string(otherwise));
  };
  RequestNames names;
  names.hostname = distinct_text(text(&Naming::hostname, mapping.hostname), limits.name);
  names.server_name = distinct_text(text(&Naming::server_name, mapping.group), limits.name);
  names.script_name = distinct_text(text(&Naming::script_name, kScript), limits.script);
  if (const auto schema = text(&Naming::schema, ""); !schema.empty()) {
    names.schema = distinct_text(schema, limits.schema);
  }
  if (const auto status = text(&Naming::status, ""); !status.empty()) {
    names.status = status_number(status);
    if (!names.status) {
      problem = fmt::format(R"(label "{}": status "{}" is no number from 0 to {}; it is left out)",
                            printable(series.name()), printable(status), pinba::wire::kMaxStatus);
    }
  }
  for (const auto& [name, value] : mapping.request.request_tags) set_tag(names.tags, name, value, limits.tag);
  if (metric == nullptr) return names;
  for (const auto& [name, value] : metric->request.request_tags) {
    if (const auto given = metric_text(value, series)) set_tag(names.tags, name, *given, limits.tag);
  }
  return names;
}

TagTexts timer_tags(const Mapping& mapping, const Series& series, std::string_view metric) {
  const std::size_t limit = mapping.limits.tag;
  const std::pair<std::string, std::string> metric_tag(kMetricTag, distinct_text(metric, limit));
  TagTexts tags{metric_tag};
  if (series.slot >= 0) set_tag(tags, kWorkerTag, fmt::to_string(series.slot), limit);
  for (const auto& [name, value] : mapping.tags) set_tag(tags, name, value, limit);
  const std::size_t most = most_of_value(mapping, series);
  for (const auto& [name, value] : series.dimensions()) {
    put_tag(tags, distinct_text(tag_name(name, series.dimensions()), limit), dimension_text(value, most));
  }
  if (const MetricConfig* config = metric_of(mapping, series)) {
    for (const auto& [name, value] : config->tags) {
      if (const auto given = metric_text(value, series)) set_tag(tags, name, *given, limit);
    }
  }
  if (tags.empty()) tags.push_back(metric_tag);
  return tags;
}

}  // namespace mmstats::forward
