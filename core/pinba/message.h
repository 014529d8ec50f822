// A message as it lies in a datagram: its fields with their bytes, before anything is made of them. Pure
// functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mmstats/error.h"
#include "pinba/encode.h"
#include "pinba/wire.h"

namespace pinba {

// One field's value. `offset`: its first byte in the datagram.
template <class Value>
struct Placed {
  Value value{};
  std::uint64_t offset = 0;
};
using Text = Placed<std::string_view>;  // views the datagram
using Number = Placed<std::uint64_t>;
using Float = Placed<float>;

struct Message {
  std::uint64_t begin = 0;
  std::uint64_t first_field = 0;
  std::array<std::optional<Text>, 4> names;  // as in kNames
  std::optional<Number> request_count, document_size, memory_peak, status, memory_footprint;
  std::array<std::optional<Float>, 3> times;  // as in kTimes
  std::vector<Number> hits, tag_counts, tag_names, tag_values, request_tag_names, request_tag_values;
  std::vector<Float> values, ru_utimes, ru_stimes;
  std::vector<Text> dictionary;
  std::vector<Message> requests;
  std::size_t left_out = 0;  // requests that would be there, but see read_fields()
  Text put_off;              // fields that were not looked at; see read_later()
};

inline constexpr std::array kNames{wire::kHostname, wire::kServerName, wire::kScriptName, wire::kSchema};
inline constexpr std::array kTimes{wire::kRequestTime, wire::kRuUtime, wire::kRuStime};

constexpr std::string_view name_of(wire::Field field) { return wire::kFieldNames[field]; }

// Numbers have 32 bits; readers drop the others.
inline std::uint32_t low(const Number& number) { return static_cast<std::uint32_t>(number.value); }

// What makes of damage the reason why nothing can be delivered.
inline mmstats::Error damaged(mmstats::Damage damage) {
  return {.kind = mmstats::ErrorKind::kDamaged,
          .path = {},
          .offset = damage.offset,
          .sys_errno = 0,
          .message = std::move(damage.message)};
}

// Error: kDamaged, with the byte and the reason, if these bytes are no message; see decode().
mmstats::Expected<Message> read_message(Datagram datagram);
// The same for who takes whatever there is: fields that are missing are no error. `into`: its memory is used
// again; in the case of an error it has what stands before. `most_requests`: nested ones, at all depths
// together; what is in others is not looked at.
mmstats::Expected<void> read_fields(Datagram datagram, Message& into, std::size_t most_requests);
// As read_fields(), but fields of timers' tags, and the dictionary, may be put off: those of the datagram's
// own request that stand together, where all are as clients write them mostly (each number and each length
// has one byte). Who has met the same bytes before need not read them.
mmstats::Expected<void> read_early(Datagram datagram, Message& into, std::size_t most_requests);
// Reads what was put off, if there is something; the datagram is still there.
void read_later(Message& message);

// How many bytes the field takes that `bytes` begin with, whatever is in it. None: it is none, or cut.
std::optional<std::size_t> field_size(Datagram bytes);

// Whether the lists of timers, and of request tags, differ in length.
std::optional<mmstats::Damage> uneven_timers(const Message& message);
std::optional<mmstats::Damage> uneven_request_tags(const Message& message);

// The first index of a list of tags that points beyond the dictionary. `field`: the list's.
std::optional<mmstats::Damage> out_of_range(const Message& message, wire::Field field);

}  // namespace pinba
