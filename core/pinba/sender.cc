#include "pinba/sender.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "base/failure.h"
#include "base/hash.h"
#include "base/host_port.h"

namespace pinba {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// One call takes so many messages; one message of equal segments so many of them, and bytes.
constexpr std::size_t kMessages = 64;
constexpr std::size_t kSegments = 64;
// Segments are not fragmented, so they must be below the path's MTU; beyond this it is not even tried.
constexpr std::size_t kLargestSegment = 1452;
// A refusal that is reported instead of sending is that of an earlier packet, so the next try sends. Errors
// that stay are those of the packet itself.
constexpr int kTries = 8;
constexpr milliseconds kFullRetry{1};  // until the socket may have room again
// How long flush() gives an address to refuse, while others of the name could take the packet. On this
// machine it comes at once.
constexpr milliseconds kRefusal{10};

// Packets in order, back to back, in memory that grows up to a bound.
class Queue {
 public:
  [[nodiscard]] std::size_t count() const { return sizes_.size() - first_; }
  [[nodiscard]] bool empty() const { return count() == 0; }
  [[nodiscard]] std::size_t size(std::size_t i) const { return sizes_[first_ + i]; }
  [[nodiscard]] std::byte* front() { return bytes_.data() + begin_; }

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

std::vector<Address> look_up(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<Address> found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.length = entry->ai_addrlen;
    found.push_back(address);
  }
  return found;
}

bool same(const Address& a, const Address& b) {
  return a.length == b.length && std::memcmp(&a.storage, &b.storage, a.length) == 0;
}

// Starts a thread that takes none of the application's signals. False if the system has none to give.
template <class Run>
bool start_thread(std::thread& thread, Run run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    thread = std::thread(std::move(run));
  } catch (const std::exception&) {
    started = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

struct Target {
  std::string host;
  std::string port;
  bool is_address = false;  // not a name: nothing to look up
  std::vector<Address> addresses;
  std::size_t current = 0;  // of the addresses
  std::size_t untried = 0;  // addresses left to try before the next look-up
  int socket = -1;
  bool segments = true;  // the system can cut a message into equal packets
  bool resolving = false;
  Clock::time_point resolve_at;
  Clock::time_point reopen_at;   // no earlier try to open a socket
  Clock::time_point used_since;  // this address; zero: not yet
  Clock::time_point send_at;     // when the thread has to send what waits
  Queue queue;
  // What the last call sent, equal packets, kept while it may come back and be tried at another address.
  std::vector<std::byte> sent;
  std::size_t sent_size = 0;
  Clock::time_point sent_at;
  SenderCounts counts;
};

}  // namespace

// All that threads share; each function but those marked wants the mutex held.
struct __attribute__((visibility("hidden"))) Sender::State : std::enable_shared_from_this<Sender::State> {
  explicit State(SenderOptions given) : options(std::move(given)) {}
  [[nodiscard]] std::size_t batch() const { return std::max<std::size_t>(options.batch_packets, 1); }

  bool enqueue(Target& target, Datagram packet);
  bool drain(Target& target);
  bool after_error(Target& target, int error, std::size_t packets, bool segmented, int& tries);
  static void drop_front(Target& target, std::size_t packets);
  bool open(Target& target);
  static void close_socket(Target& target);
  static std::size_t most_messages(const Target& target);
  static bool next_address(Target& target);
  static void keep(Target& target, const iovec& message, std::size_t packets);
  void refused(Target& target);
  void take_refusals(Target& target);
  void resolve_soon(Target& target);
  void start_resolving(std::size_t index);
  void resolved(std::size_t index, std::uint64_t of_process, std::vector<Address> found);  // takes the mutex
  bool need_worker();
  void work();   // takes the mutex; the worker's body
  void close();  // takes the mutex
  void become_child();
  bool drain_all();
  template <class Visit>
  void for_each_target(std::string_view script_name, Visit visit);

