// File descriptors that close themselves.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace mmstats {

// The first descriptor that select(2) cannot hold: a host that uses it keeps the ones below.
inline constexpr int kFirstHighDescriptor = 1024;

// Moves an open descriptor to kFirstHighDescriptor or above, if the new one is below `ceiling`. False: it
// stays where it was. True as well if it was there already.
bool move_high(int& fd, int ceiling) noexcept;

// Owns a descriptor. Moves; one thread at a time. Closing keeps errno.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }

  explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

}  // namespace mmstats
