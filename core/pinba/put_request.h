// One request -> the bytes of one message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "pinba/encode.h"
#include "pinba/request.h"
#include "pinba/wire.h"

namespace pinba {

// A request's names, fit to be sent.
struct PacketNames {
  std::string_view hostname, server_name, script_name, schema;
  bool has_schema;
};

// The bytes of a text as a field.
constexpr std::size_t text_size(std::string_view text, std::size_t key_size = 1) {
  return key_size + wire::varint_size(text.size()) + text.size();
}

inline std::byte* put_varint(std::byte* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<std::byte>(value | 0x80U);
    value >>= 7U;
  }
  *at++ = static_cast<std::byte>(value);
  return at;
}

template <wire::Field kField, wire::Type kType>
std::byte* put_key(std::byte* at) {
  constexpr std::uint32_t kKey = wire::key_of(kField, kType);
  if constexpr (kKey < 0x80) {
    *at = std::byte{kKey};
    return at + 1;
  } else {
    at[0] = std::byte{(kKey & 0x7FU) | 0x80U};
    at[1] = std::byte{kKey >> 7U};
    return at + 2;
  }
}

// Whether timers have processor times. Where none has any, their lists are left out, as servers take 0 for
// what is not there: so more timers fit.
bool has_usage(const Request& request);

// What put_request() writes at most; less than four times as much as it does.
std::size_t most_bytes(const Request& request, const PacketNames& names);

// Writes all of a request whose timers and tags are in order; `nested` are the requests within it, as they
// are. Numbers that no server can take are changed, and counted in `changes`. Returns the end of what was
// written.
std::byte* put_request(std::byte* at, const Request& request, const PacketNames& names,
                       std::span<const std::byte> nested, Changes& changes);

}  // namespace pinba
