// The Pinba message on the wire: its fields, and where servers cut it. The same for people:
// core/pinba/pinba.proto and core/doc/packet.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pinba::wire {

enum Field : std::uint8_t {
  kHostname = 1,
  kServerName,
  kScriptName,
  kRequestCount,
  kDocumentSize,
  kMemoryPeak,
  kRequestTime,
  kRuUtime,
  kRuStime,
  kTimerHitCount,
  kTimerValue,
  kTimerTagCount,
  kTimerTagName,
  kTimerTagValue,
  kDictionary,
  kStatus,
  kMemoryFootprint,
  kRequests,
  kSchema,
  kTagName,
  kTagValue,
  kTimerRuUtime,
  kTimerRuStime,
  kFieldsEnd,
};

// By field number.
inline constexpr std::array<std::string_view, kFieldsEnd> kFieldNames{"",
                                                                      "hostname",
                                                                      "server_name",
                                                                      "script_name",
                                                                      "request_count",
                                                                      "document_size",
                                                                      "memory_peak",
                                                                      "request_time",
                                                                      "ru_utime",
                                                                      "ru_stime",
                                                                      "timer_hit_count",
                                                                      "timer_value",
                                                                      "timer_tag_count",
                                                                      "timer_tag_name",
                                                                      "timer_tag_value",
                                                                      "dictionary",
                                                                      "status",
                                                                      "memory_footprint",
                                                                      "requests",
                                                                      "schema",
                                                                      "tag_name",
                                                                      "tag_value",
                                                                      "timer_ru_utime",
                                                                      "timer_ru_stime"};

// Of protobuf: how long a field is follows from this alone. kFixed64 is of no field of ours.
enum Type : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFloat = 5 };

// What stands before a field: this number as a varint.
constexpr std::uint32_t key_of(Field field, Type type) { return (std::uint32_t{field} << 3U) | type; }

constexpr std::size_t varint_size(std::uint64_t value) {
  return 1 + static_cast<std::size_t>(std::bit_width(value | 1U) - 1) / 7;
}

// The longest texts that servers keep whole, in bytes: Pinba2 and collectd so many, the classic engine fewer.
struct TextLimits {
  std::size_t name = 255;  // hostname, server_name
  std::size_t script = 255;
  std::size_t schema = 255;
  std::size_t tag = 127;  // name or value
};
// The classic engine keeps 16 bits of a status.
inline constexpr std::uint32_t kMaxStatus = 65'535;

// The maintained fork (2.x), and the original (1.2 and before).
inline constexpr TextLimits kClassicTexts{.name = 64, .script = 128, .schema = 16, .tag = 64};
inline constexpr TextLimits kOriginalClassicTexts{.name = 32, .script = 128, .schema = 16, .tag = 64};

}  // namespace pinba::wire
