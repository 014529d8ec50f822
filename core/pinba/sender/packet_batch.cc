#include "pinba/sender/packet_batch.h"

#include <algorithm>
#include <cstring>

namespace pinba {
namespace {

constexpr std::size_t kSegments = 64;  // of one message
// Segments are not fragmented, so they must be below the path's MTU; beyond this it is not even tried.
constexpr std::size_t kLargestSegment = 1452;

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): see there
PacketBatch::PacketBatch(PacketQueue& queue, std::size_t most_messages, std::size_t most_packets,
                         bool segments) {
  std::byte* at = queue.front();
  const std::size_t end = std::min(queue.count(), most_packets);
  for (std::size_t next = 0; next < end && count_ < most_messages; ++count_) {
    const std::size_t size = queue.size(next);
    std::size_t bytes = size;
    std::size_t run = 1;
    if (segments && size <= kLargestSegment) {
      while (next + run < end && run < kSegments && queue.size(next + run) == size &&
             bytes + size <= kMaxDatagram) {
        bytes += size;
        ++run;
      }
    }
    vectors_[count_] = {at, bytes};
    packets_[count_] = run;
    messages_[count_] = {};
    messages_[count_].msg_hdr.msg_iov = &vectors_[count_];
    messages_[count_].msg_hdr.msg_iovlen = 1;
    if (run > 1) cut(count_, size);
    at += bytes;
    next += run;
  }
}

void PacketBatch::cut(std::size_t message, std::size_t segment_size) {
  msghdr& header = messages_[message].msg_hdr;
  Control& control = controls_[message] = {};  // its padding, too: the system gets all of it
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  cmsghdr* option = CMSG_FIRSTHDR(&header);
  option->cmsg_level = SOL_UDP;
  option->cmsg_type = UDP_SEGMENT;
  option->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const auto segment = static_cast<std::uint16_t>(segment_size);
  std::memcpy(CMSG_DATA(option), &segment, sizeof segment);
}

int PacketBatch::send(int socket) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (count_ == 1) return ::sendmsg(socket, &messages_[0].msg_hdr, kFlags) < 0 ? -1 : 1;
  return ::sendmmsg(socket, messages_.data(), static_cast<unsigned>(count_), kFlags);
}

}  // namespace pinba
