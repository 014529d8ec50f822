#include "pinba/sender/destination.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "pinba/sender/look_up.h"
#include "pinba/sender/packet_batch.h"

namespace pinba {
namespace {

using std::chrono::milliseconds;

// A refusal that is reported instead of sending is that of an earlier packet, so the next try sends. Errors
// that stay are those of the packet itself.
constexpr int kTries = 8;
constexpr milliseconds kFullRetry{1};  // until the socket may have room again
// How long flush() gives an address to refuse, while others of the name could take the packet. On this
// machine it comes at once.
constexpr milliseconds kRefusal{10};
// How long it is asked for if nobody sends or flushes: refusals of other machines, and on a busy one, take
// longer.
constexpr milliseconds kLongestRefusal{1'000};

}  // namespace

Destination::Destination(const SenderOptions& options, std::string host, std::string port)
    : options_(options),
      host_(std::move(host)),
      port_(std::move(port)),
      addresses_(look_up(host_, port_, AI_NUMERICHOST)),
      resolve_at_(Clock::now()) {
  is_name_ = addresses_.empty();
}

void Destination::close_socket() {
  socket_.reset();
  used_since_ = {};
}

void Destination::drop_all() {
  close_socket();
  queue_.clear();
  ask_at_ = Clock::time_point::max();
}

void Destination::become_child() {
  drop_all();
  sent_.clear();
  burst_end_ = {};
  last_sent_at_ = {};
  counts_ = {};
  resolving_ = false;
  reopen_at_ = {};
  if (addresses_.empty()) resolve_at_ = {};
}

SenderCounts Destination::counts() const {
  SenderCounts counts = counts_;
  counts.queued = queue_.count();
  counts.addresses = addresses_.size();
  return counts;
}

// How many messages one call may have. Of several, the first one's refusal ends the call at the second, and
// the system does not tell of it any more: so one at a time, while others could take what this address
// refuses.
std::size_t Destination::most_messages() const {
  const bool may_refuse =
      untried_ > 0 && (used_since_ == Clock::time_point() || Clock::now() < used_since_ + kRefusal);
  return may_refuse ? 1 : PacketBatch::kMessages;
}

// How many packets may leave now.
std::size_t Destination::left_of_burst() {
  if (options_.burst_packets == 0) return queue_.count();
  if (const auto now = Clock::now(); now >= burst_end_) {
    burst_end_ = now + options_.burst_pause;
    in_burst_ = 0;
  }
  return options_.burst_packets - std::min(in_burst_, options_.burst_packets);
}

bool Destination::is_pausing(Clock::time_point now) const {
  return !queue_.empty() && socket_ && now < burst_end_ && in_burst_ >= options_.burst_packets &&
         options_.burst_packets != 0;
}

bool Destination::open() {
  if (socket_) return true;
  if (addresses_.empty()) return false;
  const auto now = Clock::now();
  if (now < reopen_at_) return false;
  do {
    const Address& address = addresses_[current_];
    socket_.reset(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_ && options_.socket_buffer > 0) {
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &options_.socket_buffer,
                   sizeof options_.socket_buffer);
    }
    if (socket_ &&
        ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0) {
      return true;
    }
    close_socket();
    resolve_soon();
  } while (next_address());
  reopen_at_ = now + options_.retry_interval;
  return false;
}

// A name can have addresses at which nobody listens, as localhost often has. False if all were tried.
bool Destination::next_address() {
  if (untried_ == 0) return false;
  --untried_;
  current_ = (current_ + 1) % addresses_.size();
  close_socket();
  return true;
}

void Destination::keep(std::span<const std::byte> message, std::size_t packets) {
  sent_.clear();
  unasked_ = true;
  if (untried_ == 0) return;
  try {
    sent_.assign(message.begin(), message.end());
    sent_size_ = message.size() / packets;
    sent_at_ = Clock::now();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): sent it is
    return;
  }
  // An address that has taken packets for a while costs no more waking up.
  if (last_sent_at_ < used_since_ + kRefusal && ask_at_ == Clock::time_point::max()) begin_to_ask();
}

// The caller may send nothing more for long.
void Destination::begin_to_ask() {
  ask_pause_ = kRefusal;
  ask_at_ = sent_at_ + kRefusal;
}

void Destination::ask(Clock::time_point now) {
  if (now < ask_at_) return;
  ask_pause_ *= 2;
  ask_at_ = ask_pause_ < kLongestRefusal ? now + ask_pause_ : Clock::time_point::max();
  take_refusals(false);
  if (sent_.empty()) ask_at_ = Clock::time_point::max();
}

