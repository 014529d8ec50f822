#include "plugin_pinba/receive/filter.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mmstats::receive {
namespace {

constexpr std::array<std::pair<std::string_view, KeySource>, 5> kFields{{{"host", KeySource::kHost},
                                                                         {"server", KeySource::kServer},
                                                                         {"script", KeySource::kScript},
                                                                         {"schema", KeySource::kSchema},
                                                                         {"status", KeySource::kStatus}}};

std::optional<std::string_view> value_of(std::span<const Tag> tags, std::string_view name) {
  const auto found = std::find_if(tags.begin(), tags.end(), [&](const Tag& tag) { return tag.name == name; });
  return found == tags.end() ? std::nullopt : std::optional(found->value);
}

}  // namespace

std::optional<KeyPlace> parse_key(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const auto name = text.substr(1);
  switch (text.front()) {
    case '~':
      for (const auto& [word, source] : kFields) {
        if (word == name) return KeyPlace{source, {}};
      }
      return std::nullopt;
    case '+':
      return KeyPlace{KeySource::kRequestTag, std::string(name)};
    case '@':
      return KeyPlace{KeySource::kTimerTag, std::string(name)};
    default:
      return std::nullopt;
  }
}

std::optional<std::string_view> value_at(const KeyPlace& place, const Packet& packet, const TimerEntry* timer,
                                         std::string& status) {
  switch (place.source) {
    case KeySource::kHost:
      return packet.host;
    case KeySource::kServer:
      return packet.server;
    case KeySource::kScript:
      return packet.script;
    case KeySource::kSchema:
      return packet.schema;
    case KeySource::kStatus:
      return status = std::to_string(packet.status);
    case KeySource::kRequestTag:
      return value_of(packet.tags, place.tag);
    case KeySource::kTimerTag:
      break;
  }
  return timer == nullptr ? std::nullopt : value_of(timer->tags, place.tag);
}

Expected<void> Filter::require(KeyPlace place, const std::string& pattern) {
  auto compiled = compile_label_pattern(pattern);
  if (!compiled) return tl::unexpected(std::move(compiled.error()));
  conditions_.push_back({std::move(place), pattern, std::move(*compiled)});
  return {};
}

bool Filter::passes(const Packet& packet, const TimerEntry* timer) const {
  const double seconds = timer == nullptr ? packet.seconds : timer->seconds / timer->hits;
  if ((min_time && seconds < *min_time) || (max_time && seconds > *max_time)) return false;
  std::string status;
  return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& condition) {
    const auto value = value_at(condition.place, packet, timer, status);
    return value && matches_whole(*condition.pattern, *value);
  });
}

bool operator==(const Filter& a, const Filter& b) {
  return a.min_time == b.min_time && a.max_time == b.max_time &&
         std::equal(a.conditions_.begin(), a.conditions_.end(), b.conditions_.begin(), b.conditions_.end(),
                    [](const auto& one, const auto& other) {
                      return one.place == other.place && one.text == other.text;
                    });
}

}  // namespace mmstats::receive
