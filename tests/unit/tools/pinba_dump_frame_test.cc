// Frames of captures: what is found in them, and that no damage reaches beyond them. The bytes are written
// out after the standards (RFC 791, 8200, 768, 4302, IEEE 802.1Q) and the list of link types of tcpdump.org.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/pinba_dump/frame.h"

namespace {

using pinba_dump::Frame;
using pinba_dump::LinkType;
using FrameKind = pinba_dump::Frame::Kind;

std::vector<std::byte> bytes_of(std::string_view hex) {
  std::vector<std::byte> bytes;
  std::string digits;
  for (const char digit : hex) {
    if (digit == ' ') continue;
    digits += digit;
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<std::byte>(std::stoi(digits, nullptr, 16)));
    digits.clear();
  }
  REQUIRE(digits.empty());
  return bytes;
}

// Port 30002 is 7532.
const std::string kUdp = "9c40 7532 000b 0000 616263";  // from port 40000, "abc"
const std::string kIpv4 = "4500 001f 0000 4000 4011 0000 0a000001 0a000002" + kUdp;
const std::string kV6Ends = "20010db8000000000000000000000001 20010db8000000000000000000000002";
const std::string kIpv6 = "60000000 000b 11 40" + kV6Ends + kUdp;
const std::string kMacs = "020000000001 020000000002";
const std::string kCooked = "0000 0001 0006 020000000001 0000";
const std::string kCooked2 = "0000 00000001 0001 00 06 0200000000010000";

struct FrameRow {
  std::string_view name;
  LinkType type;
  std::string frame;
  FrameKind kind = FrameKind::kDatagram;
  bool v6 = false;
  std::size_t lacking = 0;  // bytes that the capture left out at the end
};

