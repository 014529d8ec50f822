#include "pinba/put_request.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace pinba {
namespace {

constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

template <wire::Field kField>
std::byte* put_number(std::byte* at, std::uint32_t value) {
  return put_varint(put_key<kField, wire::kVarint>(at), value);
}

template <wire::Field kField>
std::byte* put_float(std::byte* at, float value) {
  at = put_key<kField, wire::kFloat>(at);
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

std::byte* put_bytes(std::byte* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

template <wire::Field kField>
std::byte* put_text(std::byte* at, std::string_view text) {
  return put_bytes(put_varint(put_key<kField, wire::kBytes>(at), text.size()), text);
}

// Seconds as servers can take them: a normal number or 0. What is none, or negative, is 0.
float seconds(double value, Changes& changes) {
  const auto number = static_cast<float>(value);
  const auto bits = std::bit_cast<std::uint32_t>(number);
  // From the least normal number to the largest, in the order of their bits.
  constexpr auto kLeast = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::min());
  constexpr auto kInfinite = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::infinity());
  if (bits - kLeast < kInfinite - kLeast || bits == 0) [[likely]]
    return number;
  // So little is 0 already to a float that is not subnormal.
  if (!(value >= 0 && bits < kLeast) && value != 0) ++changes.numbers;
  return 0;
}

std::uint32_t number(std::uint64_t value, Changes& changes) {
  if (value <= kMost) [[likely]]
    return static_cast<std::uint32_t>(value);
  ++changes.numbers;
  return kMost;
}

// Nearly every dictionary is so small that each index has one byte.
template <wire::Field kField, std::uint32_t TagRef::* kPart>
std::byte* put_tags(std::byte* at, const std::vector<TagRef>& tags, std::uint32_t texts) {
  if (texts <= 0x80) {
    for (const TagRef& tag : tags) {
      at = put_key<kField, wire::kVarint>(at);
      *at++ = static_cast<std::byte>(tag.*kPart);
    }
  } else {
    for (const TagRef& tag : tags) at = put_number<kField>(at, tag.*kPart);
  }
  return at;
}

template <wire::Field kField, double Timer::* kTime>
std::byte* put_times(std::byte* at, const std::vector<Timer>& timers, Changes& changes) {
  for (const Timer& timer : timers) at = put_float<kField>(at, seconds(timer.*kTime, changes));
  return at;
}

}  // namespace

bool has_usage(const Request& request) {
  return std::ranges::any_of(request.timers,
                             [](const Timer& timer) { return timer.ru_utime != 0 || timer.ru_stime != 0; });
}

std::size_t most_bytes(const Request& request, const PacketNames& names) {
  constexpr std::size_t kTexts = std::size_t{4} * (2 + 5);
  constexpr std::size_t kNumbers = 3 * 6 + 3 * 5 + 2 * 7;
  constexpr std::size_t kTimer = 6 + 5 + 6 + 6 + 6;
  return kTexts + names.hostname.size() + names.server_name.size() + names.script_name.size() +
         names.schema.size() + kNumbers + request.timers.size() * kTimer + request.timer_tags.size() * 2 * 6 +
         request.dictionary.wire().size() + request.tags.size() * 2 * 7;
}

std::byte* put_request(std::byte* at, const Request& request, const PacketNames& names,
                       std::span<const std::byte> nested, Changes& changes) {
  const std::uint32_t texts = request.dictionary.size();
  at = put_text<wire::kHostname>(at, names.hostname);
  at = put_text<wire::kServerName>(at, names.server_name);
  at = put_text<wire::kScriptName>(at, names.script_name);
  at = put_number<wire::kRequestCount>(at, request.request_count);
  at = put_number<wire::kDocumentSize>(at, number(request.document_size, changes));
  at = put_number<wire::kMemoryPeak>(at, number(request.memory_peak, changes));
  at = put_float<wire::kRequestTime>(at, seconds(request.request_time, changes));
  at = put_float<wire::kRuUtime>(at, seconds(request.ru_utime, changes));
  at = put_float<wire::kRuStime>(at, seconds(request.ru_stime, changes));
  for (const Timer& timer : request.timers) at = put_number<wire::kTimerHitCount>(at, timer.hit_count);
  at = put_times<wire::kTimerValue, &Timer::value>(at, request.timers, changes);
  for (const Timer& timer : request.timers) at = put_number<wire::kTimerTagCount>(at, timer.tag_count);
  at = put_tags<wire::kTimerTagName, &TagRef::name>(at, request.timer_tags, texts);
  at = put_tags<wire::kTimerTagValue, &TagRef::value>(at, request.timer_tags, texts);
  at = put_bytes(at, request.dictionary.wire());
  if (request.status) at = put_number<wire::kStatus>(at, *request.status);
  if (request.memory_footprint) {
    at = put_number<wire::kMemoryFootprint>(at, number(*request.memory_footprint, changes));
  }
  if (!nested.empty()) std::memcpy(at, nested.data(), nested.size());
  at += nested.size();
  if (names.has_schema) at = put_text<wire::kSchema>(at, names.schema);
  at = put_tags<wire::kTagName, &TagRef::name>(at, request.tags, texts);
  at = put_tags<wire::kTagValue, &TagRef::value>(at, request.tags, texts);
  if (!has_usage(request)) return at;
  at = put_times<wire::kTimerRuUtime, &Timer::ru_utime>(at, request.timers, changes);
  return put_times<wire::kTimerRuStime, &Timer::ru_stime>(at, request.timers, changes);
}

}  // namespace pinba
