// Request -> datagrams that every known server takes: field 1 first and fields in order, each string once in
// the dictionary, texts that are UTF-8 without NUL, key fields that are not empty, timers with a tag and a
// hit, numbers that are finite and not negative, and never more bytes than were asked for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/export.h"
#include "pinba/request.h"

namespace pinba {

using Datagram = std::span<const std::byte>;

inline constexpr std::size_t kMinDatagram = 256;    // less leaves no room for names and a timer
inline constexpr std::size_t kMaxDatagram = 65507;  // of UDP over IPv4
// With the headers of IPv6 and UDP, or of a tunnel, below the 1,500 bytes of Ethernet.
inline constexpr std::size_t kDefaultDatagram = 1400;

// The most bytes that a path of this MTU carries in one piece, over IPv6 or IPv4.
constexpr std::size_t datagram_of_mtu(std::size_t mtu) {
  constexpr std::size_t kHeaders = 40 + 8;
  if (mtu < kMinDatagram + kHeaders) return kMinDatagram;
  return mtu - kHeaders < kMaxDatagram ? mtu - kHeaders : kMaxDatagram;
}

// The engine within MySQL and MariaDB that is called classic.
enum class ClassicEngine : std::uint8_t {
  kNone,        // another server
  kMaintained,  // the fork that is maintained, 2.x
  kOriginal,    // 1.2 and before
};

struct EncodeOptions {
  // Bytes of a datagram at most; less than kMinDatagram or more than kMaxDatagram is taken as these.
  std::size_t max_bytes = kDefaultDatagram;

  // Timers that do not fit are sent in further datagrams, which repeat the names, status and request tags;
  // times, sizes and memory there are 0, so that sums stay true. But every server counts every datagram
  // as a request: none can be told otherwise. Pinba2 and classic leave further ones out of reports that have
  // a least request time (min_time). Without them, as is right for collectd's plugin, which does not
  // read timers, the request counts once and what does not fit is dropped.
  bool continue_timers = true;

  // Cut strings where that engine would, at whole characters: host and server name at 64 bytes (the original
  // at 32), script name at 128, schema at 16, texts of tags at 64. What becomes equal is still one string.
  ClassicEngine classic = ClassicEngine::kNone;

  // Put kEmptyText for a host, server or script name or schema that is empty, and for a schema that
  // is missing: Pinba2 drops packets from reports keyed on such a field.
  bool fill_empty = true;

  // Put Request::requests inside of the packet, as far as they fit. Pinba2 and collectd ignore them there,
  // and the original classic engine loses their timers. Otherwise, and for those that do not fit, each is
  // sent by itself.
  bool nested = false;

  // Leave out texts of a request's dictionary that no tag of it points to. For requests that keep their
  // dictionary from one to the next, so that texts are not added anew for each; those within them are not put
  // inside.
  bool drop_unused_texts = false;
};

// The tag of a timer that has none: the classic engine loses such a timer.
inline constexpr std::string_view kUntaggedName = "timer";
inline constexpr std::string_view kUntaggedValue = "untagged";

// What was changed or left out to make a request safe; counts.
struct Changes {
  std::uint32_t escaped = 0;         // texts with NUL, or not UTF-8: see escaped() in request.h
  std::uint32_t filled = 0;          // empty texts that became kEmptyText; not: a missing schema
  std::uint32_t cut = 0;             // texts cut to fit, or for the classic engine
  std::uint32_t numbers = 0;         // negative, not finite, or too large for their field
  std::uint32_t untagged = 0;        // timers without tags; they got the tag above
  std::uint32_t without_hits = 0;    // timers left out as they had no hits
  std::uint32_t timers_dropped = 0;  // did not fit, or their tags are not of the dictionary
  std::uint32_t tags_dropped = 0;    // of the request, for the same reasons

  MMSTATS_API void add(const Changes& other);
  [[nodiscard]] bool any() const { return *this != Changes{}; }
  friend bool operator==(const Changes&, const Changes&) = default;
};

struct PacketNames;

// Owns the memory that it encodes into and keeps it from call to call. Not for several threads at once.
class MMSTATS_API Encoder {
 public:
  explicit Encoder(EncodeOptions options = {});

  // At least one datagram; the request itself is in the first. They are valid until the next call.
  std::span<const Datagram> encode(const Request& request);

  // What the last call changed.
  [[nodiscard]] const Changes& changes() const { return changes_; }
  [[nodiscard]] const EncodeOptions& options() const { return options_; }

 private:
  void encode_one(const Request& request);
  void encode_parts(const Request& request, const PacketNames& names);
  bool encode_used(const Request& request, const PacketNames& names);
  std::uint32_t part_ref(const Dictionary& texts, std::uint32_t index, std::string_view text);
  void clear_part();
  bool encode_whole(const Request& request, const PacketNames& names, std::span<const std::byte> nested);
  [[nodiscard]] std::vector<std::byte> embed(const Request& request, std::size_t own,
                                             std::vector<const Request*>& apart);
  [[nodiscard]] bool is_regular(const Request& request) const;
  PacketNames names_of(const Request& request);

  EncodeOptions options_;
  Changes changes_;
  std::array<std::string, 4> escaped_;  // names that had to be
  std::vector<std::byte> bytes_;
  std::size_t used_ = 0;           // of bytes_
  std::vector<std::size_t> ends_;  // of the datagrams in bytes_
  std::vector<Datagram> datagrams_;
  Request part_;                           // what one of several datagrams holds
  std::vector<std::uint32_t> part_index_;  // of a text of the request in part_, or none
  std::vector<std::uint32_t> part_texts_;  // of the request, which part_index_ has
};

}  // namespace pinba