// Goes on with the next address, if one is left, and first with what was sent to this one.
void Destination::refused() {
  resolve_soon();
  while (next_address() && !sent_.empty() && open()) {
    std::size_t at = 0;
    for (; at < sent_.size(); at += sent_size_) {
      ++counts_.calls;
      if (::send(socket_.get(), sent_.data() + at, sent_size_, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    }
    if (at < sent_.size()) continue;
    sent_at_ = Clock::now();
    unasked_ = true;
    if (untried_ == 0) {
      sent_.clear();
    } else {
      begin_to_ask();
    }
    return;
  }
  ++counts_.refused;
  sent_.clear();
  last_sent_at_ = {};
}

void Destination::take_refusals(bool again) {
  while (socket_ && (unasked_ || !sent_.empty() || std::exchange(again, false))) {
    unasked_ = false;
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) break;
    if (error == EMSGSIZE) {
      // Too large for a router, which is no reason to leave the address.
      ++counts_.refused;
      last_sent_at_ = {};
      sent_.clear();
    } else {
      refused();
    }
  }
}

// Whether an error that a call met is an earlier packet's, which a router or a firewall sent back. Else there
// is no way from here, and so none for a new connection.
bool Destination::came_back() const {
  const Address& address = addresses_[current_];
  return used_since_ != Clock::time_point() &&
         ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0;
}

bool Destination::may_come_back(Clock::time_point now, Clock::duration refusal) const {
  if (!sent_.empty() && now < sent_at_ + kRefusal) return true;
  return socket_ && last_sent_at_ != Clock::time_point() && now < last_sent_at_ + refusal;
}

void Destination::resolve_soon() {
  if (is_name_ && !resolving_) resolve_at_ = std::min(resolve_at_, Clock::now() + options_.retry_interval);
}

void Destination::look_up_begins() {
  resolving_ = true;
  resolve_at_ = Clock::now() + options_.resolve_interval;
}

void Destination::look_up_failed() {
  resolving_ = false;
  ++counts_.not_found;
  resolve_at_ = Clock::now() + options_.retry_interval;
}

void Destination::found(std::vector<Address> addresses) {
  resolving_ = false;
  counts_.not_found = 0;
  std::size_t place = 0;
  if (!addresses_.empty()) {
    const Address& now = addresses_[current_];
    const auto known = std::ranges::find_if(addresses, [&](const Address& one) { return same(one, now); });
    if (known == addresses.end()) {
      close_socket();
    } else {
      place = static_cast<std::size_t>(known - addresses.begin());
    }
  }
  untried_ = addresses.size() - 1;
  addresses_ = std::move(addresses);
  current_ = place;
  reopen_at_ = {};
  send_at_ = Clock::now();
}

bool Destination::enqueue(Datagram packet) {
  const bool first = queue_.empty();
  const bool fits = !packet.empty() && packet.size() <= kMaxDatagram;
  if (!fits || !queue_.push(packet, options_.queue_bytes, options_.queue_packets)) {
    ++counts_.dropped;
    return false;
  }
  if (first) send_at_ = Clock::now() + options_.linger;
  return true;
}

void Destination::drop_front(std::size_t packets) {
  queue_.pop(packets);
  counts_.dropped += packets;
}

// What to do after a message of `packets` could not be sent. False: nothing now, try later.
bool Destination::after_error(int error, std::size_t packets, bool segmented, int& tries) {
  switch (error) {
    case EINTR:
      return true;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return false;
    case ECONNREFUSED:
      refused();
      if (++tries < kTries) return open();
      break;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EACCES:
      if (came_back()) {
        refused();
      } else {
        resolve_soon();
        // This machine may have lost the address that the socket has as its own. A new one gets another.
        if (!next_address() && error == ENETUNREACH) close_socket();
      }
      if (++tries < 2) return open();
      break;
    case EMSGSIZE:
      // A router may have said that of an earlier packet; if so, the system tells of it once, and cuts
      // packets for that way from now on.
      if (used_since_ != Clock::time_point() && !std::exchange(too_large_, true)) return true;
      too_large_ = false;
      if (segmented) {
        segments_ = false;
        return true;
      }
      break;
    default:
      // The same, as older systems say it.
      if (used_since_ != Clock::time_point()) {
        close_socket();
        return open();
      }
      if (segmented) {
        segments_ = false;
        return true;
      }
      break;
  }
  drop_front(packets);
  tries = 0;
  return true;
}

bool Destination::drain() {
  if (!queue_.empty() && !open()) {
    send_at_ = Clock::now() + options_.retry_interval;
    return false;
  }
  int tries = 0;
  while (!queue_.empty()) {
    const std::size_t left = left_of_burst();
    if (left == 0) {
      send_at_ = burst_end_;
      return false;
    }
    PacketBatch batch(queue_, most_messages(), left, segments_);
    const int sent = batch.send(socket_.get());
    if (sent < 0) {
      if (after_error(errno, batch.packets(0), batch.packets(0) > 1, tries)) continue;
      send_at_ = Clock::now() + kFullRetry;
      return false;
    }
    tries = 0;
    if (std::exchange(too_large_, false)) ++counts_.refused;  // it was an earlier one
    ++counts_.calls;
    last_sent_at_ = Clock::now();
    if (used_since_ == Clock::time_point()) used_since_ = last_sent_at_;
    const auto last = static_cast<std::size_t>(sent) - 1;
    keep(batch.bytes(last), batch.packets(last));
    for (std::size_t i = 0; i <= last; ++i) {
      counts_.sent += batch.packets(i);
      counts_.bytes += batch.bytes(i).size();
      in_burst_ += batch.packets(i);
      queue_.pop(batch.packets(i));
    }
  }
  return true;
}

}  // namespace pinba
