// Whether the lists of a message fit together.
#include <fmt/format.h>

#include "pinba/message.h"

namespace pinba {
namespace {

const std::vector<Number>& indices_of(const Message& message, wire::Field field) {
  switch (field) {
    case wire::kTimerTagName:
      return message.tag_names;
    case wire::kTimerTagValue:
      return message.tag_values;
    case wire::kTagName:
      return message.request_tag_names;
    default:
      return message.request_tag_values;
  }
}

}  // namespace

std::optional<mmstats::Damage> uneven_timers(const Message& message) {
  const std::size_t timers = message.hits.size();
  const auto differ = [&](std::string_view name, std::size_t count) {
    return mmstats::Damage{message.begin,
                           fmt::format("{} timers have a hit count, but {} a {}", timers, count, name)};
  };
  if (message.values.size() != timers) return differ("value", message.values.size());
  if (message.tag_counts.size() != timers) return differ("tag count", message.tag_counts.size());
  if (!message.ru_utimes.empty() && message.ru_utimes.size() != timers)
    return differ("ru_utime", message.ru_utimes.size());
  if (!message.ru_stimes.empty() && message.ru_stimes.size() != timers)
    return differ("ru_stime", message.ru_stimes.size());
  std::uint64_t tags = 0;
  for (const Number& count : message.tag_counts) tags += low(count);
  if (message.tag_names.size() != tags || message.tag_values.size() != tags) {
    return mmstats::Damage{
        message.begin, fmt::format("timers should have {} tags, but there are {} names and {} values", tags,
                                   message.tag_names.size(), message.tag_values.size())};
  }
  return std::nullopt;
}

std::optional<mmstats::Damage> uneven_request_tags(const Message& message) {
  if (message.request_tag_names.size() == message.request_tag_values.size()) return std::nullopt;
  return mmstats::Damage{message.begin,
                         fmt::format("request tags have {} names, but {} values",
                                     message.request_tag_names.size(), message.request_tag_values.size())};
}

std::optional<mmstats::Damage> out_of_range(const Message& message, wire::Field field) {
  for (const Number& index : indices_of(message, field)) {
    if (low(index) >= message.dictionary.size()) {
      return mmstats::Damage{
          index.offset, fmt::format("{} {} is beyond the dictionary of {} texts", name_of(field), low(index),
                                    message.dictionary.size())};
    }
  }
  return std::nullopt;
}

}  // namespace pinba
