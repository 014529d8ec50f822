#include "tools/pinba_dump/frame.h"

#include <algorithm>

namespace pinba_dump {
namespace {

constexpr std::uint16_t kIpv4Type = 0x0800;
constexpr std::uint16_t kIpv6Type = 0x86dd;
constexpr std::uint8_t kUdp = 17;

// Reads a frame from its begin to its end.
class FrameReader {
 public:
  FrameReader(std::span<const std::byte> captured, std::size_t frame_size, std::uint16_t port)
      : captured_(captured), end_(std::max(frame_size, captured.size())), port_(port) {}

  Frame read(LinkType type) {
    frame_.kind = Frame::Kind::kOther;
    switch (type) {
      case LinkType::kEthernet:
        skip(12);
        typed();
        break;
      case LinkType::kLinuxCooked:
        skip(14);
        typed();
        break;
      case LinkType::kLinuxCooked2: {
        const std::uint16_t protocol = number16();
        skip(18);
        network(protocol);
        break;
      }
      case LinkType::kRaw:
        any_version();
        break;
      case LinkType::kLoopback:
        skip(4);
        any_version();
        break;
    }
    return frame_;
  }

 private:
  // True if the next `size` bytes can be read; else the frame's kind tells why not.
  bool need(std::size_t size) {
    if (size > end_ - at_) {
      frame_.kind = Frame::Kind::kDamaged;
      return false;
    }
    if (at_ + size > captured_.size()) {
      frame_.kind = Frame::Kind::kCut;
      return false;
    }
    return true;
  }

  // These give 0 beyond what was captured.
  [[nodiscard]] std::uint8_t byte_at(std::size_t offset) const {
    return at_ + offset < captured_.size() ? std::to_integer<std::uint8_t>(captured_[at_ + offset]) : 0;
  }
  [[nodiscard]] std::uint16_t number16_at(std::size_t offset) const {
    return static_cast<std::uint16_t>(byte_at(offset) << 8U | byte_at(offset + 1));
  }

  // What is too short to be a packet is none.
  void skip(std::size_t size) {
    if (ended_) return;
    ended_ = !need(size);
    if (!ended_) at_ += size;
    if (frame_.kind == Frame::Kind::kDamaged) frame_.kind = Frame::Kind::kOther;
  }
  std::uint16_t number16() {
    const std::uint16_t number = number16_at(0);
    skip(2);
    return ended_ ? 0 : number;
  }

  // A packet after its type, which may be VLAN tags.
  void typed() { network(number16()); }

  void network(std::uint16_t type) {
    while (!ended_ && (type == 0x8100 || type == 0x88a8 || type == 0x9100)) {
      skip(2);
      type = number16();
    }
    if (ended_) return;
    if (type == kIpv4Type) ipv4();
    if (type == kIpv6Type) ipv6();
  }

  void any_version() {
    if (ended_ || !need(1)) return;
    const int version = byte_at(0) >> 4U;
    if (version == 4) ipv4();
    if (version == 6) ipv6();
  }

  // The rest of the frame is filling.
  bool ends_after(std::size_t size) {
    if (size > end_ - at_) {
      frame_.kind = Frame::Kind::kDamaged;
      return false;
    }
    end_ = at_ + size;
    return true;
  }

  void address(Endpoint& end, std::size_t offset, bool v6) {
    end.v6 = v6;
    const auto bytes = captured_.subspan(at_ + offset, v6 ? 16 : 4);
    std::ranges::copy(bytes, end.address.begin());
  }

  void ipv4() {
    constexpr std::size_t kLeast = 20;
    if (!need(kLeast)) return;
    const std::size_t header = std::size_t{4} * (byte_at(0) & 0xfU);
    if (byte_at(0) >> 4U != 4 || byte_at(9) != kUdp) return;
    const unsigned fragment = number16_at(6);
    if ((fragment & 0x1fffU) != 0) return;  // a later one, which does not say for which port
    // 0: the network card was to set it.
    const std::size_t total = number16_at(2) == 0 ? end_ - at_ : number16_at(2);
    if (header < kLeast || total < header) {
      frame_.kind = Frame::Kind::kDamaged;
      return;
    }
    address(frame_.way.from, 12, false);
    address(frame_.way.to, 16, false);
    // A first fragment has less than the datagram says.
    if (!ends_after(total) || !need(header)) return;
    at_ += header;
    udp((fragment & 0x2000U) != 0);
  }

  void ipv6() {
    constexpr std::size_t kHeader = 40;
    if (!need(kHeader)) return;
    std::uint8_t next = byte_at(6);
    if (byte_at(0) >> 4U != 6) return;
    const std::size_t length = number16_at(4);
    address(frame_.way.from, 8, true);
    address(frame_.way.to, 24, true);
    at_ += kHeader;
    // 0: as above, or longer than an ordinary packet can be.
    if (length != 0 && !ends_after(length)) return;
    bool fragmented = false;
    while (next != kUdp) {
      std::size_t size = 0;
      switch (next) {
        case 0:    // hop by hop
        case 43:   // routing
        case 60:   // destination
        case 135:  // mobility
        case 139:  // host identity
        case 140:  // shim6
          if (!need(2)) return;
          size = std::size_t{8} * (byte_at(1) + 1U);
          break;
        case 44:  // fragment
          if (!need(8)) return;
          size = 8;
          if ((number16_at(2) & 0xfff8U) != 0) return;
          fragmented = (byte_at(3) & 1U) != 0;
          break;
        case 51:  // authentication
          if (!need(2)) return;
          size = std::size_t{4} * (byte_at(1) + 2U);
          break;
        default:
          return;
      }
      if (!need(size)) return;
      next = byte_at(0);
      at_ += size;
    }
    udp(fragmented);
  }

  void udp(bool fragmented) {
    constexpr std::size_t kHeader = 8;
    if (!need(kHeader)) return;
    frame_.way.from.port = number16_at(0);
    frame_.way.to.port = number16_at(2);
    if (frame_.way.to.port != port_) return;
    if (fragmented) {
      frame_.kind = Frame::Kind::kFragmented;
      return;
    }
    const std::size_t size = number16_at(4) == 0 ? end_ - at_ : number16_at(4);
    if (size < kHeader) {
      frame_.kind = Frame::Kind::kDamaged;
      return;
    }
    if (!need(size)) return;
    frame_.payload = captured_.subspan(at_ + kHeader, size - kHeader);
    frame_.kind = Frame::Kind::kDatagram;
  }

  std::span<const std::byte> captured_;
  std::size_t at_ = 0;  // never above end_
  std::size_t end_;     // of the packet, as far as it is known
  std::uint16_t port_;
  bool ended_ = false;  // before the IP packet
  Frame frame_;
};

}  // namespace

std::optional<LinkType> link_type_of(int number) {
  switch (number) {
    case 1:
      return LinkType::kEthernet;
    case 113:
      return LinkType::kLinuxCooked;
    case 276:
      return LinkType::kLinuxCooked2;
    case 12:   // DLT_RAW
    case 14:   // the same on OpenBSD
    case 101:  // the same in files
    case 228:  // DLT_IPV4
    case 229:  // DLT_IPV6
      return LinkType::kRaw;
    case 0:    // DLT_NULL
    case 108:  // DLT_LOOP
      return LinkType::kLoopback;
    default:
      return std::nullopt;
  }
}

Frame read_frame(LinkType type, std::span<const std::byte> captured, std::size_t frame_size,
                 std::uint16_t port) {
  return FrameReader(captured, frame_size, port).read(type);
}

}  // namespace pinba_dump
