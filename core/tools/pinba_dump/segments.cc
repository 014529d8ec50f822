#include "tools/pinba_dump/segments.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace pinba_dump {
namespace {

std::optional<std::uint64_t> varint(pinba::Datagram bytes, std::size_t& at) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = std::to_integer<std::uint64_t>(bytes[at++]);
    number |= (byte & 0x7fU) << shift;
    if (byte < 0x80) return number;
  }
  return std::nullopt;
}

// The end of the field that begins at `at`. None: it is none, or cut.
std::optional<std::size_t> field_end(pinba::Datagram bytes, std::size_t at) {
  const auto tag = varint(bytes, at);
  if (!tag) return std::nullopt;
  std::uint64_t size = 0;
  switch (*tag & 7U) {
    case 0:
      return varint(bytes, at) ? std::optional(at) : std::nullopt;
    case 1:
      size = 8;
      break;
    case 2: {
      const auto length = varint(bytes, at);
      if (!length) return std::nullopt;
      size = *length;
      break;
    }
    case 5:
      size = 4;
      break;
    default:
      return std::nullopt;
  }
  if (size > bytes.size() - at) return std::nullopt;
  return at + static_cast<std::size_t>(size);
}

}  // namespace

std::vector<pinba::Datagram> segments_of(pinba::Datagram datagram) {
  constexpr std::byte kFirst{0x0a};  // field 1, a text
  std::vector<std::size_t> begins;
  std::size_t at = 0;
  while (at < datagram.size()) {
    if (datagram[at] == kFirst) begins.push_back(at);
    const auto end = field_end(datagram, at);
    if (!end) return {datagram};
    at = *end;
  }
  if (begins.size() < 2 || begins.front() != 0) return {datagram};
  const std::size_t size = begins[1];
  for (std::size_t i = 0; i < begins.size(); ++i) {
    if (begins[i] != i * size) return {datagram};
  }
  if (datagram.size() - begins.back() > size) return {datagram};
  std::vector<pinba::Datagram> pieces;
  pieces.reserve(begins.size());
  for (const std::size_t begin : begins) {
    pieces.push_back(datagram.subspan(begin, std::min(size, datagram.size() - begin)));
  }
  return pieces;
}

}  // namespace pinba_dump
