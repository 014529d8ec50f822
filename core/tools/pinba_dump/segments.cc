#include "tools/pinba_dump/segments.h"

#include <algorithm>
#include <cstddef>

#include "pinba/message.h"

namespace pinba_dump {

std::vector<pinba::Datagram> segments_of(pinba::Datagram datagram) {
  constexpr std::byte kFirst{0x0a};  // field 1, a text
  std::vector<std::size_t> begins;
  std::size_t at = 0;
  while (at < datagram.size()) {
    if (datagram[at] == kFirst) begins.push_back(at);
    const auto size = pinba::field_size(datagram.subspan(at));
    if (!size) return {datagram};
    at += *size;
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