const std::vector<FrameRow> kFrameRows = {
    {"Ethernet", LinkType::kEthernet, kMacs + "0800" + kIpv4},
    {"Ethernet with its filling", LinkType::kEthernet,
     kMacs + "0800" + kIpv4 + "000000000000000000000000000000"},
    {"Ethernet, IPv6", LinkType::kEthernet, kMacs + "86dd" + kIpv6, FrameKind::kDatagram, true},
    {"a VLAN", LinkType::kEthernet, kMacs + "8100 0064 0800" + kIpv4},
    {"a VLAN in a VLAN", LinkType::kEthernet, kMacs + "88a8 0001 8100 0064 86dd" + kIpv6,
     FrameKind::kDatagram, true},
    {"cooked", LinkType::kLinuxCooked, kCooked + "0800" + kIpv4},
    {"cooked, IPv6", LinkType::kLinuxCooked, kCooked + "86dd" + kIpv6, FrameKind::kDatagram, true},
    {"cooked, a VLAN", LinkType::kLinuxCooked, kCooked + "8100 0064 0800" + kIpv4},
    {"cooked 2", LinkType::kLinuxCooked2, "0800" + kCooked2 + kIpv4},
    {"cooked 2, IPv6", LinkType::kLinuxCooked2, "86dd" + kCooked2 + kIpv6, FrameKind::kDatagram, true},
    {"raw", LinkType::kRaw, kIpv4},
    {"raw, IPv6", LinkType::kRaw, kIpv6, FrameKind::kDatagram, true},
    {"loopback, one order", LinkType::kLoopback, "02000000" + kIpv4},
    {"loopback, the other", LinkType::kLoopback, "00000002" + kIpv4},
    {"loopback, IPv6", LinkType::kLoopback, "1e000000" + kIpv6, FrameKind::kDatagram, true},

    {"IPv4 with options", LinkType::kRaw,
     "4700 0027 0000 0000 4011 0000 0a000001 0a000002 0101010101010100" + kUdp},
    {"IPv4 of no length", LinkType::kRaw, "4500 0000 0000 4000 4011 0000 0a000001 0a000002" + kUdp},
    {"IPv6 with extension headers", LinkType::kRaw,
     // hop by hop, destination (of 16 bytes), routing, authentication, and a fragment header of what is whole
     "60000000 004b 00 40" + kV6Ends +
         "3c00010400000000 2b01010c000000000000000000000000 3300000000000000"
         "2c04000000000001000000020102030405060708090a0b0c 1100000000000001" +
         kUdp,
     FrameKind::kDatagram, true},
    {"UDP of no length", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 7532 0000 0000 616263"},

    {"ARP", LinkType::kEthernet, kMacs + "0806 0001 0800 0604", FrameKind::kOther},
    {"a length in place of a type", LinkType::kEthernet, kMacs + "0026 4242 03" + kIpv4, FrameKind::kOther},
    {"nothing", LinkType::kEthernet, "", FrameKind::kOther},
    {"half a header", LinkType::kEthernet, "0200 0000", FrameKind::kOther},
    {"TCP", LinkType::kRaw, "4500 001f 0000 4000 4006 0000 0a000001 0a000002" + kUdp, FrameKind::kOther},
    {"TCP over IPv6", LinkType::kRaw, "60000000 000b 06 40" + kV6Ends + kUdp, FrameKind::kOther},
    {"no IP", LinkType::kRaw, "00" + kIpv4, FrameKind::kOther},
    {"IPv6 said to be IPv4", LinkType::kEthernet, kMacs + "0800" + kIpv6, FrameKind::kOther},
    {"another port", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 7533 000b 0000 616263", FrameKind::kOther},
    {"what the port answers", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 7532 9c40 000b 0000 616263", FrameKind::kOther},

    {"a first fragment", LinkType::kRaw,
     "4500 001f 0001 2000 4011 0000 0a000001 0a000002 9c40 7532 2000 0000 616263", FrameKind::kFragmented},
    {"a first fragment for another port", LinkType::kRaw,
     "4500 001f 0001 2000 4011 0000 0a000001 0a000002 9c40 7533 2000 0000 616263", FrameKind::kOther},
    {"a later fragment", LinkType::kRaw, "4500 001f 0001 0001 4011 0000 0a000001 0a000002" + kUdp,
     FrameKind::kOther},
    {"a first fragment of IPv6", LinkType::kRaw, "60000000 0013 2c 40" + kV6Ends + "1100000100000001" + kUdp,
     FrameKind::kFragmented, true},
    {"a later fragment of IPv6", LinkType::kRaw, "60000000 0013 2c 40" + kV6Ends + "1100000800000001" + kUdp,
     FrameKind::kOther},

    {"a capture without the last byte", LinkType::kRaw, kIpv4.substr(0, kIpv4.size() - 2), FrameKind::kCut,
     false, 1},
    {"a capture of half a UDP header", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 75", FrameKind::kCut, false, 8},
    {"a capture of half an Ethernet header", LinkType::kEthernet, "0200 0000", FrameKind::kCut, false, 40},
    {"a cut capture of TCP", LinkType::kRaw, "4500 001f 0000 4000 4006 0000 0a000001 0a000002 9c40",
     FrameKind::kOther, false, 9},
    {"a cut capture of filling alone", LinkType::kEthernet, kMacs + "0800" + kIpv4 + "00",
     FrameKind::kDatagram, false, 9},

    {"longer than its frame", LinkType::kRaw, "4500 0020 0000 4000 4011 0000 0a000001 0a000002" + kUdp,
     FrameKind::kDamaged},
    {"shorter than its header", LinkType::kRaw, "4500 0013 0000 4000 4011 0000 0a000001 0a000002" + kUdp,
     FrameKind::kDamaged},
    {"a header of four bytes", LinkType::kRaw, "4100 001f 0000 4000 4011 0000 0a000001 0a000002" + kUdp,
     FrameKind::kDamaged},
    {"IPv6 longer than its frame", LinkType::kRaw, "60000000 000c 11 40" + kV6Ends + kUdp,
     FrameKind::kDamaged},
    {"an extension header longer than its packet", LinkType::kRaw,
     "60000000 0013 00 40" + kV6Ends + "11ff010400000000" + kUdp, FrameKind::kDamaged},
    {"UDP longer than IP", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 7532 000c 0000 616263", FrameKind::kDamaged},
    {"UDP longer than IP, with filling", LinkType::kEthernet,
     kMacs + "0800 4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 7532 000c 0000 616263 0000",
     FrameKind::kDamaged},
    {"UDP shorter than its header", LinkType::kRaw,
     "4500 001f 0000 4000 4011 0000 0a000001 0a000002 9c40 7532 0007 0000 616263", FrameKind::kDamaged},
};

// As a capture has it: nothing behind the last byte belongs to us.
Frame read_exactly(LinkType type, std::span<const std::byte> bytes, std::size_t frame_size) {
  const auto own = std::make_unique<std::byte[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), own.get());
  const std::span<const std::byte> captured(own.get(), bytes.size());
  Frame frame = pinba_dump::read_frame(type, captured, frame_size, 30002);
  if (!frame.payload.empty()) {
    CHECK(frame.payload.data() >= captured.data());
    CHECK(frame.payload.data() + frame.payload.size() <= captured.data() + captured.size());
  }
  frame.payload = {};
  return frame;
}

}  // namespace

TEST_CASE("a datagram is found in frames of every kind, and nothing in others") {
  for (const auto& row : kFrameRows) {
    CAPTURE(row.name);
    const auto frame = bytes_of(row.frame);
    const Frame found = pinba_dump::read_frame(row.type, frame, frame.size() + row.lacking, 30002);
    CHECK(found.kind == row.kind);
    if (found.kind != FrameKind::kDatagram) {
      CHECK(found.payload.empty());
      continue;
    }
    CHECK(std::string_view(reinterpret_cast<const char*>(found.payload.data()), found.payload.size()) ==
          "abc");
    CHECK(found.way.from.text() == (row.v6 ? "[2001:db8::1]:40000" : "10.0.0.1:40000"));
    CHECK(found.way.to.text() == (row.v6 ? "[2001:db8::2]:30002" : "10.0.0.2:30002"));
  }
}

TEST_CASE("a frame that is cut anywhere is said to be cut, and one that ended there is not read on") {
  for (const auto& row : kFrameRows) {
    if (row.kind != FrameKind::kDatagram || row.lacking != 0) continue;
    const auto frame = bytes_of(row.frame);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      CAPTURE(row.name);
      CAPTURE(size);
      const auto part = std::span(frame).first(size);
      const FrameKind cut = read_exactly(row.type, part, frame.size()).kind;
      // Only the filling may be missing.
      CHECK((cut == FrameKind::kCut ||
             (cut == FrameKind::kDatagram && row.name == "Ethernet with its filling")));
      const FrameKind ended = read_exactly(row.type, part, size).kind;
      const bool no_length = row.name == "UDP of no length" || row.name == "IPv4 of no length";
      CHECK((ended == FrameKind::kOther || ended == FrameKind::kDamaged ||
             (ended == cut && cut == FrameKind::kDatagram) || no_length));
    }
  }
}

TEST_CASE("no byte of a frame, whatever it is, makes the reader leave it") {
  for (const auto& row : kFrameRows) {
    auto frame = bytes_of(row.frame);
    for (std::size_t at = 0; at < frame.size(); ++at) {
      const std::byte was = frame[at];
      for (unsigned value = 0; value < 256; ++value) {
        frame[at] = static_cast<std::byte>(value);
        for (const std::size_t more : {std::size_t{0}, std::size_t{100}}) {
          read_exactly(row.type, frame, frame.size() + more);
        }
      }
      frame[at] = was;
    }
  }
}

TEST_CASE("link types are known by libpcap's numbers") {
  CHECK(pinba_dump::link_type_of(1) == LinkType::kEthernet);
  CHECK(pinba_dump::link_type_of(113) == LinkType::kLinuxCooked);
  CHECK(pinba_dump::link_type_of(276) == LinkType::kLinuxCooked2);
  for (const int raw : {12, 14, 101, 228, 229}) CHECK(pinba_dump::link_type_of(raw) == LinkType::kRaw);
  for (const int loopback : {0, 108}) CHECK(pinba_dump::link_type_of(loopback) == LinkType::kLoopback);
  for (const int other : {-1, 105, 127, 249}) CHECK(!pinba_dump::link_type_of(other));
}
