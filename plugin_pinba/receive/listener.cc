#include "plugin_pinba/receive/listener.h"

#include <linux/sock_diag.h>
#include <poll.h>

#include <chrono>
#include <cstring>
#include <span>
#include <utility>

namespace mmstats::receive {
namespace {

// For what had come by the end: what comes on is not waited for.
constexpr std::chrono::seconds kDrain{1};
constexpr int kPatience = 1000;  // milliseconds
// While all batches are full, `ends` is looked at only so often.
constexpr std::uint32_t kFullBatches = 16;

}  // namespace

Listener::Listener(Descriptor socket)
    : socket_(std::move(socket)), places_(std::make_unique_for_overwrite<Places>()) {
  Places& places = *places_;
  for (std::size_t i = 0; i < kBatch; ++i) {
    places.vectors[i] = {places.bytes[i].data(), kLargest};
    places.headers[i] = {};
    msghdr& header = places.headers[i].msg_hdr;
    header.msg_name = &places.from[i];
    header.msg_iov = &places.vectors[i];
    header.msg_iovlen = 1;
    header.msg_control = places.control[i].data();
  }
}

bool Listener::receive(int ends, const Visit& visit) {
  bool over = false;
  if (!full_ || ++full_batches_ % kFullBatches == 0) {
    std::array<pollfd, 2> waits{{{socket_.get(), POLLIN, 0}, {ends, POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), full_ ? 0 : kPatience) < 0) return true;
    over = waits[1].revents != 0;
  }
  take(visit);
  if (!over) return true;
  const auto until = std::chrono::steady_clock::now() + kDrain;
  while (take(visit) > 0 && std::chrono::steady_clock::now() < until) {
  }
  ask_for_losses();
  return false;
}

// How many there were.
std::size_t Listener::take(const Visit& visit) {
  Places& places = *places_;
  for (auto& [header, size] : places.headers) {
    header.msg_namelen = sizeof places.from[0];
    header.msg_controllen = sizeof places.control[0];
  }
  const int got = ::recvmmsg(socket_.get(), places.headers.data(), kBatch, MSG_DONTWAIT, nullptr);
  const std::size_t count = got > 0 ? static_cast<std::size_t>(got) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    msghdr& header = places.headers[i].msg_hdr;
    if (const cmsghdr* message = CMSG_FIRSTHDR(&header);
        message != nullptr && message->cmsg_level == SOL_SOCKET && message->cmsg_type == SO_RXQ_OVFL) {
      std::uint32_t lost = 0;
      std::memcpy(&lost, CMSG_DATA(message), sizeof lost);
      add_losses(lost);
    }
    visit(std::span(places.bytes[i]).first(places.headers[i].msg_len), places.from[i]);
  }
  // So much had waited that some may not have had room.
  if (std::exchange(full_, count == kBatch) && !full_) ask_for_losses();
  return count;
}

void Listener::ask_for_losses() {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t size = sizeof memory;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, memory.data(), &size) == 0)
    add_losses(memory[SK_MEMINFO_DROPS]);
}

// A packet tells what was lost before it came, and others may have been lost since.
void Listener::add_losses(std::uint32_t all) {
  if (static_cast<std::int32_t>(all - lost_) > 0) lost_ = all;
}

}  // namespace mmstats::receive