  const SenderOptions options;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<Target> targets;
  std::thread worker;
  bool working = false;
  bool closed = false;
  std::uint64_t process = 0;  // how often fork() made a child of us
};

// ---- fork: no thread of the parent may be inside of a sender at that moment

namespace {

template <class State>
class Forks {
 public:
  static Forks& all() {
    static auto* forks = new Forks;  // never destroyed: senders may be static objects
    return *forks;
  }
  void add(State* state) {
    const std::lock_guard lock(mutex_);
    states_.push_back(state);
  }
  void remove(State* state) {
    const std::lock_guard lock(mutex_);
    std::erase(states_, state);
  }

 private:
  Forks() { ::pthread_atfork(before, in_parent, in_child); }
  static void before() {
    all().mutex_.lock();
    for (State* state : all().states_) state->mutex.lock();
  }
  static void in_parent() {
    for (State* state : all().states_) state->mutex.unlock();
    all().mutex_.unlock();
  }
  static void in_child() {
    for (State* state : all().states_) {
      state->become_child();
      state->mutex.unlock();
    }
    all().mutex_.unlock();
  }

  std::mutex mutex_;
  std::vector<State*> states_;
};

}  // namespace

// Its threads are not there any more, so what belongs to them is not destroyed but begun anew.
void Sender::State::become_child() {
  new (&wake) std::condition_variable;
  new (&worker) std::thread;
  working = false;
  ++process;
  for (Target& target : targets) {
    close_socket(target);
    target.queue.clear();
    target.sent.clear();
    target.counts = {};
    target.resolving = false;
    target.reopen_at = {};
    if (target.addresses.empty()) target.resolve_at = {};
  }
}

// ---- one server

void Sender::State::close_socket(Target& target) {
  if (target.socket >= 0) ::close(target.socket);
  target.socket = -1;
  target.used_since = {};
}

// How many messages one call may have. Of several, the first one's refusal ends the call at the second, and
// the system does not tell of it any more: so one at a time, while others could take what this address
// refuses.
std::size_t Sender::State::most_messages(const Target& target) {
  const bool may_refuse = target.untried > 0 && (target.used_since == Clock::time_point() ||
                                                 Clock::now() < target.used_since + kRefusal);
  return may_refuse ? 1 : kMessages;
}

bool Sender::State::open(Target& target) {
  if (target.socket >= 0) return true;
  if (target.addresses.empty()) return false;
  const auto now = Clock::now();
  if (now < target.reopen_at) return false;
  do {
    const Address& address = target.addresses[target.current];
    target.socket = ::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (target.socket >= 0 && options.socket_buffer > 0) {
      ::setsockopt(target.socket, SOL_SOCKET, SO_SNDBUF, &options.socket_buffer,
                   sizeof options.socket_buffer);
    }
    if (target.socket >= 0 &&
        ::connect(target.socket, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0) {
      return true;
    }
    close_socket(target);
    resolve_soon(target);
  } while (next_address(target));
  target.reopen_at = now + options.retry_interval;
  return false;
}

// A name can have addresses at which nobody listens, as localhost often has. False if all were tried.
bool Sender::State::next_address(Target& target) {
  if (target.untried == 0) return false;
  --target.untried;
  target.current = (target.current + 1) % target.addresses.size();
  close_socket(target);
  return true;
}

void Sender::State::keep(Target& target, const iovec& message, std::size_t packets) {
  target.sent.clear();
  if (target.untried == 0) return;
  try {
    const auto* bytes = static_cast<const std::byte*>(message.iov_base);
    target.sent.assign(bytes, bytes + message.iov_len);
    target.sent_size = message.iov_len / packets;
    target.sent_at = Clock::now();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): sent it is
  }
}

// Goes on with the next address, if one is left, and first with what was sent to this one.
void Sender::State::refused(Target& target) {
  resolve_soon(target);
  while (next_address(target) && !target.sent.empty() && open(target)) {
    std::size_t at = 0;
    for (; at < target.sent.size(); at += target.sent_size) {
      ++target.counts.calls;
      const std::byte* packet = target.sent.data() + at;
      if (::send(target.socket, packet, target.sent_size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    }
    if (at < target.sent.size()) continue;
    target.sent_at = Clock::now();
    if (target.untried == 0) target.sent.clear();
    return;
  }
  ++target.counts.refused;
  target.sent.clear();
}

// Those that the next call to send would tell of, which there may never be.
void Sender::State::take_refusals(Target& target) {
  while (target.socket >= 0 && !target.sent.empty()) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(target.socket, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != ECONNREFUSED) break;
    refused(target);
  }
}

void Sender::State::resolve_soon(Target& target) {
  if (target.is_address || target.resolving) return;
  target.resolve_at = std::min(target.resolve_at, Clock::now() + options.retry_interval);
  need_worker();
}

bool Sender::State::enqueue(Target& target, Datagram packet) {
  const bool first = target.queue.empty();
  const bool fits = !packet.empty() && packet.size() <= kMaxDatagram;
  if (!fits || !target.queue.push(packet, options.queue_bytes, options.queue_packets)) {
    ++target.counts.dropped;
    return false;
  }
  if (first) target.send_at = Clock::now() + options.linger;
  return true;
}

void Sender::State::drop_front(Target& target, std::size_t packets) {
  target.queue.pop(packets);
  target.counts.dropped += packets;
}

// What to do after a message of `packets` could not be sent. False: nothing now, try later.
bool Sender::State::after_error(Target& target, int error, std::size_t packets, bool segmented, int& tries) {
  switch (error) {
    case EINTR:
      return true;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return false;
    case ECONNREFUSED:
      refused(target);
      if (++tries < kTries) return target.socket >= 0 || open(target);
      break;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
      resolve_soon(target);
      next_address(target);
      // Once more, as the error may be an earlier packet's.
      if (++tries < 2) return target.socket >= 0 || open(target);
      break;
    default:
      if (segmented) {
        target.segments = false;
        return true;
      }
      break;
  }
  drop_front(target, packets);
  tries = 0;
  return true;
}

// Sends what waits. True if nothing waits any more.
bool Sender::State::drain(Target& target) {
  if (!target.queue.empty() && !open(target)) {
    target.send_at = Clock::now() + options.retry_interval;
    return false;
  }
  int tries = 0;
  while (!target.queue.empty()) {
    std::array<mmsghdr, kMessages> messages;
    std::array<iovec, kMessages> vectors;
    std::array<std::size_t, kMessages> packets;
    struct alignas(cmsghdr) Control {
      std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
    };
    std::array<Control, kMessages> controls;

    Queue& queue = target.queue;
    const std::size_t most = most_messages(target);
    std::size_t count = 0;
    std::byte* at = queue.front();
    for (std::size_t next = 0; next < queue.count() && count < most; ++count) {
      const std::size_t size = queue.size(next);
      std::size_t bytes = size;
      std::size_t run = 1;
      if (target.segments && size <= kLargestSegment) {
        while (next + run < queue.count() && run < kSegments && queue.size(next + run) == size &&
               bytes + size <= kMaxDatagram) {
          bytes += size;
          ++run;
        }
      }
      vectors[count] = {at, bytes};
      packets[count] = run;
      messages[count] = {};
      msghdr& header = messages[count].msg_hdr;
      header.msg_iov = &vectors[count];
      header.msg_iovlen = 1;
      if (run > 1) {
        Control& control = controls[count] = {};  // its padding, too: the system gets all of it
        header.msg_control = control.bytes.data();
        header.msg_controllen = control.bytes.size();
        cmsghdr* option = CMSG_FIRSTHDR(&header);
        option->cmsg_level = SOL_UDP;
        option->cmsg_type = UDP_SEGMENT;
        option->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        const auto segment = static_cast<std::uint16_t>(size);
        std::memcpy(CMSG_DATA(option), &segment, sizeof segment);
      }
      at += bytes;
      next += run;
    }

    const int sent =
        count == 1
            ? (::sendmsg(target.socket, &messages[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1)
            : ::sendmmsg(target.socket, messages.data(), static_cast<unsigned>(count),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (after_error(target, errno, packets[0], packets[0] > 1, tries)) continue;
      target.send_at = Clock::now() + std::max(kFullRetry, options.linger);
      return false;
    }
    tries = 0;
    ++target.counts.calls;
    if (target.used_since == Clock::time_point()) target.used_since = Clock::now();
    const auto last = static_cast<std::size_t>(sent) - 1;
    keep(target, vectors[last], packets[last]);
    for (std::size_t i = 0; i <= last; ++i) {
      target.counts.sent += packets[i];
      target.counts.bytes += vectors[i].iov_len;
      queue.pop(packets[i]);
    }
  }
  return true;
}

bool Sender::State::drain_all() {
  bool all = true;
  for (Target& target : targets) {
    all &= drain(target);
    take_refusals(target);
  }
  return all;
}

// ---- names, in the background

void Sender::State::start_resolving(std::size_t index) {
  Target& target = targets[index];
  target.resolving = true;
  target.resolve_at = Clock::now() + options.resolve_interval;
  std::thread thread;
  const bool started = start_thread(thread, [state = shared_from_this(), index, host = target.host,
                                             port = target.port, of_process = process] {
    std::vector<Address> found;
    try {
      found =
          state->options.resolve ? state->options.resolve(host, port) : look_up(host, port, AI_ADDRCONFIG);
    } catch (...) {
      found.clear();  // NOLINT(bugprone-empty-catch): as if not found
    }
    state->resolved(index, of_process, std::move(found));
  });
  if (started) {
    // It may take as long as a dead name server lets it, and nobody waits for it.
    thread.detach();
  } else {
    target.resolving = false;
    target.resolve_at = Clock::now() + options.retry_interval;
  }
}

void Sender::State::resolved(std::size_t index, std::uint64_t of_process, std::vector<Address> found) {
  const std::lock_guard lock(mutex);
  if (closed || of_process != process) return;
  Target& target = targets[index];
  target.resolving = false;
  if (found.empty()) {
    // The old addresses may still do.
    target.resolve_at = Clock::now() + options.retry_interval;
    wake.notify_all();
    return;
  }
  std::size_t place = 0;
  if (!target.addresses.empty()) {
    const Address& now = target.addresses[target.current];
    const auto known =
        std::ranges::find_if(found, [&](const Address& address) { return same(address, now); });
    if (known == found.end()) {
      close_socket(target);
    } else {
      place = static_cast<std::size_t>(known - found.begin());
    }
  }
  target.untried = found.size() - 1;
  target.addresses = std::move(found);
  target.current = place;
  target.reopen_at = {};
  target.send_at = Clock::now();
  wake.notify_all();
}

bool Sender::State::need_worker() {
  if (closed) return false;
  if (!working) {
    working = start_thread(worker, [this] { work(); });
  } else {
    wake.notify_all();
  }
  return working;
}

void Sender::State::work() {
  std::unique_lock lock(mutex);
  while (!closed) {
    const auto now = Clock::now();
    auto next = now + std::chrono::hours(1);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      Target& target = targets[i];
      if (!target.is_address && !target.resolving) {
        if (target.resolve_at <= now) {
          start_resolving(i);
        } else {
          next = std::min(next, target.resolve_at);
        }
      }
      if (target.queue.empty() || target.addresses.empty()) continue;
      if (target.send_at > now || !drain(target)) next = std::min(next, target.send_at);
    }
    wake.wait_until(lock, next);
  }
}

void Sender::State::close() {
  Forks<State>::all().remove(this);
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    drain_all();
    closed = true;
    for (Target& target : targets) {
      close_socket(target);
      target.queue.clear();
    }
  }
  wake.notify_all();
  if (worker.joinable()) worker.join();
}

template <class Visit>
void Sender::State::for_each_target(std::string_view script_name, Visit visit) {
  if (options.spread == SenderOptions::Spread::kByScript) {
    visit(targets[mmstats::fnv1a(script_name) % targets.size()]);
  } else {
    for (Target& target : targets) visit(target);
  }
}

// ---- the public side

mmstats::Expected<Sender> Sender::make(SenderOptions options) {
  const auto invalid = [](std::string message) {
    return tl::unexpected(mmstats::failure(mmstats::ErrorKind::kInvalid, {}, std::move(message)));
  };
  if (options.servers.empty()) return invalid("no Pinba server is given: name one as HOST:PORT");
  auto state = std::make_shared<State>(std::move(options));
  const auto now = Clock::now();
  bool names = false;
  for (const std::string& text : state->options.servers) {
    const auto server = mmstats::parse_host_port(text);
    if (!server || server->host.empty() || server->port == 0) {
      return invalid(fmt::format("'{}' is no Pinba server: write HOST, HOST:PORT or [IPV6]:PORT",
                                 mmstats::printable(text)));
    }
    Target& target = state->targets.emplace_back();
    target.host = server->host;
    target.port = std::to_string(server->port.value_or(kDefaultPort));
    target.addresses = look_up(target.host, target.port, AI_NUMERICHOST);
    target.is_address = !target.addresses.empty();
    target.resolve_at = now;
    names |= !target.is_address;
  }
  Forks<State>::all().add(state.get());
  if (names) {
    const std::lock_guard lock(state->mutex);
    state->need_worker();
  }
  return Sender(std::move(state));
}

Sender::Sender(std::shared_ptr<State> state) : state_(std::move(state)) {}
Sender::Sender(Sender&&) noexcept = default;
Sender& Sender::operator=(Sender&& other) noexcept {
  if (this != &other) {
    if (state_) state_->close();
    state_ = std::move(other.state_);
  }
  return *this;
}
Sender::~Sender() {
  if (state_) state_->close();
}

bool Sender::send(Datagram datagram, std::string_view script_name) noexcept {
  return send(std::span(&datagram, 1), script_name) == 1;
}

std::size_t Sender::send(std::span<const Datagram> datagrams, std::string_view script_name) noexcept {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  std::size_t accepted = 0;
  for (const Datagram datagram : datagrams) {
    bool all = true;
    state.for_each_target(script_name, [&](Target& target) {
      try {
        all &= state.enqueue(target, datagram);
      } catch (const std::bad_alloc&) {
        ++target.counts.dropped;
        all = false;
      }
      const std::size_t waiting = target.queue.count();
      if (waiting != 0 && waiting % state.batch() == 0) state.drain(target);
    });
    accepted += all ? 1U : 0U;
  }
  state.for_each_target(script_name, [&](Target& target) {
    if (target.queue.empty()) return;
    if (state.options.linger.count() == 0 && state.drain(target)) return;
    if (!state.working || target.queue.count() <= datagrams.size()) state.need_worker();
  });
  return accepted;
}

bool Sender::flush() noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->drain_all();
}

bool Sender::flush(milliseconds at_most) noexcept {
  const auto deadline = Clock::now() + at_most;
  std::unique_lock lock(state_->mutex);
  for (;;) {
    const bool all = state_->drain_all();
    const auto now = Clock::now();
    const bool may_come_back = std::ranges::any_of(state_->targets, [now](const Target& target) {
      return !target.sent.empty() && now < target.sent_at + kRefusal;
    });
    if (now >= deadline || (all && !may_come_back)) return all;
    state_->wake.wait_until(lock, std::min(deadline, now + milliseconds(5)));
  }
}

SenderCounts Sender::counts() const {
  SenderCounts sum;
  for (std::size_t i = 0; i < state_->targets.size(); ++i) {
    const SenderCounts one = counts(i);
    sum.sent += one.sent;
    sum.bytes += one.bytes;
    sum.dropped += one.dropped;
    sum.refused += one.refused;
    sum.queued += one.queued;
    sum.calls += one.calls;
  }
  return sum;
}

SenderCounts Sender::counts(std::size_t server) const {
  const std::lock_guard lock(state_->mutex);
  SenderCounts counts = state_->targets.at(server).counts;
  counts.queued = state_->targets[server].queue.count();
  return counts;
}

}  // namespace pinba
