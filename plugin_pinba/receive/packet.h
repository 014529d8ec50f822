// What a datagram tells reports: each request in it. What is wrong with it is left out and counted, and the
// rest is used; core/doc/packet.md says what other servers do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pinba/encode.h"
#include "pinba/message.h"
#include "plugin_pinba/receive/tag.h"
#include "plugin_pinba/receive/tag_blocks.h"

namespace mmstats::receive {

enum class Fault : std::uint8_t {
  kNoMessage,     // cut, or something else than a Pinba message: all of it is lost
  kMissingField,  // a required one: counts as empty, or as 0
  kBadNumber,     // negative, infinite or no number: counts as 0, or the timer is left out
  kUnevenTimers,  // lists of timers differ in length: its timers are left out
  kUnevenTags,    // likewise of the request's tags
  kBadIndex,      // beyond the dictionary: the timer or the tag is left out
  kNoHits,        // the timer is left out
  kRepeatedTag,   // of two values the first counts
  kManyTags,      // more than kMostTags: the timer is left out; of a request, those beyond
  kManyRequests,  // more than kMostRequests are nested in a datagram: those beyond are left out
};
inline constexpr std::size_t kFaults = 10;
inline constexpr std::size_t kMostTags = 64;
inline constexpr std::size_t kMostRequests = 1024;
// Bytes of a tag's name or value: what is beyond is cut off, between two characters. A text is in a datagram
// once, and may be that of any number of tags.
inline constexpr std::size_t kMostTagText = 255;
// As a value of a dimension: no_message, ...
std::string_view to_string(Fault fault);

// Packets with each fault, each counted once for a request.
using FaultCounts = std::array<std::uint64_t, kFaults>;

struct TimerEntry {
  std::uint32_t hits = 1;   // > 0
  double seconds = 0;       // over all hits; finite and >= 0, as those below
  double user_seconds = 0;  // of processor time
  double system_seconds = 0;
  std::span<const Tag> tags;  // at most kMostTags, whose names differ
  // Timers with the same number have the same tags. 0: not known.
  std::uint64_t tags_id = 0;
};

// One request. Texts are as they are in the datagram: any bytes.
struct Packet {
  std::string_view host;
  std::string_view server;
  std::string_view script;
  std::string_view schema;
  std::uint32_t status = 0;  // as of HTTP; 0: unknown
  double seconds = 0;        // finite and >= 0, as those below
  double user_seconds = 0;
  double system_seconds = 0;
  std::uint64_t bytes = 0;    // of the answer
  std::uint64_t memory = 0;   // bytes: its footprint, else its peak
  std::span<const Tag> tags;  // as those of a timer
  std::span<TimerEntry> timers;
};

// One thread at a time.
class PacketReader {
 public:
  // The request of the datagram, and those that are nested in it, for the caller to change. Valid until the
  // next call, as long as the datagram is there. Counts what is wrong in `faults`. Time and memory are linear
  // in the datagram's size. Throws std::bad_alloc.
  std::span<Packet> read(pinba::Datagram datagram, FaultCounts& faults);

 private:
  class Found;
  struct TimerTags {
    std::span<const Tag> tags;
    bool usable;
  };

  void make_room(const pinba::Message& message);
  // `known`: what was put off of it; null: nothing is.
  void add(const pinba::Message& message, const TagBlock* known, FaultCounts& faults);
  std::span<const Tag> read_request_tags(const pinba::Message& message, Found& found);
  std::span<TimerEntry> read_timers(const pinba::Message& message, const TagBlock* known, Found& found);
  void read_timer_tags(const pinba::Message& message, std::string_view to_keep, Found& found);
  bool read_tags(const pinba::Message& message, std::size_t at, std::size_t count, Found& found);
  [[nodiscard]] std::optional<Tag> tag_of(const pinba::Number& name, const pinba::Number& value,
                                          Found& found) const;
  void put(std::size_t begin, const Tag& tag, Found& found);
  void keep_tags(std::string_view bytes);

  pinba::Message message_;
  TagBlocks blocks_;
  std::string_view to_keep_;  // bytes of a block that is not known, and wanted
  // Of all requests of a datagram. Views lead into these: they have room for all before the first is put.
  std::vector<Packet> packets_;
  std::vector<TimerEntry> timers_;
  std::vector<Tag> tags_;
  // Of one request:
  std::vector<std::string_view> texts_;
  std::span<const std::string_view> dictionary_;
  std::vector<TimerTags> timer_tags_;
  std::vector<std::uint64_t> names_;  // hashes, of tags_ from some place on
};

}  // namespace mmstats::receive
