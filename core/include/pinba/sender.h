// Datagrams -> Pinba servers, over UDP. Made for the inside of applications: a call never blocks, never
// throws, and memory stays within the bounds that were set; what cannot be sent is dropped and counted.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"
#include "mmstats/export.h"
#include "pinba/encode.h"

namespace pinba {

inline constexpr std::uint16_t kDefaultPort = 30002;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// Finds addresses of a host, IPv4 or IPv6; may block; called in a thread of its own. Empty: not found.
using Resolve = std::function<std::vector<Address>(const std::string& host, const std::string& port)>;

// The servers of a list with commas or blanks between them, as all our programs take it. Does not judge them.
MMSTATS_API std::vector<std::string> split_servers(std::string_view list);

struct SenderOptions {
  // HOST, HOST:PORT, [IPV6]:PORT; a host is an address or a name. Each once.
  std::vector<std::string> servers = {};

  enum class Spread : std::uint8_t {
    kAll,       // each server gets every packet
    kByScript,  // a packet goes to the one that its script name falls to, the same in every process
  };
  Spread spread = Spread::kAll;

  // How long a packet may wait for others, to be sent with them in one call. 0: each is sent at once, by
  // the caller. Otherwise a thread sends, or the caller whose packet makes batch_packets full.
  std::chrono::milliseconds linger{0};
  std::size_t batch_packets = 64;

  // Per server, what waits at most: for company, for a name, for room in the socket. Newer ones are dropped.
  std::size_t queue_bytes = std::size_t{1} << 20U;
  std::size_t queue_packets = 4096;

  // A server that is busy for a moment loses what its socket's buffer does not hold, which is some 90 large
  // packets by default, and nobody is told. So at most burst_packets leave for a server in a burst_pause;
  // what is more waits in its queue for a thread to send it. Room for 32,000 packets a second. 0: no limit.
  std::size_t burst_packets = 32;
  std::chrono::microseconds burst_pause{1'000};

  int socket_buffer = 0;  // SO_SNDBUF in bytes; 0: the system's default

  // Names are looked up in the background at the start, then this often, and after a failure (not found,
  // refused, unreachable) when retry_interval has passed.
  std::chrono::milliseconds resolve_interval{60'000};
  std::chrono::milliseconds retry_interval{1'000};
  Resolve resolve = {};  // empty: getaddrinfo
};

struct SenderCounts {
  std::uint64_t sent = 0;     // handed to the system
  std::uint64_t bytes = 0;    // in these
  std::uint64_t dropped = 0;  // no room in the queue, too large, no address, or refused by the system
  // Packets that came back (ICMP), as nobody listened, a firewall let none through, or a router found them
  // too large; they count as sent too. Not those that could be sent again, to the next address of a name; and
  // of several that went in one call the system tells of the last.
  std::uint64_t refused = 0;
  std::uint64_t queued = 0;     // waiting now
  std::uint64_t calls = 0;      // system calls that sent
  std::uint64_t not_found = 0;  // look-ups of the name that failed, since the last one that did not
  std::uint64_t addresses = 0;  // that are known now
};

// Sends to the servers. All functions may be called from any thread; none is a cancellation point of it
// (pthread_cancel(3)), and none changes errno. After fork() the child has a sender of
// its own: same servers, nothing waiting, counts from 0.
class MMSTATS_API Sender {
 public:
  // Error: kInvalid if a server cannot be read as HOST:PORT, is there twice, or none is given. A host that is
  // not found is no error: it is looked up again and again.
  static mmstats::Expected<Sender> make(SenderOptions options);

  Sender(Sender&&) noexcept;
  Sender& operator=(Sender&&) noexcept;
  // Sends what can be sent at once, drops the rest. Does not wait for look-ups; what waits because of
  // burst_packets alone is sent, which may take some 0.1 s (0.2 at most).
  ~Sender();

  // Sends a datagram, or copies it to a queue. `script_name` matters for kByScript alone. False if a queue
  // has no room for it, or it is empty or larger than kMaxDatagram; what the system does not take later is
  // counted alone.
  bool send(Datagram datagram, std::string_view script_name = {}) noexcept;
  // The same for several at once, in as few system calls as possible. How many were taken.
  std::size_t send(std::span<const Datagram> datagrams, std::string_view script_name = {}) noexcept;

  // Sends what waits, as far as the system and burst_packets take it now. If what was sent last came back by
  // now, counts it as refused, or sends it to the name's next address. True if nothing waits any more.
  bool flush() noexcept;
  // The same until nothing waits, or the time is over. Gives a name's addresses a few milliseconds to refuse,
  // and, within that time, what was sent last to any server as long as `refusal` to come back: for who ends
  // and wants to know.
  bool flush(std::chrono::milliseconds at_most,
             std::chrono::milliseconds refusal = std::chrono::milliseconds(0)) noexcept;

  [[nodiscard]] SenderCounts counts() const;                    // over all servers
  [[nodiscard]] SenderCounts counts(std::size_t server) const;  // index in SenderOptions::servers

 private:
  struct State;
  explicit Sender(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace pinba
