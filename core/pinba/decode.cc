#include "pinba/decode.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "pinba/message.h"

namespace pinba {
namespace {

std::optional<mmstats::Damage> inexact(const Message& message) {
  auto damage = uneven_timers(message);
  if (!damage) damage = uneven_request_tags(message);
  for (const auto field : {wire::kTimerTagName, wire::kTimerTagValue, wire::kTagName, wire::kTagValue}) {
    if (!damage) damage = out_of_range(message, field);
  }
  return damage;
}

mmstats::Expected<Request> to_request(const Message& message) {
  if (auto damage = inexact(message)) return tl::unexpected(damaged(std::move(*damage)));
  Request request;
  request.hostname = message.names[0]->value;
  request.server_name = message.names[1]->value;
  request.script_name = message.names[2]->value;
  if (message.names[3]) request.schema = message.names[3]->value;
  request.request_count = low(*message.request_count);
  request.document_size = low(*message.document_size);
  request.memory_peak = low(*message.memory_peak);
  request.request_time = message.times[0]->value;
  request.ru_utime = message.times[1]->value;
  request.ru_stime = message.times[2]->value;
  if (message.status) request.status = low(*message.status);
  if (message.memory_footprint) request.memory_footprint = low(*message.memory_footprint);

  // A text may be there twice, and then its index here is another.
  std::vector<std::uint32_t> indices;
  indices.reserve(message.dictionary.size());
  for (const Text& text : message.dictionary) indices.push_back(request.dictionary.add(text.value));
  const auto refs = [&](const std::vector<Number>& names, const std::vector<Number>& values,
                        std::vector<TagRef>& to) {
    for (std::size_t i = 0; i < names.size(); ++i)
      to.push_back({indices[low(names[i])], indices[low(values[i])]});
  };
  refs(message.tag_names, message.tag_values, request.timer_tags);
  refs(message.request_tag_names, message.request_tag_values, request.tags);
  for (std::size_t i = 0; i < message.hits.size(); ++i) {
    request.timers.push_back({low(message.hits[i]), low(message.tag_counts[i]), message.values[i].value,
                              message.ru_utimes.empty() ? 0 : message.ru_utimes[i].value,
                              message.ru_stimes.empty() ? 0 : message.ru_stimes[i].value});
  }
  for (const Message& inner : message.requests) {
    auto decoded = to_request(inner);
    if (!decoded) return decoded;
    request.requests.push_back(std::move(*decoded));
  }
  return request;
}

}  // namespace

mmstats::Expected<Request> decode(Datagram datagram) {
  const auto message = read_message(datagram);
  auto request = message ? to_request(*message) : mmstats::Expected<Request>(tl::unexpect, message.error());
  if (!request) {
    mmstats::Error& error = request.error();
    error.message = fmt::format("byte {}: {}", error.offset, error.message);
  }
  return request;
}

}  // namespace pinba
