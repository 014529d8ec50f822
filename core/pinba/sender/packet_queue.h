// Packets that wait for their server, in order and back to back, in memory that grows up to a bound.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pinba/encode.h"

namespace pinba {

class PacketQueue {
 public:
  [[nodiscard]] std::size_t count() const { return sizes_.size() - first_; }
  [[nodiscard]] bool empty() const { return count() == 0; }
  [[nodiscard]] std::size_t size(std::size_t i) const { return sizes_[first_ + i]; }
  [[nodiscard]] std::byte* front() { return bytes_.data() + begin_; }

  // False if there is no room.
  bool push(Datagram packet, std::size_t most_bytes, std::size_t most_packets) {
    const std::size_t used = end_ - begin_;
    if (count() >= most_packets || packet.size() > most_bytes || used > most_bytes - packet.size())
      return false;
    if (packet.size() > bytes_.size() - end_) make_room(used + packet.size(), most_bytes);
    sizes_.push_back(static_cast<std::uint32_t>(packet.size()));
    std::memcpy(bytes_.data() + end_, packet.data(), packet.size());
    end_ += packet.size();
    return true;
  }

  void pop(std::size_t packets) {
    for (; packets > 0; --packets) begin_ += sizes_[first_++];
    if (empty()) clear();
  }

  void clear() {
    sizes_.clear();
    first_ = begin_ = end_ = 0;
  }

 private:
  void make_room(std::size_t wanted, std::size_t most) {
    if (begin_ > 0) {
      std::memmove(bytes_.data(), front(), end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      sizes_.erase(sizes_.begin(), sizes_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    if (wanted > bytes_.size()) bytes_.resize(std::min(most, std::max(wanted, 2 * bytes_.size())));
  }

  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<std::uint32_t> sizes_;
  std::size_t first_ = 0;
};

}  // namespace pinba
